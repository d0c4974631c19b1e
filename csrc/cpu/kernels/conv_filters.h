// The kernels of conv_filters_table.h.
#pragma once

#include "cpu/kernels/conv_filters_table.h"
#include "cpu/kernels/gemm_pack.h"
#include "cpu/kernels/gemm_tile.h"
#include "cpu/kernels/lanes.h"

namespace fastnn::FASTNN_ISA_NS {

// ---- Sums ----

// Weights come from far away where they are laid out once for many calls, and so do pixels that
// are read where they lie: half of them another core wrote.
constexpr int kWeightsAhead = 32, kPixelsAhead = 12;
// The loop's own instructions cost what few products a tap of narrow vectors has.
constexpr int kTapsAtOnce = kLanes<float> < 16 ? 2 : 1;

template <class T, int S, int NV, int G, int R>
static void filter_tile(const ConvFilterTile& t) {
  constexpr int L = kLanes<T>;
  const T* x = static_cast<const T*>(t.x);
  const T* w = static_cast<const T*>(t.weight);
  const int64_t *offset = t.offset, *const end = offset + t.taps;
  Vec<T> acc[G][R][NV] = {};
  const char* ahead = t.ahead ? t.ahead : static_cast<const char*>(t.weight);
  const bool far = t.far;
  const int64_t* next = offset + (t.taps <= kPixelsAhead ? 0 : kPixelsAhead);
#pragma GCC unroll kTapsAtOnce
  for (; offset < end; ++offset, w += NV * L, ahead += 64) {
    __builtin_prefetch(ahead, 0, 2);
    if constexpr (S <= 2 && G == 1) {
      if (far) {
        __builtin_prefetch(x + *next);
        __builtin_prefetch(x + *next + (R - 1) * S);
        if (++next == end) next = t.offset;
      }
    }
    const T* at = x + *offset;
    Vec<T> v[NV];
    FASTNN_UNROLL for (int j = 0; j < NV; ++j) {
      v[j] = load(w + j * L);
      if (j * sizeof(Vec<T>) % 64 == 0) __builtin_prefetch(w + kWeightsAhead * NV * L + j * L);
    }
    FASTNN_UNROLL for (int g = 0; g < G; ++g) {
      FASTNN_UNROLL for (int r = 0; r < R; ++r) {
        const Vec<T> pixel = splat(at[r * S]);
        FASTNN_UNROLL for (int j = 0; j < NV; ++j) acc[g][r][j] = fma(pixel, v[j], acc[g][r][j]);
      }
      at += t.x_group;
    }
  }
  T* sum = static_cast<T*>(t.sum);
  FASTNN_UNROLL for (int g = 0; g < G; ++g) {
    T* to = sum + g * t.sum_group;
    FASTNN_UNROLL for (int r = 0; r < R; ++r) {
      FASTNN_UNROLL for (int j = 0; j < NV; ++j, to += L)
          store(to, t.first ? acc[g][r][j] : load(to) + acc[g][r][j]);
    }
  }
}

using FilterFn = void (*)(const ConvFilterTile&);
struct FilterTable {
  FilterFn fn[5][2][2][kRows];  // step, vectors, groups, pixels
};
// Steps of 1, 2 and 4 neighbours, of 1 and 2 vectors.
constexpr int step_index(int step, bool vectors) { return (vectors ? 3 : 0) + step / 2; }

template <class T, int S, int NV, int G, int R>
constexpr void fill_filters(FilterTable& table, int index) {
  if constexpr (R > 0) {
    table.fn[index][NV - 1][G - 1][R - 1] = &filter_tile<T, S, NV, G, R>;
    fill_filters<T, S, NV, G, R - 1>(table, index);
  }
}
template <class T, int Step, bool Vectors = false>
constexpr void fill_steps(FilterTable& table) {
  constexpr int S = Vectors ? Step * kLanes<T> : Step, index = step_index(Step, Vectors);
  fill_filters<T, S, 2, 1, kRows>(table, index);
  fill_filters<T, S, 2, 2, kRows / 2>(table, index);
  fill_filters<T, S, 1, 1, kRows>(table, index);
  fill_filters<T, S, 1, 2, kRows>(table, index);
}
template <class T>
constexpr FilterTable make_filter_table() {
  FilterTable table{};
  fill_steps<T, 1>(table);
  fill_steps<T, 2>(table);
  fill_steps<T, 4>(table);
  fill_steps<T, 1, true>(table);
  fill_steps<T, 2, true>(table);
  return table;
}
template <class T>
static void run_filter_tile(const ConvFilterTile& t) {
  static constexpr FilterTable table = make_filter_table<T>();
  table.fn[step_index(t.step, t.vectors_apart)][t.vectors - 1][t.groups - 1][t.pixels - 1](t);
}

// ---- Planes ----

template <class T, class Src>
FASTNN_INLINE Vec<T> load_channels(const Src* src, int64_t n) {
  if (n >= kLanes<T>) return load_wide(src);
  Vec<T> v{};
  for (int64_t i = 0; i < n; ++i) v[i] = widen(src[i]);
  return v;
}

// Adjacent channels stay so.
template <class T, class Src>
static void copy_chunks(const ConvPlanes& p) {
  constexpr int L = kLanes<T>;
  const int64_t begin = at_most(at_least(-p.x0, 0), p.width);
  const int64_t end = at_least(at_most(p.size_x - p.x0, p.width), begin);
  for (int64_t c = 0; c < p.channels; c += L)
    for (int64_t r = 0; r < p.rows; ++r) {
      T* out = static_cast<T*>(p.dst) + c / L * p.dst_channel + r * p.width * L;
      const int64_t y = p.y0 + r, n = at_most(p.channels - c, L);
      const bool in_image = y >= 0 && y < p.size_y;
      const Src* row = static_cast<const Src*>(p.data) + c + (in_image ? y * p.stride_y : 0);
      int64_t x = 0;
      for (; x < (in_image ? begin : p.width); ++x) store(out + x * L, Vec<T>{});
      if (n == L)
        for (; x < end; ++x) store(out + x * L, load_wide(row + (p.x0 + x) * p.stride_x));
      for (; x < end; ++x) store(out + x * L, load_channels<T>(row + (p.x0 + x) * p.stride_x, n));
      for (; x < p.width; ++x) store(out + x * L, Vec<T>{});
    }
}

// Adjacent pixels: vectors of a row, the last one first, because it may go over the row's end. The
// plane after the next is fetched meanwhile: an image comes from the third-level cache or memory.
template <class T>
static void copy_rows(const ConvPlanes& p) {
  constexpr int L = kLanes<T>;
  const int64_t width = p.width, stride_y = p.stride_y, rows = p.rows, ahead = 2 * p.stride_c;
  const int64_t top = at_most(at_least(-p.y0, 0), rows);
  const int64_t bottom = at_least(at_most(p.size_y - p.y0, rows), top);
  const T* plane = static_cast<const T*>(p.data) + p.x0 + (p.y0 + top) * stride_y;
  T* out = static_cast<T*>(p.dst);
  for (int64_t c = 0; c < p.channels; ++c, plane += p.stride_c, out += p.dst_channel) {
    for (int64_t x = (width - 1) / L * L; x >= 0; x -= L) {
      const auto inside = lanes_inside<T>(p.x0 + x, p.size_x);
      const T* from = plane + x;
      T* to = out + x;
      int64_t r = 0;
      for (; r < top; ++r, to += width) store(to, Vec<T>{});
      for (; r < bottom; ++r, to += width, from += stride_y) {
        __builtin_prefetch(from + ahead);
        store(to, load_range<T>(from, inside, T(0)));
      }
      for (; r < rows; ++r, to += width) store(to, Vec<T>{});
    }
  }
}

template <class T, class Src>
static void planes_from(const ConvPlanes& p) {
  const Src* data = static_cast<const Src*>(p.data);
  T* out = static_cast<T*>(p.dst);
  if (p.chunks) return copy_chunks<T, Src>(p);
  if constexpr (sizeof(Src) == sizeof(T))
    if (p.stride_x == 1) return copy_rows<T>(p);
  for (int64_t c = 0; c < p.channels; ++c)
    for (int64_t r = 0; r < p.rows; ++r) {
      const int64_t y = p.y0 + r;
      const bool in_image = y >= 0 && y < p.size_y;
      T* row = out + c * p.dst_channel + r * p.width;
      for (int64_t x = 0; x < p.width; ++x) {
        const int64_t at = p.x0 + x;
        row[x] = in_image && at >= 0 && at < p.size_x
                     ? widen(data[c * p.stride_c + y * p.stride_y + at * p.stride_x])
                     : T(0);
      }
    }
}

template <class T>
static void copy_planes(const ConvPlanes& p) {
  if (p.dtype == DType::bf16) return planes_from<T, bf16>(p);
  if (p.dtype == DType::f16) return planes_from<T, f16>(p);
  planes_from<T, float>(p);
}

// ---- Results ----

// Up to a vector of neighbouring pixels of the filters from `sum` on.
template <class T>
FASTNN_INLINE void turn_pixels(const ConvFilterOut& f, const T* sum, int pixels, T* to, int n) {
  constexpr int L = kLanes<T>;
  Vec<T> v[L];
#pragma GCC unroll 16
  for (int i = 0; i < L; ++i) v[i] = i < pixels ? load(sum + i * f.panel) : Vec<T>{};
  transpose<T>(v);
#pragma GCC unroll 16
  for (int i = 0; i < L; ++i) {
    if (i >= n) continue;
    if (f.out_pixel == 2)  // a part of the gradient of a convolution with stride 2
      store_every_other<T>(to + i * f.out_filter, v[i], pixels);
    else if (pixels == L)
      store(to + i * f.out_filter, v[i]);
    else
      store_n(to + i * f.out_filter, v[i], pixels);
  }
}

// A cache line of pixels is written at once: filters may lie so far apart that their lines evict
// each other.
constexpr int kPixelsOfLine = 16;

template <class T>
static void finish_pixels(const ConvFilterOut& f, T* sum, int pixels, void* out) {
  constexpr int L = kLanes<T>;
  if (f.dtype == DType::f32 && (f.out_pixel == 1 || f.out_pixel == 2)) {
    for (int o = 0; o < f.filters; o += L) {
      T* to = static_cast<T*>(out) + o * f.out_filter;
      const int n = f.filters - o < L ? f.filters - o : L;
      for (int p = 0; p < pixels; p += L)
        turn_pixels(f, sum + p * f.panel + o, pixels - p < L ? pixels - p : L, to + p * f.out_pixel,
                    n);
    }
    return;
  }
  if (f.dtype == DType::f32 && f.out_filter == 1) {
    T* to = static_cast<T*>(out);
    for (int i = 0; i < pixels; ++i, sum += f.panel, to += f.out_pixel) {
      int o = 0;
      for (; o + L <= f.filters; o += L) store(to + o, load(sum + o));
      if (o < f.filters) store_n(to + o, load(sum + o), f.filters - o);
    }
    return;
  }
  const GemmFinish g{sum, f.panel, pixels,      f.filters,   Activation::none,
                     out, f.dtype, f.out_pixel, f.out_filter};
  finish<T>(g);
}

template <class T>
static void finish_filters(const ConvFilterOut& f) {
  constexpr int L = kLanes<T>;
  T* sum = static_cast<T*>(f.sum);
  char* out = static_cast<char*>(f.out);
  const int64_t step = kPixelsOfLine * f.out_pixel * (f.dtype == DType::f32 ? 4 : 2);
  for (int64_t p = 0; p < f.pixels; p += kPixelsOfLine, out += step) {
    const int pixels =
        f.pixels - p < kPixelsOfLine ? static_cast<int>(f.pixels - p) : kPixelsOfLine;
    for (int i = 0; i < pixels; ++i) {
      T* row = sum + i * f.panel;
      if (f.bias)
        for (int o = 0; o < f.panel; o += L)
          store(row + o, load(row + o) + load(static_cast<const T*>(f.bias) + o));
      activate<T>(f.activation, row, static_cast<int>(f.panel));
    }
    finish_pixels<T>(f, sum, pixels, out);
    sum += kPixelsOfLine * f.panel;
  }
}

template <class T>
static constexpr ConvFilters filters() {
  return {kLanes<T>, kRows, &run_filter_tile<T>, &copy_planes<T>, &finish_filters<T>};
}

}  // namespace fastnn::FASTNN_ISA_NS
