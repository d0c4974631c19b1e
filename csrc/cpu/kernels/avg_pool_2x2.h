// Average pooling over windows of 2 x 2.
#pragma once

#include "cpu/kernels/avg_pool.h"
#include "cpu/kernels/pool_2x2.h"

namespace fastnn::FASTNN_ISA_NS {
namespace {

// Division by 4 is exact as a product, and much quicker.
template <class T>
FASTNN_INLINE Vec<T> mean_of(Vec<T> sum, T divisor) {
  return divisor == 0 || divisor == 4 ? sum * T(0.25) : sum / divisor;
}
template <class T>
FASTNN_INLINE T share_of(T divisor) {
  return divisor == 0 ? T(0.25) : T{1} / divisor;
}

// ---- Rows ------------------------------------------------------------------------------------

template <class T, bool kTail>
FASTNN_INLINE void forward_2x2_block(const AvgRows<T>& a, const T* top, const LanePair<T>& inside,
                                     T* y, int64_t n) {
  const Quad<T> x = load_quad<T, kTail>(top, top + a.x_h, inside);
  // Each sum begins with 0, which leaves no -0; down first, as wider windows.
  const Vec<T> sum = (Vec<T>{} + x.at[0] + x.at[2]) + (Vec<T>{} + x.at[1] + x.at[3]);
  store_some<T>(y, mean_of<T>(sum, a.divisor), n);
}

template <class T>
void rows_2x2(const AvgRows<T>& a) {
  const LanePair<T> inside = first_lanes<T>(2 * (a.w.out % kLanes<T>));
  int64_t od = a.first / a.h.out, oh = a.first % a.h.out;
  for (int64_t r = a.first; r < a.last; ++r) {
    const T* top = a.x + od * a.x_d + 2 * oh * a.x_h;
    T* y = a.y + od * a.y_d + oh * a.y_h;
    for_outputs<T>(a.w.out, [&](int64_t o, int64_t n) __attribute__((always_inline)) {
      if (n == kLanes<T>)
        forward_2x2_block<T, false>(a, top + 2 * o, inside, y + o, n);
      else
        forward_2x2_block<T, true>(a, top + 2 * o, inside, y + o, n);
    });
    if (++oh == a.h.out) oh = 0, ++od;
  }
}

// The two rows of dx that belong to one row of outputs.
template <class T>
FASTNN_INLINE void backward_2x2_rows(const AvgRowsBackward<T>& a, int64_t id, int64_t oh) {
  const T* dy = a.dy + id * a.dy_d + oh * a.dy_h;
  T* top = a.dx + id * a.dx_d + 2 * oh * a.dx_h;
  T* bottom = top + a.dx_h;
  const T share = share_of(a.divisor);
  for_outputs<T>(a.w.out, [&](int64_t o, int64_t n) __attribute__((always_inline)) {
    const Vec<T> g = Vec<T>{} + load_channels(dy + o, n) * share;
    store_pair<T>(top + 2 * o, g, g, 2 * n);
    store_pair<T>(bottom + 2 * o, g, g, 2 * n);
  });
  if (a.w.in % 2) top[a.w.in - 1] = bottom[a.w.in - 1] = 0;
}

// ---- Channels-last ---------------------------------------------------------------------------

template <class T>
void pixels_2x2(const AvgPixels<T>& a) {
  const T* top = a.x + a.od * a.x_d + 2 * a.oh * a.x_h;
  for (int64_t o = 0; o < a.w.out; ++o, top += 2 * a.x_w) {
    const T* bottom = top + a.x_h;
    for_channels<T>(a.channels, [&](int64_t c, int64_t n) __attribute__((always_inline)) {
      const auto pair = [&](const T* p) __attribute__((always_inline)) {
        return Vec<T>{} + load_channels(p + c, n) + load_channels(p + a.x_w + c, n);
      };
      store_some<T>(a.y + o * a.y_w + c, mean_of<T>(pair(top) + pair(bottom), a.divisor), n);
    });
  }
}

template <class T>
void pixels_backward_2x2(const AvgPixelsBackward<T>& a) {
  const int64_t oh = a.ih / 2, pairs = oh < a.h.out ? a.w.out : 0;
  const T* dy = a.dy + a.id * a.dy_d + oh * a.dy_h;
  const T share = share_of(a.divisor);
  T* dx = a.dx;
  for (int64_t o = 0; o < pairs; ++o, dy += a.dy_w, dx += 2 * a.dx_w)
    for_channels<T>(a.channels, [&](int64_t c, int64_t n) __attribute__((always_inline)) {
      const Vec<T> g = Vec<T>{} + load_channels(dy + c, n) * share;
      store_some<T>(dx + c, g, n);
      store_some<T>(dx + a.dx_w + c, g, n);
    });
  for (int64_t i = 2 * pairs; i < a.w.in; ++i, dx += a.dx_w)
    for (int64_t c = 0; c < a.channels; ++c) dx[c] = 0;
}

}  // namespace
}  // namespace fastnn::FASTNN_ISA_NS
