// The direct kernels; see conv_direct_table.h.
#pragma once

#include "cpu/kernels/conv_channels.h"
#include "cpu/kernels/conv_direct_table.h"
#include "cpu/kernels/conv_pack.h"
#include "cpu/kernels/conv_plane_grads.h"
#include "cpu/kernels/conv_weight.h"
#include "cpu/kernels/gemm_tile.h"

namespace fastnn::FASTNN_ISA_NS {

#if defined(__AVX512F__)
constexpr int kSums = 24;  // accumulators, leaving room for what they are multiplied with
#else
constexpr int kSums = 12;
#endif
constexpr int kMaxFilters = 8;

// ---- Bands ----

template <class T, class Src>
static void copy_row(const Src* src, int64_t stride, int64_t n, T* dst) {
  int64_t i = 0;
  if (stride == 1)
    for (; i + kLanes<T> <= n; i += kLanes<T>) store(dst + i, load_wide(src + i));
  for (; i < n; ++i) dst[i] = widen(src[i * stride]);
}

// Even and odd columns apart.
template <class T>
static void deal_two(const T* src, int64_t pairs, T* even, T* odd) {
  constexpr int L = kLanes<T>;
  int64_t i = 0;
  for (; i + L <= pairs; i += L) {
    const Vec<T> a = load(src + 2 * i), b = load(src + 2 * i + L);
    store(even + i, even_lanes<T>(a, b));
    store(odd + i, odd_lanes<T>(a, b));
  }
  if (i == pairs) return;
  const int64_t n = pairs - i, in_b = 2 * n - L;
  const Vec<T> a = in_b >= 0 ? load(src + 2 * i) : load_n(src + 2 * i, 2 * n);
  const Vec<T> b = in_b > 0 ? load_n(src + 2 * i + L, in_b) : Vec<T>{};
  store_n(even + i, even_lanes<T>(a, b), n);
  store_n(odd + i, odd_lanes<T>(a, b), n);
}

template <class T, class Src>
static void band_from(const ConvBand& b) {
  T* row = static_cast<T*>(b.dst);
  const int64_t pitch = b.phases * b.width;
  // Columns [begin, end) of the band lie in the image.
  const int64_t total = b.width * b.phases;
  const int64_t begin = b.x0 < 0 ? -b.x0 : 0;
  const int64_t end = b.size_x - b.x0 < total ? b.size_x - b.x0 : total;
  for (int64_t r = 0; r < b.rows; ++r, row += pitch) {
    const int64_t y = b.y0 + r;
    if (y < 0 || y >= b.size_y || begin >= end) {
      memset(row, 0, static_cast<size_t>(pitch) * sizeof(T));
      continue;
    }
    const Src* src = static_cast<const Src*>(b.data) + y * b.stride_y + (b.x0 + begin) * b.stride_x;
#ifdef __AVX512F__
    // Whole vectors, also over the end of the row: the next row, or the slack, follows.
    if constexpr (sizeof(Src) == sizeof(T))
      if (b.phases == 1 && b.stride_x == 1) {
        for (int64_t i = 0; i < total; i += kLanes<T>) {
          if (i >= begin && i + kLanes<T> <= end) {
            store(row + i, load(src + (i - begin)));
            continue;
          }
          const int64_t from = begin > i ? begin - i : 0, to = end - i;
          const uint32_t upper = to >= kLanes<T> ? ~0u : to <= 0 ? 0u : (1u << to) - 1;
          const uint32_t lower = from >= kLanes<T> ? ~0u : (1u << from) - 1;
          store(row + i, load_over(Vec<T>{}, upper & ~lower, src + (i - begin)));
        }
        continue;
      }
#endif
    if (b.phases == 1) {
      for (int64_t i = 0; i < begin; ++i) row[i] = 0;
      copy_row<T, Src>(src, b.stride_x, end - begin, row + begin);
      for (int64_t i = end; i < total; ++i) row[i] = 0;
      continue;
    }
    for (int64_t p = 0; p < b.phases; ++p) {
      T* to = row + p * b.width;
      const int64_t first = (begin - p + b.phases - 1) / b.phases;
      const int64_t last = (end - p + b.phases - 1) / b.phases;
      for (int64_t i = 0; i < first; ++i) to[i] = 0;
      for (int64_t i = last > first ? last : first; i < b.width; ++i) to[i] = 0;
    }
    int64_t x = begin;
    if constexpr (sizeof(Src) == sizeof(T))
      if (b.phases == 2 && b.stride_x == 1) {
        if (x % 2 == 1 && x < end) {
          row[b.width + x / 2] = src[0];
          ++x;
        }
        const int64_t pairs = at_least(end - x, 0) / 2;
        deal_two<T>(src + (x - begin), pairs, row + x / 2, row + b.width + x / 2);
        x += 2 * pairs;
      }
    int64_t phase = x % b.phases, i = x / b.phases;
    for (; x < end; ++x) {
      row[phase * b.width + i] = widen(src[(x - begin) * b.stride_x]);
      if (++phase == b.phases) {
        phase = 0;
        ++i;
      }
    }
  }
}

template <class T>
static void copy_band(const ConvBand& b) {
  if constexpr (sizeof(T) == 8) {
    band_from<T, double>(b);
  } else {
    if (b.dtype == DType::bf16) return band_from<T, bf16>(b);
    if (b.dtype == DType::f16) return band_from<T, f16>(b);
    band_from<T, float>(b);
  }
}

// ---- Rows of output pixels: filters are broadcast ----

// A line that is written is first read, from memory where the result is large. The hardware does
// not follow so many rows: with each line that is written a later one is asked for.
constexpr int kStoresAhead = 512;  // bytes

template <class T, int F, int V>
static void row_tile(const ConvRowTile& t) {
  const T* w = static_cast<const T*>(t.weight);
  const T* src[V];
  FASTNN_UNROLL for (int v = 0; v < V; ++v) src[v] = static_cast<const T*>(t.src[v]);
  Vec<T> acc[F][V] = {};
#pragma GCC unroll 1
  for (int64_t k = 0; k < t.k; ++k, w += F) {
    const int64_t at = t.offset[k];
    Vec<T> x[V];
    FASTNN_UNROLL for (int v = 0; v < V; ++v) x[v] = load(src[v] + at);
    FASTNN_UNROLL for (int f = 0; f < F; ++f) {
      const Vec<T> wf = splat(w[f]);
      FASTNN_UNROLL for (int v = 0; v < V; ++v) acc[f][v] = fma(wf, x[v], acc[f][v]);
    }
  }
  FASTNN_UNROLL for (int f = 0; f < F; ++f) {
    if (t.bias) {
      const Vec<T> b = splat(static_cast<const T*>(t.bias)[f]);
      FASTNN_UNROLL for (int v = 0; v < V; ++v) acc[f][v] += b;
    }
    if (t.rectifier.on)
      FASTNN_UNROLL for (int v = 0; v < V; ++v) acc[f][v] = rectified(t.rectifier, acc[f][v]);
    FASTNN_UNROLL for (int v = 0; v < V; ++v) {
      T* dst = static_cast<T*>(t.dst[v]) + f * t.dst_filter;
      __builtin_prefetch(dst + kStoresAhead / sizeof(T), 1);
      if (t.lanes[v] == kLanes<T>)
        store(dst, acc[f][v]);
      else
        store_n(dst, acc[f][v], t.lanes[v]);
    }
  }
}

static constexpr int most_vectors(int filters) {
  return kSums / filters < kConvVectors ? kSums / filters : kConvVectors;
}

using RowFn = void (*)(const ConvRowTile&);
struct RowTable {
  RowFn fn[kMaxFilters][kConvVectors];
};
template <class T, int F, int V>
constexpr void fill_row_table(RowTable& table) {
  if constexpr (F > 0) {
    if constexpr (V <= most_vectors(F)) {
      table.fn[F - 1][V - 1] = &row_tile<T, F, V>;
      fill_row_table<T, F, V + 1>(table);
    } else {
      fill_row_table<T, F - 1, 1>(table);
    }
  }
}
template <class T>
constexpr RowTable make_row_table() {
  RowTable table{};
  fill_row_table<T, kMaxFilters, 1>(table);
  return table;
}
template <class T>
static void run_rows(const ConvRowTile& t) {
  static constexpr RowTable table = make_row_table<T>();
  table.fn[t.filters - 1][t.vectors - 1](t);
}

// ---- One channel, one filter: rows of x are read once for all rows of output that they reach ----

// R output rows of one vector of pixels; K x K taps, S the stride of rows.
template <class T, int K, int S, int R>
FASTNN_INLINE void plane_rows(const ConvPlane& t, const T* src, T* dst, int lanes,
                              const Vec<T> (&w)[K][K]) {
  Vec<T> acc[R] = {};
  FASTNN_UNROLL for (int r = 0; r < (R - 1) * S + K; ++r) {
    FASTNN_UNROLL for (int x = 0; x < K; ++x) {
      const Vec<T> v = load(src + r * t.pitch + t.column[x]);
      FASTNN_UNROLL for (int o = 0; o < R; ++o) {
        if (r >= o * S && r < o * S + K) acc[o] = fma(w[r - o * S][x], v, acc[o]);
      }
    }
  }
  FASTNN_UNROLL for (int o = 0; o < R; ++o) {
    if (t.bias) acc[o] += splat(*static_cast<const T*>(t.bias));
    if (t.rectifier.on) acc[o] = rectified(t.rectifier, acc[o]);
    if (lanes == kLanes<T>)
      store(dst + o * t.dst_row, acc[o]);
    else
      store_n(dst + o * t.dst_row, acc[o], lanes);
  }
}

template <class T, int K, int S>
static void plane(const ConvPlane& t) {
  constexpr int L = kLanes<T>, R = 4;
  const T* weight = static_cast<const T*>(t.weight);
  Vec<T> w[K][K];
  FASTNN_UNROLL for (int y = 0; y < K; ++y) FASTNN_UNROLL for (int x = 0; x < K; ++x) w[y][x] =
      splat(weight[y * K + x]);
  const T* src = static_cast<const T*>(t.src);
  T* dst = static_cast<T*>(t.dst);
  int64_t row = 0;
  for (; row + R <= t.rows; row += R, src += R * S * t.pitch, dst += R * t.dst_row)
    for (int64_t x = 0; x < t.pixels; x += L)
      plane_rows<T, K, S, R>(t, src + x, dst + x,
                             t.pixels - x < L ? static_cast<int>(t.pixels - x) : L, w);
  for (; row < t.rows; ++row, src += S * t.pitch, dst += t.dst_row)
    for (int64_t x = 0; x < t.pixels; x += L)
      plane_rows<T, K, S, 1>(t, src + x, dst + x,
                             t.pixels - x < L ? static_cast<int>(t.pixels - x) : L, w);
}

template <class T>
static void run_plane(const ConvPlane& t) {
  if (t.kernel == 3)
    t.step == 1 ? plane<T, 3, 1>(t) : plane<T, 3, 2>(t);
  else
    t.step == 1 ? plane<T, 5, 1>(t) : plane<T, 5, 2>(t);
}

template <class T>
static constexpr ConvDirect direct() {
  return {kLanes<T>,
          {0, kTapSums, kTapSums / 2},
          kDotSums,
          &most_vectors,
          kMaxFilters,
          &copy_band<T>,
          &run_rows<T>,
          &run_plane<T>,
#ifdef __AVX2__
          &run_image_plane<T>,
          &run_spread_plane<T>,
          &run_plane_dots<T>,
#else
          nullptr,
          nullptr,
          nullptr,
#endif
          &run_taps<T>,
          &run_dots<T>,
          &run_channel_row<T>,
          &run_channel_dots<T>};
}

}  // namespace fastnn::FASTNN_ISA_NS
