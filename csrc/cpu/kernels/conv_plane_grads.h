// The gradients of one channel under one filter, both images read and written where they lie.
#pragma once

#include "cpu/kernels/conv_plane.h"

namespace fastnn::FASTNN_ISA_NS {

#ifdef __AVX512F__

template <class T>
FASTNN_INLINE void store_where(T* p, Vec<T> v, uint32_t mask) {
  if constexpr (sizeof(T) == 4)
    _mm512_mask_storeu_ps(p, static_cast<__mmask16>(mask), (__m512)v);
  else
    _mm512_mask_storeu_pd(p, static_cast<__mmask8>(mask), (__m512d)v);
}

// ---- The input's gradient with a step of 2 ----

// Pixel x of dx, at X = x + low_x, is reached by the taps of X's parity: 0, 2, ... from dy's
// columns X / 2, X / 2 - 1, ... So even and odd columns are summed apart, and dealt out at the end.
// Rows likewise.
template <class T, int K>
FASTNN_INLINE void spread_row(const ConvImagePlane& t, int64_t y, const Vec<T> (&w)[K][K]) {
  constexpr int L = kLanes<T>;
  decltype(Vec<T>{} < Vec<T>{}) low{}, high{};
  FASTNN_UNROLL for (int i = 0; i < L; ++i) {
    low[i] = i / 2 + i % 2 * L;
    high[i] = low[i] + L / 2;
  }
  const int64_t at = y + t.low_y, below = at >> 1;
  T* dst = static_cast<T*>(t.dst) + y * t.dst_row;
  for (int64_t column = t.low_x >> 1; 2 * column - t.low_x < t.pixels; column += L) {
    uint32_t inside[(K + 1) / 2];
    FASTNN_UNROLL for (int q = 0; q < (K + 1) / 2; ++q) inside[q] =
        columns_inside<T>(column - q, t.size_x);
    Vec<T> even{}, odd{};
    FASTNN_UNROLL for (int k = 0; k < K; ++k) {
      const int64_t row = below - k / 2;
      if ((at & 1) != k % 2 || row < 0 || row >= t.size_y) continue;
      const T* src = static_cast<const T*>(t.image) + row * t.image_row + column;
      FASTNN_UNROLL for (int q = 0; q < (K + 1) / 2; ++q) {
        const Vec<T> v = load_over(Vec<T>{}, inside[q], src - q);
        even = fma(w[k][2 * q], v, even);
        if (2 * q + 1 < K) odd = fma(w[k][2 * q + 1], v, odd);
      }
    }
    if (t.bias) {
      const Vec<T> b = splat(*static_cast<const T*>(t.bias));
      even += b;
      odd += b;
    }
    if (t.rectifier.on) {
      even = rectified(t.rectifier, even);
      odd = rectified(t.rectifier, odd);
    }
    const int64_t x = 2 * column - t.low_x;
    store_where(dst + x, __builtin_shuffle(even, odd, low), columns_inside<T>(x, t.pixels));
    store_where(dst + x + L, __builtin_shuffle(even, odd, high),
                columns_inside<T>(x + L, t.pixels));
  }
}

template <class T, int K>
static void spread_plane(const ConvImagePlane& t) {
  const T* weight = static_cast<const T*>(t.weight);
  Vec<T> w[K][K];
  FASTNN_UNROLL for (int y = 0; y < K; ++y) FASTNN_UNROLL for (int x = 0; x < K; ++x) w[y][x] =
      splat(weight[y * t.weight_y + x * t.weight_x]);
  for (int64_t y = t.row0; y < t.row1; ++y) spread_row<T, K>(t, y, w);
}

template <class T>
static void run_spread_plane(const ConvImagePlane& t) {
  t.kernel == 3 ? spread_plane<T, 3>(t) : spread_plane<T, 5>(t);
}

// ---- The weight's gradient ----

template <class T>
FASTNN_INLINE Vec<T> first_lanes(Vec<T> v, uint32_t mask) {
  if constexpr (sizeof(T) == 4)
    return (Vec<T>)_mm512_maskz_mov_ps(static_cast<__mmask16>(mask), (__m512)v);
  else
    return (Vec<T>)_mm512_maskz_mov_pd(static_cast<__mmask8>(mask), (__m512d)v);
}

// A vector of dy's columns in one row, times the pixels that its taps met.
template <class T, int K, int S>
FASTNN_INLINE void add_dots(const ConvPlaneDots& t, int64_t row, int64_t column,
                            Vec<T> (&acc)[K][K]) {
  const int64_t y0 = t.low_y + row * S, x0 = t.low_x + column * S;
  // Lanes without a pixel are 0 in both: what lies behind the row must not count, even times 0.
  const uint32_t pixels = columns_inside<T>(column, t.pixels);
  const Vec<T> d =
      load_over(Vec<T>{}, pixels, static_cast<const T*>(t.dy) + row * t.dy_row + column);
  uint32_t inside[kTapLoads<K, S>];
  FASTNN_UNROLL for (int i = 0; i < kTapLoads<K, S>; ++i) inside[i] =
      columns_inside<T>(x0 + column_of_load<T, S>(i), t.size_x);
  FASTNN_UNROLL for (int k = 0; k < K; ++k) {
    if (y0 + k < 0 || y0 + k >= t.size_y) continue;
    const T* src = static_cast<const T*>(t.image) + (y0 + k) * t.image_row + x0;
    Vec<T> v[K];
    tap_columns<T, K, S>(
        [&](int i) __attribute__((always_inline)) {
          return load_over(Vec<T>{}, inside[i], src + column_of_load<T, S>(i));
        },
        v);
    FASTNN_UNROLL for (int x = 0; x < K; ++x) acc[k][x] =
        fma(first_lanes<T>(v[x], pixels), d, acc[k][x]);
  }
}

template <class T, int K, int S>
static void plane_dots(const ConvPlaneDots& t) {
  Vec<T> acc[K][K] = {};
  for (int64_t row = 0; row < t.rows; ++row)
    for (int64_t x = 0; x < t.pixels; x += kLanes<T>) add_dots<T, K, S>(t, row, x, acc);
  FASTNN_UNROLL for (int y = 0; y < K; ++y) FASTNN_UNROLL for (int x = 0; x < K; ++x)
      t.sum[y * K + x] += static_cast<double>(sum_lanes(acc[y][x]));
}

template <class T>
static void run_plane_dots(const ConvPlaneDots& t) {
  if (t.kernel == 3)
    t.step == 1 ? plane_dots<T, 3, 1>(t) : plane_dots<T, 3, 2>(t);
  else
    t.step == 1 ? plane_dots<T, 5, 1>(t) : plane_dots<T, 5, 2>(t);
}

#endif

}  // namespace fastnn::FASTNN_ISA_NS
