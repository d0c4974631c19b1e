#include "cpu/loops.h"

#include <cstdlib>
#include <utility>

namespace fastnn {

namespace {

// Outer axes first: by the first operand's stride, ties (broadcast or size-1 axes) by the next
// operands'.
bool outside(const Loops& l, int a, int b) {
  for (int k = 0; k < l.operands; ++k) {
    const int64_t sa = std::llabs(l.stride[k][a]), sb = std::llabs(l.stride[k][b]);
    if (sa != sb) return sa > sb;
  }
  return false;
}

void swap_axes(Loops& l, int a, int b) {
  std::swap(l.shape[a], l.shape[b]);
  for (int k = 0; k < l.operands; ++k) std::swap(l.stride[k][a], l.stride[k][b]);
}

}  // namespace

Loops build_loops(const TensorView* views, int operands) {
  Loops l;
  l.operands = operands;
  const TensorView& full = views[0];
  for (int d = 0; d < full.ndim; ++d) {
    if (full.shape[d] == 1) continue;
    l.shape[l.ndim] = full.shape[d];
    for (int k = 0; k < operands; ++k) {
      const int own = d - (full.ndim - views[k].ndim);
      l.stride[k][l.ndim] = own < 0 || views[k].shape[own] == 1 ? 0 : views[k].stride[own];
    }
    ++l.ndim;
  }
  for (int i = 1; i < l.ndim; ++i)
    for (int j = i; j > 0 && outside(l, j, j - 1); --j) swap_axes(l, j - 1, j);

  int last = 0;  // merge every axis into the one outside of it, where no operand jumps between them
  for (int d = 1; d < l.ndim; ++d) {
    bool joined = true;
    for (int k = 0; k < operands; ++k)
      joined = joined && l.stride[k][last] == l.stride[k][d] * l.shape[d];
    if (joined) {
      l.shape[last] *= l.shape[d];
    } else {
      l.shape[++last] = l.shape[d];
    }
    for (int k = 0; k < operands; ++k) l.stride[k][last] = l.stride[k][d];
  }
  if (l.ndim) {
    l.ndim = last + 1;
  } else {  // one element
    l.ndim = 1;
    l.shape[0] = 1;
    for (int k = 0; k < operands; ++k) l.stride[k][0] = 1;
  }
  return l;
}

TileWalk::TileWalk(const Loops& loops, int64_t tile_rows, int64_t tile_cols)
    : loops_(loops), tile_rows_(tile_rows), tile_cols_(tile_cols) {
  tiles_ =
      ((loops.rows() + tile_rows - 1) / tile_rows) * ((loops.cols() + tile_cols - 1) / tile_cols);
  for (int d = 0; d < loops.ndim - 2; ++d) tiles_ *= loops.shape[d];
}

void TileWalk::locate() {
  for (int k = 0; k < loops_.operands; ++k)
    offset_[k] = outer_[k] + row_ * loops_.row_stride(k) + col_ * loops_.col_stride(k);
}

void TileWalk::seek(int64_t tile) {
  const int64_t across = (loops_.cols() + tile_cols_ - 1) / tile_cols_;
  const int64_t down = (loops_.rows() + tile_rows_ - 1) / tile_rows_;
  col_ = tile % across * tile_cols_;
  tile /= across;
  row_ = tile % down * tile_rows_;
  tile /= down;
  for (int k = 0; k < loops_.operands; ++k) outer_[k] = 0;
  for (int d = loops_.ndim - 3; d >= 0; --d) {
    index_[d] = tile % loops_.shape[d];
    tile /= loops_.shape[d];
    for (int k = 0; k < loops_.operands; ++k) outer_[k] += index_[d] * loops_.stride[k][d];
  }
  locate();
}

void TileWalk::next() {
  col_ += tile_cols_;
  if (col_ >= loops_.cols()) {
    col_ = 0;
    row_ += tile_rows_;
    if (row_ >= loops_.rows()) {
      row_ = 0;
      for (int d = loops_.ndim - 3; d >= 0; --d) {
        for (int k = 0; k < loops_.operands; ++k) outer_[k] += loops_.stride[k][d];
        if (++index_[d] < loops_.shape[d]) break;
        for (int k = 0; k < loops_.operands; ++k)
          outer_[k] -= loops_.shape[d] * loops_.stride[k][d];
        index_[d] = 0;
      }
    }
  }
  locate();
}

}  // namespace fastnn
