// One channel under one filter, read where it lies: what is outside the image are lanes that masks
// leave at 0.
#pragma once

#include "cpu/kernels/conv_direct_table.h"
#include "cpu/kernels/conv_pack.h"
#include "cpu/kernels/conv_plane_flat.h"
#include "cpu/kernels/conv_plane_pairs.h"
#include "cpu/kernels/gemm_tile.h"
#include "cpu/kernels/lane_mask.h"

namespace fastnn::FASTNN_ISA_NS {

#ifdef __AVX2__

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
    FASTNN_UNROLL for (int i = 0; i < K; i += 2) {
      const Vec<T> a = load(i), b = load(i + 1);
      v[i] = even_lanes<T>(a, b);
      if (i + 1 < K) v[i + 1] = odd_lanes<T>(a, b);
    }
  }
}

// Which lanes a vector of columns may load and which have a pixel; the same for all rows. `whole`:
// all lanes have one, and all loads lie in the image; there may be no masks then (`mask_whole`).
template <class T, int K, int S>
struct PlaneColumns {
  int64_t first;
  bool whole;
  LaneMask<T> pixels;
  LaneMask<T> inside[kTapLoads<K, S>];
};

template <class T, int K, int S>
FASTNN_INLINE bool is_whole(int64_t column, int64_t low, int64_t size, int64_t pixels) {
  constexpr int L = kLanes<T>;
  // The last column that the loads of a vector touch, from its first.
  constexpr int64_t kReach = S == 1 ? L + K - 1 : 2 * L + (K - 1) / 2 * 2;
  const int64_t x0 = low + column * S;
  return x0 >= 0 && x0 + kReach <= size && column + L <= pixels;
}

template <class T, int K, int S>
FASTNN_INLINE PlaneColumns<T, K, S> plane_columns(int64_t column, int64_t low, int64_t size,
                                                  int64_t pixels, bool mask_whole) {
  PlaneColumns<T, K, S> c;
  const int64_t x0 = low + column * S;
  c.first = column;
  c.whole = is_whole<T, K, S>(column, low, size, pixels);
  if (c.whole && !mask_whole) return c;
  c.pixels = mask_inside<T>(column, pixels);
  FASTNN_UNROLL for (int i = 0; i < kTapLoads<K, S>; ++i) c.inside[i] =
      mask_inside<T>(x0 + column_of_load<T, S>(i), size);
  return c;
}

// How the columns of a row are read: as whole vectors; those in the image; or, under three taps,
// loaded once and turned by a lane, as a load across two cache lines takes longer. What a turn
// brings in is a lane of its own, or, where the row is alone in its vector, the last one, which is
// free.
enum class Columns { whole, inside, turned, alone };

#ifdef __AVX512F__
// Wider planes are at the bandwidth of caches, and turns beside whole vectors cost more than they
// give.
FASTNN_INLINE bool fits_turns(int kernel, int step, int64_t low_x, int64_t size_x, int64_t pixels) {
  return kernel == 3 && step == 1 && low_x == -1 && pixels <= size_x && pixels <= 2 * kLanes<float>;
}
FASTNN_INLINE bool fits_alone(int kernel, int step, int64_t low_x, int64_t size_x, int64_t pixels) {
  return kernel == 3 && step == 1 && low_x == -1 && size_x < kLanes<float> &&
         pixels < kLanes<float>;
}

// *p in all lanes, or 0: p must be readable all the same.
FASTNN_INLINE __m512i spread_if(bool there, const float* p) {
  return (__m512i)_mm512_maskz_broadcastss_ps(there ? 0xffff : 0, _mm_load_ss(p));
}

FASTNN_INLINE void turned_columns(const PlaneColumns<float, 3, 1>& at, const float* row,
                                  vf (&v)[3]) {
  constexpr int L = kLanes<float>;
  v[1] = load_where(at.inside[1], row + 1);
  const bool before = at.inside[0].bits & 1, after = at.inside[2].bits >> (L - 1) & 1;
  const __m512i here = (__m512i)v[1], left = spread_if(before, row + (before ? 0 : 1)),
                right = spread_if(after, row + (after ? L + 1 : 1));
  v[0] = (vf)_mm512_maskz_alignr_epi32(0xffff, here, left, L - 1);
  v[2] = (vf)_mm512_maskz_alignr_epi32(0xffff, right, here, 1);
}
#endif

