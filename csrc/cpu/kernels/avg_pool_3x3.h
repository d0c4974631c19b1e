// Average pooling over windows of 3 x 3 along rows, straight from the image: a line of sums in
// memory, as for wider windows, would be read back across the vectors that were just stored.
#pragma once

#include "cpu/kernels/avg_pool.h"
#include "cpu/kernels/lanes.h"
#include "cpu/kernels/pool_3x3.h"

namespace fastnn::FASTNN_ISA_NS {
namespace {

// sum / size, of sums that may be infinite, where divide() gives NaN.
template <class T>
FASTNN_INLINE Vec<T> mean_of(Vec<T> sum, Vec<T> size) {
  const Vec<T> mean = divide(sum, size);
  return mean == mean ? mean : sum * size;
}

// The column of a window's elements at `p`, down its rows.
template <class T, bool kEdge>
FASTNN_INLINE Vec<T> down(const T* p, int64_t stride, int64_t count, const LaneRange<T>& inside) {
  Vec<T> sum{};
  for (int64_t r = 0; r < count; ++r, p += stride)
    sum += kEdge ? load_range<T>(p, inside, T{0}) : load(p);
  return sum;
}

// Outputs o, o + 1, ... of one row from the rows of their windows, of which `p` is the first.
template <class T, int kStride, bool kEdge>
FASTNN_INLINE Vec<T> sum_3x3(const AvgRows<T>& a, const T* p, int64_t count,
                             const LaneRange<T> (&inside)[4]) {
  if constexpr (kStride == 1) {
    Vec<T> sum{};
#pragma GCC unroll 3
    for (int64_t k = 0; k < 3; ++k) sum += down<T, kEdge>(p + k, a.x_h, count, inside[k]);
    return sum;
  } else {
    constexpr int64_t n = kLanes<T>;
    const auto column = [&](int64_t at, int64_t which) __attribute__((always_inline)) {
      return down<T, kEdge>(p + at, a.x_h, count, inside[which]);
    };
    const Vec<T> low = column(0, 0), high = column(n, 1);
    const Vec<T> next = column(2, 2), last = column(n + 2, 3);
    return Vec<T>{} + even_lanes<T>(low, high) + odd_lanes<T>(low, high) +
           even_lanes<T>(next, last);
  }
}

template <class T, int kStride>
FASTNN_INLINE void row_group_3x3(const AvgRows<T>& a, int64_t first, int64_t last) {
  constexpr int64_t n = kLanes<T>;
  for (int64_t o = 0; o < a.w.out; o += n) {
    const int64_t start = o * kStride - a.w.padding, left = at_most(a.w.out - o, n);
    LaneRange<T> inside[4];
    for (int64_t i = 0; i < 4; ++i) {
      const int64_t at = kStride == 1 ? i : i / 2 * 2 + i % 2 * n;
      inside[i] = lanes_inside<T>(start + at, a.w.in);
    }
    bool whole = !kMasksAreFree;
    for (int64_t i = 0; i < 4; ++i) whole &= all_lanes<T>(inside[i]);
    const Vec<T> along = load(a.sizes + o);
    int64_t od = first / a.h.out, oh = first % a.h.out;
    for (int64_t r = first; r < last; ++r) {
      const PoolWindow& h = a.h.windows[oh];
      const T* p = a.x + od * a.x_d + h.begin * a.x_h + start;
      const Vec<T> sum = h.count != 3 ? sum_3x3<T, kStride, true>(a, p, h.count, inside)
                         : whole      ? sum_3x3<T, kStride, false>(a, p, 3, inside)
                                      : sum_3x3<T, kStride, true>(a, p, 3, inside);
      const Vec<T> size = a.divisor != 0 ? splat<T>(a.divisor) : along * static_cast<T>(h.size);
      store_some<T>(a.y + od * a.y_d + oh * a.y_h + o, mean_of<T>(sum, size), left);
      if (++oh == a.h.out) oh = 0, ++od;
    }
  }
}

// Inlined into the choice of kernels, it would not keep its masks in registers.
template <class T, int kStride>
__attribute__((noinline)) void rows_3x3(const AvgRows<T>& args) {
  const AvgRows<T> a = args;
  for (int64_t r = a.first; r < a.last; r += kRowGroup)
    row_group_3x3<T, kStride>(a, r, at_most(r + kRowGroup, a.last));
}

// Elements i, i + 1, ... of row ih of dx: down the outputs' rows first, then along.
template <class T, int kStride, bool kEdge>
FASTNN_INLINE void backward_3x3_block(const AvgRowsBackward<T>& a, int64_t id, int64_t ih,
                                      int64_t i, const Around<T>& at, const Vec<T> (&share)[3]) {
  const PoolCover rows = a.h.covers[ih];
  const T* g = a.dy + id * a.dy_d + rows.begin * a.dy_h;
  Vec<T> column[3] = {};
  for (int64_t r = 0; r < rows.count; ++r, g += a.dy_h) {
    const T by = a.divisor != 0 ? T{1} : T{1} / static_cast<T>(a.h.windows[rows.begin + r].size);
#pragma GCC unroll 3
    for (int64_t k = 0; k < 3; ++k) {
      const T* p = g + output_at<kStride>(a.w, i, k);
      column[k] += (kEdge ? load_range<T>(p, at.inside[k], T{0}) : load(p)) * by;
    }
  }
  Vec<T> low{}, high{};
#pragma GCC unroll 3
  for (int64_t k = 2; k >= 0; --k) {
    if (meets_odd<kStride>(a.w, i, k))
      high += column[k] * share[k];
    else
      low += column[k] * share[k];
  }
  store_phases<T, kStride>(a.dx + id * a.dx_d + ih * a.dx_h + i, low, high, a.w.in - i, kStride, 0);
}

template <class T, int kStride>
FASTNN_INLINE void row_group_backward_3x3(const AvgRowsBackward<T>& a, int64_t first,
                                          int64_t last) {
  for (int64_t i = 0; i < a.w.in; i += kLanes<T> * kStride) {
    const auto at = outputs_around<T, kStride>(a.w, i);
    Vec<T> share[3];
    for (int64_t k = 0; k < 3; ++k)
      share[k] = load_range<T>(a.shares + output_at<kStride>(a.w, i, k), at.inside[k], T{0});
    const bool whole = !kMasksAreFree && all_inside(at);
    int64_t id = first / a.h.in, ih = first % a.h.in;
    for (int64_t r = first; r < last; ++r) {
      if (whole)
        backward_3x3_block<T, kStride, false>(a, id, ih, i, at, share);
      else
        backward_3x3_block<T, kStride, true>(a, id, ih, i, at, share);
      if (++ih == a.h.in) ih = 0, ++id;
    }
  }
}

template <class T, int kStride>
__attribute__((noinline)) void rows_backward_3x3(const AvgRowsBackward<T>& args) {
  const AvgRowsBackward<T> a = args;
  for (int64_t r = a.first; r < a.last; r += kRowGroup)
    row_group_backward_3x3<T, kStride>(a, r, at_most(r + kRowGroup, a.last));
}

}  // namespace
}  // namespace fastnn::FASTNN_ISA_NS
