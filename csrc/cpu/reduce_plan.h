// How a reduction walks over its input: axes in the order of memory, merged, and split into tasks
// by shape alone.
#pragma once

#include <cstddef>
#include <cstdint>

#include "fastnn/tensor_view.h"

namespace fastnn {

struct ReducePlan {
  // Kept and reduced axes, outermost in memory first; at least one of each (of size 1 if need be).
  int kept, reduced;
  int64_t kept_shape[kMaxDims], kept_stride[kMaxDims];
  int64_t reduced_shape[kMaxDims], reduced_stride[kMaxDims];
  int64_t outputs, count;  // products of the shapes
  // Outputs are numbered in the order of the kept axes; this is each axis of x in that numbering.
  int64_t output_stride[kMaxDims];

  // Whether columns (the innermost kept axis) are folded side by side, or each output runs along
  // the reduced axes.
  bool by_columns;
  int64_t tile;     // outputs per tile: columns, or 1
  int64_t tiles;    // per outer kept index
  int64_t outer;    // kept indices outside of the columns
  int64_t splits;   // parts into which the reduced axes are cut
  int64_t grouped;  // tiles per task, when splits is 1

  int64_t part_begin(int64_t part) const {
    return count / splits * part + (count % splits) * part / splits;
  }
};

ReducePlan plan_reduction(const TensorView& x, uint32_t axes);

}  // namespace fastnn
