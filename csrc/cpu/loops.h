// Loop nests over operands that share a shape but not their strides: axes are put in the order of
// the first operand's memory and merged where every operand allows it, then cut into tiles of the
// two innermost axes.
#pragma once

#include <cstdint>

#include "fastnn/tensor_view.h"

namespace fastnn {

constexpr int kMaxOperands = 4;

struct Loops {
  int ndim = 0;  // at least 1 after build_loops
  int operands = 0;
  int64_t shape[kMaxDims];
  int64_t stride[kMaxOperands][kMaxDims];

  int64_t cols() const { return shape[ndim - 1]; }
  int64_t rows() const { return ndim > 1 ? shape[ndim - 2] : 1; }
  int64_t col_stride(int k) const { return stride[k][ndim - 1]; }
  int64_t row_stride(int k) const { return ndim > 1 ? stride[k][ndim - 2] : 0; }
};

// views[0] has the full shape; the others broadcast to it.
Loops build_loops(const TensorView* views, int operands);

// Walks over the tiles of a loop nest: `offset` holds, for every operand, where the tile starts.
class TileWalk {
 public:
  TileWalk(const Loops& loops, int64_t tile_rows, int64_t tile_cols);
  int64_t tiles() const { return tiles_; }
  void seek(int64_t tile);
  void next();

  int64_t rows() const { return min(tile_rows_, loops_.rows() - row_); }
  int64_t cols() const { return min(tile_cols_, loops_.cols() - col_); }
  int64_t offset(int k) const { return offset_[k]; }

 private:
  static int64_t min(int64_t a, int64_t b) { return a < b ? a : b; }
  void locate();

  const Loops& loops_;
  int64_t tile_rows_, tile_cols_, tiles_;
  int64_t row_ = 0, col_ = 0;
  int64_t index_[kMaxDims] = {};      // of the outer axes
  int64_t outer_[kMaxOperands] = {};  // their part of the offset
  int64_t offset_[kMaxOperands] = {};
};

}  // namespace fastnn
