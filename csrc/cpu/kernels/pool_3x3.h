// Windows of 3 x 3 at stride 1 or 2, for the gradients of rows.
#pragma once

#include "cpu/kernels/lanes.h"
#include "cpu/kernels/pool_axis.h"

namespace fastnn::FASTNN_ISA_NS {
namespace {

FASTNN_INLINE bool is_3x3(const PoolAxis& d, const PoolAxis& h, const PoolAxis& w) {
  return d.kernel == 1 && d.stride == 1 && d.padding == 0 && h.kernel == 3 && w.kernel == 3 &&
         h.dilation == 1 && w.dilation == 1 && h.stride == w.stride && w.stride <= 2 &&
         !d.adaptive && !h.adaptive && !w.adaptive;
}

constexpr int64_t kRowGroup = 16;  // rows that one block of columns is done for before the next

// For elements i, i + 1, ... of a row of dx and column k of the windows: the first output that
// meets elements there. At stride 2, i is even, and a column meets the even or the odd ones of two
// vectors.
template <int kStride>
FASTNN_INLINE int64_t output_at(const PoolAxis& w, int64_t i, int64_t k) {
  const int64_t at = i + w.padding - k;
  return kStride == 1 ? at : (at + 1) >> 1;
}
template <int kStride>
FASTNN_INLINE bool meets_odd(const PoolAxis& w, int64_t i, int64_t k) {
  return kStride == 2 && ((i + w.padding - k) & 1);
}

// By column, the lanes whose outputs there are.
template <class T>
struct Around {
  LaneRange<T> inside[3];
};
template <class T, int kStride>
FASTNN_INLINE Around<T> outputs_around(const PoolAxis& w, int64_t i) {
  Around<T> a;
  for (int64_t k = 0; k < 3; ++k) a.inside[k] = lanes_inside<T>(output_at<kStride>(w, i, k), w.out);
  return a;
}
template <class T>
FASTNN_INLINE bool all_inside(const Around<T>& a) {
  return all_lanes<T>(a.inside[0]) && all_lanes<T>(a.inside[1]) && all_lanes<T>(a.inside[2]);
}

// Elements of dx: one vector at stride 1; at stride 2 the even and the odd elements of two;
// otherwise one by one, every `stride` elements, from phase and phase + 1.
template <class T, int kStride>
FASTNN_INLINE void store_phases(T* dx, Vec<T> low, Vec<T> high, int64_t left, int64_t stride,
                                int64_t phase) {
  constexpr int64_t n = kLanes<T>;
  if constexpr (kStride == 1) {
    store_some<T>(dx, low, at_most(left, n));
  } else if constexpr (kStride == 2) {
    store_some<T>(dx, zip_low<T>(low, high), at_most(left, n));
    if (left > n) store_some<T>(dx + n, zip_high<T>(low, high), at_most(left - n, n));
  } else {
    T lane[2][n];
    store(lane[0], low);
    store(lane[1], high);
    const int64_t phases = at_most(stride - phase, 2);
    for (int64_t j = 0; j < n; ++j)
      for (int64_t q = 0; q < phases; ++q)
        if (phase + q + j * stride < left) dx[phase + q + j * stride] = lane[q][j];
  }
}

}  // namespace
}  // namespace fastnn::FASTNN_ISA_NS