// Keeps the compiler from loading a value anew for each product, to save registers: half of the
// loads lie across two cache lines, and weights can be loaded instead.
template <class T>
FASTNN_INLINE void loaded_once(T& v) {
  asm("" : "+v"(v));
}

// What the taps of a row meet that begins at `row`.
template <Columns C, class T, int K, int S>
FASTNN_INLINE void row_columns(const PlaneColumns<T, K, S>& at, const T* row, Vec<T> (&v)[K]) {
  if constexpr (C == Columns::turned || C == Columns::alone) {
#ifdef __AVX512F__
    if (C == Columns::turned)
      turned_columns(at, row, v);
    else
      turn(load_where(at.inside[1], row + 1), v);
#endif
  } else {
    tap_columns<T, K, S>(
        [&](int i) __attribute__((always_inline)) {
          const T* p = row + column_of_load<T, S>(i);
          return C == Columns::whole ? load(p) : load_where(at.inside[i], p);
        },
        v);
  }
}

// Whether the taps of R rows from `row` on meet only rows of the image.
template <int K, int S, int R>
FASTNN_INLINE bool rows_inside(int64_t low, int64_t row, int64_t size) {
  const int64_t y = low + row * S;
  return y >= 0 && y + (R - 1) * S + K <= size;
}

// A vector of columns, from `column` on, of R output rows. `Inner`: all its taps are in the image's
// rows.
template <class T, int K, int S, int R, Columns C, bool Inner>
FASTNN_INLINE void image_tile(const ConvImagePlane& t, int64_t row0, int64_t column,
                              const PlaneColumns<T, K, S>& at, const Vec<T> (&w)[K][K]) {
  const int64_t y0 = t.low_y + row0 * S;
  const T* src = static_cast<const T*>(t.image) + y0 * t.image_row + t.low_x + column * S;
  Vec<T> acc[R] = {};
  FASTNN_UNROLL for (int r = 0; r < (R - 1) * S + K; ++r) {
    const T* row = src + r * t.image_row;
    if (!Inner && (y0 + r < 0 || y0 + r >= t.size_y)) continue;
    Vec<T> v[K];
    row_columns<C>(at, row, v);
    FASTNN_UNROLL for (int x = 0; x < K; ++x) {
      if (C == Columns::whole) loaded_once(v[x]);
      FASTNN_UNROLL for (int o = 0; o < R; ++o) {
        if (r >= o * S && r < o * S + K) acc[o] = fma(w[r - o * S][x], v[x], acc[o]);
      }
    }
  }
  if (t.bias)
    FASTNN_UNROLL for (int o = 0; o < R; ++o) acc[o] += splat(*static_cast<const T*>(t.bias));
  if (t.rectifier.on)
    FASTNN_UNROLL for (int o = 0; o < R; ++o) acc[o] = rectified(t.rectifier, acc[o]);
  T* dst = static_cast<T*>(t.dst) + row0 * t.dst_row + column;
  FASTNN_UNROLL for (int o = 0; o < R; ++o) {
    if (C == Columns::whole)
      store(dst + o * t.dst_row, acc[o]);
    else
      store_where(at.pixels, dst + o * t.dst_row, acc[o]);
  }
}

// Columns [at.first, end) of R output rows; more than a vector of them only if they are whole.
template <class T, int K, int S, int R, Columns C, bool Inner>
FASTNN_INLINE void image_rows(const ConvImagePlane& t, int64_t row0, int64_t end,
                              const PlaneColumns<T, K, S>& at, const Vec<T> (&w)[K][K]) {
  int64_t column = at.first;
  do image_tile<T, K, S, R, C, Inner>(t, row0, column, at, w);
  while (C == Columns::whole && (column += kLanes<T>) < end);
}

