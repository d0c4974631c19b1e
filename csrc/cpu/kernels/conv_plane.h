// One channel under one filter, read where it lies: what is outside the image are lanes that masks
// leave at 0.
#pragma once

#include "cpu/kernels/conv_direct_table.h"
#include "cpu/kernels/conv_pack.h"
#include "cpu/kernels/gemm_tile.h"

namespace fastnn::FASTNN_ISA_NS {

#ifdef __AVX512F__

// Columns [first, first + lanes) of a row of `size` that are in the image, a bit for each.
template <class T>
FASTNN_INLINE uint32_t columns_inside(int64_t first, int64_t size) {
  constexpr int L = kLanes<T>;
  const int64_t from = first < 0 ? -first : 0, to = size - first;
  const uint32_t upper = to >= L ? ~0u : to <= 0 ? 0u : (1u << to) - 1;
  return from >= L ? 0u : upper & (~0u << from);
}

// The columns that the taps of a vector of pixels meet come in `kTapLoads` loads. With a step of 2,
// two neighbouring taps share two vectors: one takes the even, one the odd columns.
template <int K, int S>
constexpr int kTapLoads = S == 1 ? K : (K + 1) / 2 * 2;
template <class T, int S>
constexpr int64_t column_of_load(int i) {
  return S == 1 ? i : i / 2 * 2 + i % 2 * kLanes<T>;
}

template <class T, int K, int S, class Load>
FASTNN_INLINE void tap_columns(Load load, Vec<T> (&v)[K]) {
  if constexpr (S == 1) {
    FASTNN_UNROLL for (int i = 0; i < K; ++i) v[i] = load(i);
  } else {
    decltype(Vec<T>{} < Vec<T>{}) even{}, odd{};
    FASTNN_UNROLL for (int i = 0; i < kLanes<T>; ++i) {
      even[i] = 2 * i;
      odd[i] = 2 * i + 1;
    }
    FASTNN_UNROLL for (int i = 0; i < K; i += 2) {
      const Vec<T> a = load(i), b = load(i + 1);
      v[i] = __builtin_shuffle(a, b, even);
      if (i + 1 < K) v[i + 1] = __builtin_shuffle(a, b, odd);
    }
  }
}

// A vector of columns of R output rows. `Whole`: all its taps are in the image's columns.
template <class T, int K, int S, int R, bool Whole>
FASTNN_INLINE void image_rows(const ConvImagePlane& t, int64_t row0, int64_t column,
                              const Vec<T> (&w)[K][K]) {
  const int64_t y0 = t.low_y + row0 * S, x0 = t.low_x + column * S;
  uint32_t inside[kTapLoads<K, S>];
  FASTNN_UNROLL for (int i = 0; i < kTapLoads<K, S>; ++i) inside[i] =
      Whole ? 0 : columns_inside<T>(x0 + column_of_load<T, S>(i), t.size_x);
  const T* src = static_cast<const T*>(t.image) + y0 * t.image_row + x0;
  Vec<T> acc[R] = {};
  FASTNN_UNROLL for (int r = 0; r < (R - 1) * S + K; ++r) {
    const T* row = src + r * t.image_row;
    if (y0 + r < 0 || y0 + r >= t.size_y) continue;
    Vec<T> v[K];
    tap_columns<T, K, S>(
        [&](int i) __attribute__((always_inline)) {
          const T* p = row + column_of_load<T, S>(i);
          return Whole ? load(p) : load_over(Vec<T>{}, inside[i], p);
        },
        v);
    FASTNN_UNROLL for (int x = 0; x < K; ++x) {
      FASTNN_UNROLL for (int o = 0; o < R; ++o) {
        if (r >= o * S && r < o * S + K) acc[o] = fma(w[r - o * S][x], v[x], acc[o]);
      }
    }
  }
  const int64_t left = t.pixels - column;
  T* dst = static_cast<T*>(t.dst) + row0 * t.dst_row + column;
  FASTNN_UNROLL for (int o = 0; o < R; ++o) {
    if (t.bias) acc[o] += splat(*static_cast<const T*>(t.bias));
    if (t.rectifier.on) acc[o] = rectified(t.rectifier, acc[o]);
    if (Whole || left >= kLanes<T>)
      store(dst + o * t.dst_row, acc[o]);
    else
      store_n(dst + o * t.dst_row, acc[o], static_cast<int>(left));
  }
}

template <class T, int K, int S, int R>
FASTNN_INLINE void image_row_block(const ConvImagePlane& t, int64_t row0, const Vec<T> (&w)[K][K]) {
  constexpr int L = kLanes<T>;
  // The last column that the loads of a vector touch, from its first.
  constexpr int64_t kReach = S == 1 ? L + K - 1 : 2 * L + (K - 1) / 2 * 2;
  for (int64_t x = 0; x < t.pixels; x += L) {
    const int64_t x0 = t.low_x + x * S;
    if (x0 >= 0 && x0 + kReach <= t.size_x && x + L <= t.pixels)
      image_rows<T, K, S, R, true>(t, row0, x, w);
    else
      image_rows<T, K, S, R, false>(t, row0, x, w);
  }
}

template <class T, int K, int S>
static void image_plane(const ConvImagePlane& t) {
  const T* weight = static_cast<const T*>(t.weight);
  Vec<T> w[K][K];
  FASTNN_UNROLL for (int y = 0; y < K; ++y) FASTNN_UNROLL for (int x = 0; x < K; ++x) w[y][x] =
      splat(weight[y * t.weight_y + x * t.weight_x]);
  int64_t row = t.row0;
  for (; row + 4 <= t.row1; row += 4) image_row_block<T, K, S, 4>(t, row, w);
  for (; row + 2 <= t.row1; row += 2) image_row_block<T, K, S, 2>(t, row, w);
  for (; row < t.row1; ++row) image_row_block<T, K, S, 1>(t, row, w);
}

template <class T>
static void run_image_plane(const ConvImagePlane& t) {
  if (t.kernel == 3)
    t.step == 1 ? image_plane<T, 3, 1>(t) : image_plane<T, 3, 2>(t);
  else
    t.step == 1 ? image_plane<T, 5, 1>(t) : image_plane<T, 5, 2>(t);
}

#endif

}  // namespace fastnn::FASTNN_ISA_NS
