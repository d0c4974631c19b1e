// The gradients of one channel under one filter, both images read and written where they lie.
#pragma once

#include "cpu/kernels/conv_plane.h"
#include "cpu/kernels/conv_plane_pairs.h"

namespace fastnn::FASTNN_ISA_NS {

#ifdef __AVX2__

// ---- The input's gradient with a step of 2 ----

// Pixel x of dx, at X = x + low_x, is reached by the taps of X's parity: 0, 2, ... from dy's
// columns X / 2, X / 2 - 1, ... So even and odd columns are summed apart, and dealt out at the end.
// Rows likewise: rows 2 Y and 2 Y + 1 together need dy's rows Y, Y - 1, ...
template <class T, int K>
FASTNN_INLINE void spread_rows(const ConvImagePlane& t, int64_t below, int64_t column,
                               const LaneMask<T>* inside, const Vec<T> (&w)[K][K]) {
  Vec<T> sum[2][2] = {};  // by parity of the row, and of the column
  FASTNN_UNROLL for (int k = 0; k < K; k += 2) {
    const int64_t row = below - k / 2;
    if (row < 0 || row >= t.size_y) continue;
    const T* src = static_cast<const T*>(t.image) + row * t.image_row + column;
    FASTNN_UNROLL for (int q = 0; q < (K + 1) / 2; ++q) {
      const Vec<T> v = load_where(inside[q], src - q);
      FASTNN_UNROLL for (int p = 0; p < 4; ++p) {
        if (k + p / 2 < K && 2 * q + p % 2 < K)
          sum[p / 2][p % 2] = fma(w[k + p / 2][2 * q + p % 2], v, sum[p / 2][p % 2]);
      }
    }
  }
  constexpr int L = kLanes<T>;
  decltype(Vec<T>{} < Vec<T>{}) low{}, high{};
  FASTNN_UNROLL for (int i = 0; i < L; ++i) {
    low[i] = i / 2 + i % 2 * L;
    high[i] = low[i] + L / 2;
  }
  const int64_t x = 2 * column - t.low_x;
  const LaneMask<T> first = mask_inside<T>(x, t.pixels), second = mask_inside<T>(x + L, t.pixels);
  FASTNN_UNROLL for (int p = 0; p < 2; ++p) {
    const int64_t y = 2 * below + p - t.low_y;
    if (y < t.row0 || y >= t.row1) continue;
    Vec<T> even = sum[p][0], odd = sum[p][1];
    if (t.bias) {
      const Vec<T> b = splat(*static_cast<const T*>(t.bias));
      even += b;
      odd += b;
    }
    if (t.rectifier.on) {
      even = rectified(t.rectifier, even);
      odd = rectified(t.rectifier, odd);
    }
    T* dst = static_cast<T*>(t.dst) + y * t.dst_row;
    store_where(first, dst + x, __builtin_shuffle(even, odd, low));
    if (second) store_where(second, dst + x + L, __builtin_shuffle(even, odd, high));
  }
}

template <class T, int K>
static void spread_plane(const ConvImagePlane& t) {
  const T* weight = static_cast<const T*>(t.weight);
  Vec<T> w[K][K];
  FASTNN_UNROLL for (int y = 0; y < K; ++y) FASTNN_UNROLL for (int x = 0; x < K; ++x) w[y][x] =
      splat(weight[y * t.weight_y + x * t.weight_x]);
  const int64_t last = (t.row1 - 1 + t.low_y) >> 1;
  const int64_t rows = rows_together<T>(t.pixels / 2, 2);
  for (int64_t below = (t.row0 + t.low_y) >> 1; below <= last; below += rows) {
    const int64_t stop = last - below < rows ? last + 1 : below + rows;
    for (int64_t column = t.low_x >> 1; 2 * column - t.low_x < t.pixels; column += kLanes<T>) {
      LaneMask<T> inside[(K + 1) / 2];
      FASTNN_UNROLL for (int q = 0; q < (K + 1) / 2; ++q) inside[q] =
          mask_inside<T>(column - q, t.size_x);
      for (int64_t b = below; b < stop; ++b) spread_rows<T, K>(t, b, column, inside, w);
    }
  }
}

template <class T>
static void run_spread_plane(const ConvImagePlane& t) {
  for_planes<T>(t, t.kernel == 3 ? spread_plane<T, 3> : spread_plane<T, 5>);
}

// ---- The weight's gradient ----

// A vector of dy's columns in R rows, times the pixels that their taps meet. Lanes without a pixel
// take no part: what lies behind a row must not count, even times 0. `Inner`: all these pixels'
// rows are in the image.
template <class T, int K, int S, int R, Columns C, bool Inner>
FASTNN_INLINE void add_dots(const ConvPlaneDots& t, const T* image, const T* dy, int64_t row,
                            const PlaneColumns<T, K, S>& at, Vec<T> (&acc)[K][K]) {
  const int64_t y0 = t.low_y + row * S;
  Vec<T> d[R];
  FASTNN_UNROLL for (int o = 0; o < R; ++o) d[o] =
      load_where(at.pixels, dy + (row + o) * t.dy_row + at.first);
  const T* src = image + y0 * t.image_row + t.low_x + at.first * S;
  FASTNN_UNROLL for (int r = 0; r < (R - 1) * S + K; ++r) {
    if (!Inner && (y0 + r < 0 || y0 + r >= t.size_y)) continue;
    Vec<T> v[K];
    row_columns<C>(at, src + r * t.image_row, v);
    FASTNN_UNROLL for (int o = 0; o < R; ++o) {
      if (r < o * S || r >= o * S + K) continue;
      FASTNN_UNROLL for (int x = 0; x < K; ++x) acc[r - o * S][x] =
          fma_where(at.pixels, v[x], d[o], acc[r - o * S][x]);
    }
  }
}

template <class T, int K, int S, Columns C>
FASTNN_INLINE void add_plane_dots(const ConvPlaneDots& t, const T* image, const T* dy,
                                  Vec<T> (&acc)[K][K]) {
  constexpr int R = K == 3 && (S == 1 || sizeof(Vec<T>) == 64) ? 4 : 2;
  constexpr int64_t kRows = 32;  // that one vector of columns is done for before the next
  for (int64_t first = 0; first < t.rows; first += kRows) {
    const int64_t stop = t.rows - first < kRows ? t.rows : first + kRows;
    for (int64_t x = 0; x < t.pixels; x += kLanes<T>) {
      const auto at = plane_columns<T, K, S>(x, t.low_x, t.size_x, t.pixels, true);
      int64_t row = first;
      while (row < stop)
        if (row + R <= stop && rows_inside<K, S, R>(t.low_y, row, t.size_y)) {
          add_dots<T, K, S, R, C, true>(t, image, dy, row, at, acc);
          row += R;
        } else {
          add_dots<T, K, S, 1, C, false>(t, image, dy, row, at, acc);
          ++row;
        }
    }
  }
}

template <class T, int K>
FASTNN_INLINE void copy_taps(const Vec<T> (&from)[K][K], Vec<T> (&to)[K][K]) {
  FASTNN_UNROLL for (int y = 0; y < K; ++y) FASTNN_UNROLL for (int x = 0; x < K; ++x) to[y][x] =
      from[y][x];
}

// add(t, image, dy, acc) for each plane. Planes that lie one behind the other are read in this
// order, which the hardware foresees, from a few images at once.
template <class T, int K, class Add>
FASTNN_INLINE void plane_dots(const ConvPlaneDots& t, Add add) {
  constexpr int64_t kImages = 8;
  Vec<T> sums[kConvDotPlanes][K][K];
  for (int64_t p = 0; p < t.planes; ++p) copy_taps<T, K>({}, sums[p]);
  for (int64_t first = 0; first < t.images; first += kImages)
    for (int64_t p = 0; p < t.planes; ++p) {
      Vec<T> acc[K][K];
      copy_taps<T, K>(sums[p], acc);
      for (int64_t n = first; n < at_most(first + kImages, t.images); ++n)
        add(t, static_cast<const T*>(t.image) + n * t.image_n + p * t.image_plane,
            static_cast<const T*>(t.dy) + n * t.dy_n + p * t.dy_plane, acc);
      copy_taps<T, K>(acc, sums[p]);
    }
  for (int64_t p = 0; p < t.planes; ++p)
    for (int y = 0; y < K; ++y)
      for (int x = 0; x < K; ++x)
        t.sum[(p * K + y) * K + x] += static_cast<double>(sum_lanes(sums[p][y][x]));
}

template <class T, int K, int S, Columns C = Columns::inside>
static void general_dots(const ConvPlaneDots& t) {
  plane_dots<T, K>(t, add_plane_dots<T, K, S, C>);
}

#ifdef __AVX512F__
static void pair_dots(const ConvPlaneDots& t) { plane_dots<float, 3>(t, add_pair_dots); }
static void flat_dots(const ConvPlaneDots& t) { plane_dots<float, 3>(t, add_flat_dots); }
#endif

template <class T>
static void run_plane_dots(const ConvPlaneDots& t) {
#ifdef __AVX512F__
  if constexpr (sizeof(T) == 4) {
    if (fits_flat(t.kernel, t.step, t.low_y, t.low_x, t.size_y, t.size_x, t.rows, t.pixels,
                  t.image_row, t.dy_row))
      return flat_dots(t);
    if (fits_pairs(t.kernel, t.step, t.low_x, t.size_x, t.pixels)) return pair_dots(t);
    if (fits_alone(t.kernel, t.step, t.low_x, t.size_x, t.pixels))
      return general_dots<T, 3, 1, Columns::alone>(t);
  }
#endif
  if (t.kernel == 3)
    t.step == 1 ? general_dots<T, 3, 1>(t) : general_dots<T, 3, 2>(t);
  else
    t.step == 1 ? general_dots<T, 5, 1>(t) : general_dots<T, 5, 2>(t);
}

#endif

}  // namespace fastnn::FASTNN_ISA_NS