// Columns [at.first, end) of rows [row, stop).
template <Columns C, class T, int K, int S>
FASTNN_INLINE void image_columns(const ConvImagePlane& t, int64_t row, int64_t stop, int64_t end,
                                 const PlaneColumns<T, K, S>& at, const Vec<T> (&w)[K][K]) {
  for (; row + 4 <= stop; row += 4) {
    if (rows_inside<K, S, 4>(t.low_y, row, t.size_y))
      image_rows<T, K, S, 4, C, true>(t, row, end, at, w);
    else
      image_rows<T, K, S, 4, C, false>(t, row, end, at, w);
  }
  for (; row + 2 <= stop; row += 2) image_rows<T, K, S, 2, C, false>(t, row, end, at, w);
  for (; row < stop; ++row) image_rows<T, K, S, 1, C, false>(t, row, end, at, w);
}

// Rows that one vector of columns is done for before the next; planes of more than so many vectors
// are read in order.
template <class T>
FASTNN_INLINE int64_t rows_together(int64_t pixels, int64_t vectors) {
  return pixels <= vectors * kLanes<T> ? 16 : 4;
}

template <class T, int K, int S, Columns C = Columns::inside>
static void image_plane(const ConvImagePlane& t) {
  const T* weight = static_cast<const T*>(t.weight);
  Vec<T> w[K][K];
  FASTNN_UNROLL for (int y = 0; y < K; ++y) FASTNN_UNROLL for (int x = 0; x < K; ++x) w[y][x] =
      splat(weight[y * t.weight_y + x * t.weight_x]);
  // The masks of columns at an edge take long to make where they are vectors.
  constexpr int64_t kNarrow = sizeof(Vec<T>) == 64 ? 2 : 8;
  const int64_t rows = rows_together<T>(t.pixels, kNarrow);
  for (int64_t row = t.row0; row < t.row1; row += rows) {
    const int64_t stop = t.row1 - row < rows ? t.row1 : row + rows;
    for (int64_t x = 0, end; x < t.pixels; x = end) {
      const auto at = plane_columns<T, K, S>(x, t.low_x, t.size_x, t.pixels, false);
      end = x + kLanes<T>;
      if (C != Columns::alone && at.whole) {
        while (is_whole<T, K, S>(end, t.low_x, t.size_x, t.pixels)) end += kLanes<T>;
        image_columns<Columns::whole>(t, row, stop, end, at, w);
      } else {
        image_columns<C>(t, row, stop, end, at, w);
      }
    }
  }
}

// Calls kernel(t) for each of the planes.
template <class T, class F>
FASTNN_INLINE void for_planes(ConvImagePlane t, F kernel) {
  for (int64_t p = 0; p < t.planes; ++p) {
    kernel(t);
    t.image = static_cast<const T*>(t.image) + t.image_plane;
    t.dst = static_cast<T*>(t.dst) + t.dst_plane;
    t.weight = static_cast<const T*>(t.weight) + t.weight_plane;
    if (t.bias) t.bias = static_cast<const T*>(t.bias) + t.bias_plane;
  }
}

template <class T>
static void one_image_plane(const ConvImagePlane& t) {
#ifdef __AVX512F__
  if constexpr (sizeof(T) == 4) {
    if (fits_pairs(t.kernel, t.step, t.low_x, t.size_x, t.pixels)) return image_plane_pairs(t);
    if (fits_alone(t.kernel, t.step, t.low_x, t.size_x, t.pixels))
      return image_plane<T, 3, 1, Columns::alone>(t);
    if (fits_turns(t.kernel, t.step, t.low_x, t.size_x, t.pixels))
      return image_plane<T, 3, 1, Columns::turned>(t);
  }
#endif
  if (t.kernel == 3)
    t.step == 1 ? image_plane<T, 3, 1>(t) : image_plane<T, 3, 2>(t);
  else
    t.step == 1 ? image_plane<T, 5, 1>(t) : image_plane<T, 5, 2>(t);
}

template <class T>
static void run_image_plane(const ConvImagePlane& t) {
#ifdef __AVX512F__
  if constexpr (sizeof(T) == 4)
    if (t.row0 == 0 && fits_flat(t.kernel, t.step, t.low_y, t.low_x, t.size_y, t.size_x,
                                 t.row1 - t.row0, t.pixels, t.image_row, t.dst_row))
      return image_planes_flat(t);
#endif
  for_planes<T>(t, one_image_plane<T>);
}

#endif

}  // namespace fastnn::FASTNN_ISA_NS
