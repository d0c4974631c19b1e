// The kernels of conv_winograd_table.h.
#pragma once

#include "cpu/kernels/conv_winograd_table.h"
#include "cpu/kernels/gemm_tile.h"
#include "cpu/kernels/lanes.h"

namespace fastnn::FASTNN_ISA_NS {

// The transforms along one axis; `in` and `out` are `step` vectors apart.
template <class V>
FASTNN_INLINE void winograd_image_axis(const V* in, V* out, int step) {
  out[0] = in[0] - in[2 * step];
  out[step] = in[step] + in[2 * step];
  out[2 * step] = in[2 * step] - in[step];
  out[3 * step] = in[step] - in[3 * step];
}
template <class V>
FASTNN_INLINE void winograd_filter_axis(const V* in, int in_step, V* out, int out_step) {
  const V ends = (in[0] + in[2 * in_step]) * 0.5f, middle = in[in_step] * 0.5f;
  out[0] = in[0];
  out[out_step] = ends + middle;
  out[2 * out_step] = ends - middle;
  out[3 * out_step] = in[2 * in_step];
}
template <class V>
FASTNN_INLINE void winograd_pixel_axis(const V* in, int in_step, V* out, int out_step) {
  const V sum = in[in_step] + in[2 * in_step], difference = in[in_step] - in[2 * in_step];
  out[0] = in[0] + sum;
  out[out_step] = difference - in[3 * in_step];
}

// The pixels of a vector of neighbouring tiles, in two vectors: of a row, or of kRows short ones,
// `apart` from each other.
template <class T, int kRows>
FASTNN_INLINE void winograd_row(const T* from, int64_t apart, Vec<T>* low, Vec<T>* high) {
  if constexpr (kRows == 1) {
    *low = load(from);
    *high = load(from + kLanes<T>);
  } else if constexpr (kRows == 2) {
    *low = load(from);
    *high = load(from + apart);
  } else {
    constexpr int half = kLanes<T> / 2;
    *low = even_runs<T, half>(load(from), load(from + apart));
    *high = even_runs<T, half>(load(from + 2 * apart), load(from + 3 * apart));
  }
}

// A vector of neighbouring tiles, of kRows rows that fill it.
template <class T, int kRows>
FASTNN_INLINE void winograd_tiles(const ConvWinogradImage& p, int64_t y, int64_t x) {
  const T* row = static_cast<const T*>(p.plane) + 2 * y * p.width + 2 * x;
  Vec<T> d[16], h[16];
  FASTNN_UNROLL for (int r = 0; r < 4; ++r, row += p.width) {
    Vec<T> a, b, c, e;
    winograd_row<T, kRows>(row, 2 * p.width, &a, &b);
    winograd_row<T, kRows>(row + 2, 2 * p.width, &c, &e);
    d[4 * r] = even_lanes<T>(a, b);
    d[4 * r + 1] = odd_lanes<T>(a, b);
    d[4 * r + 2] = even_lanes<T>(c, e);
    d[4 * r + 3] = odd_lanes<T>(c, e);
    winograd_image_axis(d + 4 * r, h + 4 * r, 1);
  }
  T* to = static_cast<T*>(p.dst) + y * p.tiles + x;
  FASTNN_UNROLL for (int c = 0; c < 4; ++c) {
    winograd_image_axis(h + c, d + c, 4);
    FASTNN_UNROLL for (int r = 0; r < 4; ++r) {
      const int64_t at = p.at.of[4 * r + c];
      if (at >= 0) store(to + at, d[4 * r + c]);
    }
  }
}

// Neighbouring tiles side by side. Rows that fill half or a quarter of a vector go together; for
// others it takes as long to part them again.
template <class T>
static void winograd_image(const ConvWinogradImage& p) {
  constexpr int L = kLanes<T>;
  int64_t y = 0;
  if (4 * p.tiles == L)
    for (; y + 4 <= p.tile_rows; y += 4) winograd_tiles<T, 4>(p, y, 0);
  if (2 * p.tiles == L)
    for (; y + 2 <= p.tile_rows; y += 2) winograd_tiles<T, 2>(p, y, 0);
  for (; y < p.tile_rows; ++y)
    for (int64_t x = 0; x < p.tiles; x += L) winograd_tiles<T, 1>(p, y, x);
}

// Filters side by side.
template <class T>
static void winograd_filter(const ConvWinogradFilter& p) {
  constexpr int L = kLanes<T>;
  const T* from = static_cast<const T*>(p.weight);
  T* to = static_cast<T*>(p.dst);
  for (int64_t c = 0; c < p.channels; ++c, from += p.taps * p.filters)
    for (int64_t f = 0; f < p.filters; f += L) {
      Vec<T> g[9], h[12];
      FASTNN_UNROLL for (int i = 0; i < 9; ++i) g[i] =
          p.tap[i] < 0 ? Vec<T>{} : load(from + p.tap[i] * p.filters + f);
      FASTNN_UNROLL for (int i = 0; i < 3; ++i) winograd_filter_axis(g + i, 3, h + i, 3);
      FASTNN_UNROLL for (int r = 0; r < 4; ++r) {
        Vec<T> u[4];
        winograd_filter_axis(h + 3 * r, 1, u, 1);
        FASTNN_UNROLL for (int i = 0; i < 4; ++i) {
          const int point = 4 * r + i;
          if (p.at.of[point] >= 0) store(to + p.at.of[point] + c * p.step[point] + f, u[i]);
        }
      }
    }
}

template <class T>
static bool winograd_pixels(const ConvWinogradPixels& p) {
  constexpr int L = kLanes<T>;
  Vec<T> nothing{};  // 0 as long as all is finite
  for (int64_t y = 0; y < p.rows; y += 2) {
    const T* tile = static_cast<const T*>(p.sum) + y / 2 * p.tiles * p.filters;
    for (int64_t x = 0; x < p.columns; x += 2, tile += p.filters)
      for (int64_t f = 0; f < p.filters; f += L) {
        Vec<T> m[16], h[8], out[4];
        FASTNN_UNROLL for (int i = 0; i < 16; ++i) m[i] =
            p.at.of[i] < 0 ? Vec<T>{} : load(tile + p.at.of[i] + f);
        FASTNN_UNROLL for (int i = 0; i < 4; ++i) winograd_pixel_axis(m + i, 4, h + i, 4);
        FASTNN_UNROLL for (int i = 0; i < 2; ++i) winograd_pixel_axis(h + 4 * i, 1, out + 2 * i, 1);
        FASTNN_UNROLL for (int i = 0; i < 4; ++i) nothing = fma(out[i], Vec<T>{}, nothing);
        T* to = static_cast<T*>(p.dst) + y * p.dst_row + x * p.dst_column + f;
        const bool right = x + 1 < p.columns, below = y + 1 < p.rows;
        store(to, out[0]);
        if (right) store(to + p.dst_column, out[1]);
        to += p.dst_row;
        if (below) store(to, out[2]);
        if (below && right) store(to + p.dst_column, out[3]);
      }
  }
  bool finite = true;
  for (int i = 0; i < L; ++i) finite = finite && nothing[i] == 0;
  return finite;
}

template <class T>
static constexpr ConvWinograd winograd() {
  return {&winograd_image<T>, &winograd_filter<T>, &winograd_pixels<T>};
}

}  // namespace fastnn::FASTNN_ISA_NS
