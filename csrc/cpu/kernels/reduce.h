// Folds: the loops inside of reductions.
#pragma once

#include <stdint.h>

#include "cpu/kernels/isa_table.h"

namespace fastnn {

enum class Fold : uint8_t {
  sum,
  prod,
  max,
  min,
  nonzero,  // count of
  sum_abs,
  sum_squares,
  max_abs,
  min_abs,
  sum_power,    // of |x|^shift
  sum_centred,  // of (x - shift)^2
  sum_exp,      // of e^(x - shift)
  count
};

// Accumulators are double (compute types float and double) or int64_t.

// acc[0] = acc[0] o fold of n contiguous elements. `shift` has one double.
using FoldRunFn = void (*)(void* acc, const void* x, int64_t n, const double* shift);
// acc[c] = acc[c] o fold over rows of x[r * row_stride + c], for each of `cols` columns. `shift`
// has one for each.
using FoldColsFn = void (*)(void* acc, const void* x, int64_t rows, int64_t row_stride,
                            int64_t cols, const double* shift);

struct FoldEntry {
  FoldRunFn run[3];  // by compute type; null where there is none
  FoldColsFn cols[3];
};

// Index of the first element equal to `value` (a T; the first NaN when it is NaN); n when there is
// none.
using FindFn = int64_t (*)(const void* x, int64_t n, const void* value);
// As cols, for max (sign 1) and min (sign -1), noting in index[c] the row (first_row + r) of the
// first extreme.
using ExtremeColsFn = void (*)(void* acc, int64_t* index, const void* x, int64_t rows,
                               int64_t row_stride, int64_t cols, int64_t first_row, int sign);

struct ReduceKernels {
  FoldEntry fold[static_cast<int>(Fold::count)];
  FindFn find[3];
  ExtremeColsFn extreme_cols[3];
};

FASTNN_KERNELS(ReduceKernels, reduce_kernels)

}  // namespace fastnn
