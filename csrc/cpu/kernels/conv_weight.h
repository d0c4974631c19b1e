// The direct kernels of weight gradients; see conv_direct_table.h.
#pragma once

#include "cpu/kernels/conv_direct_table.h"
#include "cpu/kernels/gemm_tile.h"
#include "cpu/kernels/lanes.h"

namespace fastnn::FASTNN_ISA_NS {

#if defined(__AVX512F__)
constexpr int kTapSums = 28;
#else
constexpr int kTapSums = 12;
#endif

// ---- Filters side by side: pixels are broadcast ----

// G groups of W taps of neighbouring pixels, which are S apart.
template <class T, int G, int W, int NV, int S>
static void tap_tile(const ConvTapTile& t) {
  constexpr int L = kLanes<T>;
  int64_t group[G];
  FASTNN_UNROLL for (int g = 0; g < G; ++g) group[g] = t.offset[g * W];
  Vec<T> acc[G][W][NV] = {};
  const T* dy = static_cast<const T*>(t.dy);
  const T* image = static_cast<const T*>(t.x);
  for (int64_t i = 0; i < t.images; ++i, image += t.x_image) {
    for (int64_t row = 0; row < t.rows; ++row) {
      const T* x = image + row * t.x_row;
#pragma GCC unroll 1
      for (int64_t p = 0; p < t.pixels; ++p, x += t.x_pixel, dy += NV * L) {
        Vec<T> d[NV];
        FASTNN_UNROLL for (int v = 0; v < NV; ++v) d[v] = load(dy + v * L);
        FASTNN_UNROLL for (int g = 0; g < G; ++g) {
          const T* from = x + group[g];
          FASTNN_UNROLL for (int w = 0; w < W; ++w) {
            const Vec<T> b = splat(from[w * S]);
            FASTNN_UNROLL for (int v = 0; v < NV; ++v) acc[g][w][v] = fma(b, d[v], acc[g][w][v]);
          }
        }
      }
    }
  }
  const int64_t run = W == 1 ? t.sum_tap : t.sum_run;
  FASTNN_UNROLL for (int g = 0; g < G; ++g) {
    T* sum = static_cast<T*>(t.sum) + g * run;
    FASTNN_UNROLL for (int w = 0; w < W; ++w, sum += t.sum_tap) {
      FASTNN_UNROLL for (int v = 0; v < NV; ++v)
          store(sum + v * L, t.first ? acc[g][w][v] : load(sum + v * L) + acc[g][w][v]);
    }
  }
}

// Single taps, any number.
template <class T, int NV, int R>
static void loose_taps(const ConvTapTile& t) {
  if (t.taps == R) return tap_tile<T, R, 1, NV, 1>(t);
  if constexpr (R > 1) loose_taps<T, NV, R - 1>(t);
}

template <class T, int NV, int S>
static void run_taps_of(const ConvTapTile& t) {
  if (t.adjacent) {
    const int groups = t.taps / t.width;
    if (t.width == 3 && groups == 3) return tap_tile<T, 3, 3, NV, S>(t);
    if (t.width == 3 && groups == 2) return tap_tile<T, 2, 3, NV, S>(t);
    if constexpr (25 * NV <= kTapSums)
      if (t.width == 5 && groups == 5) return tap_tile<T, 5, 5, NV, S>(t);
    if constexpr (10 * NV <= kTapSums)
      if (t.width == 5 && groups == 2) return tap_tile<T, 2, 5, NV, S>(t);
    if constexpr (14 * NV <= kTapSums)
      if (t.width == 7 && groups == 2) return tap_tile<T, 2, 7, NV, S>(t);
  }
  loose_taps<T, NV, kTapSums / NV>(t);
}

template <class T>
static void run_taps(const ConvTapTile& t) {
  constexpr int L = kLanes<T>;
  if (t.vectors == 1)
    t.vectors_apart ? run_taps_of<T, 1, L>(t) : run_taps_of<T, 1, 1>(t);
  else
    t.vectors_apart ? run_taps_of<T, 2, L>(t) : run_taps_of<T, 2, 1>(t);
}

// ---- Pixels side by side ----

template <class T, int F, int R>
static void dot_tile(const ConvDotTile& t) {
  constexpr int L = kLanes<T>;
  int64_t offset[R];
  FASTNN_UNROLL for (int r = 0; r < R; ++r) offset[r] = t.offset[r];
  Vec<T> acc[F][R] = {};
  const int64_t whole = t.pixels / L * L;
  const int last = static_cast<int>(t.pixels - whole);
  for (int64_t row = 0; row < t.rows; ++row) {
    const T* x = static_cast<const T*>(t.x) + row * t.x_row;
    const T* dy = static_cast<const T*>(t.dy) + row * t.dy_row;
    const T* ahead0 = static_cast<const T*>(t.ahead[0]) + row * t.dy_row;
    const T* ahead1 = static_cast<const T*>(t.ahead[1]) + row * t.dy_row;
    for (int64_t p = 0; p < whole; p += L) {
      __builtin_prefetch(ahead0 + p, 0, 2);
      __builtin_prefetch(ahead1 + p, 0, 2);
      Vec<T> d[F];
      FASTNN_UNROLL for (int f = 0; f < F; ++f) d[f] = load(dy + f * t.dy_filter + p);
      FASTNN_UNROLL for (int r = 0; r < R; ++r) {
        const Vec<T> v = load(x + offset[r] + p);
        FASTNN_UNROLL for (int f = 0; f < F; ++f) acc[f][r] = fma(v, d[f], acc[f][r]);
      }
    }
    if (last == 0) continue;
    // Lanes without a pixel are 0 in both: what lies behind the row must not count, even times 0.
    Vec<T> d[F];
    FASTNN_UNROLL for (int f = 0; f < F; ++f) d[f] = load_n(dy + f * t.dy_filter + whole, last);
    FASTNN_UNROLL for (int r = 0; r < R; ++r) {
      const Vec<T> v = load_n(x + offset[r] + whole, last);
      FASTNN_UNROLL for (int f = 0; f < F; ++f) acc[f][r] = fma(v, d[f], acc[f][r]);
    }
  }
  T* sum = static_cast<T*>(t.sum);
  FASTNN_UNROLL for (int f = 0; f < F; ++f) FASTNN_UNROLL for (int r = 0; r < R; ++r) {
    store(sum, load(sum) + acc[f][r]);
    sum += L;
  }
}

template <class T, int F, int R>
static void find_dots(const ConvDotTile& t) {
  if (t.taps == R) return dot_tile<T, F, R>(t);
  if constexpr (R > 1) find_dots<T, F, R - 1>(t);
}

constexpr int kDotSums = kTapSums - 4;

template <class T>
static void run_dots(const ConvDotTile& t) {
  switch (t.filters) {
    case 1:
      return find_dots<T, 1, kDotSums>(t);
    case 2:
      return find_dots<T, 2, kDotSums / 2>(t);
    case 3:
      return find_dots<T, 3, kDotSums / 3>(t);
    default:
      return find_dots<T, 4, kDotSums / 4>(t);
  }
}

}  // namespace fastnn::FASTNN_ISA_NS
