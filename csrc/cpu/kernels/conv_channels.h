// Depthwise convolution of channels-last images: vectors of channels.
#pragma once

#include "cpu/kernels/conv_direct_table.h"
#include "cpu/kernels/gemm_tile.h"

namespace fastnn::FASTNN_ISA_NS {

// Of the indices [0, n) those for which origin + i * step lies in [0, size), which are neighbours.
static void inside_range(int64_t origin, int64_t step, int64_t n, int64_t size, int64_t* begin,
                         int64_t* end) {
  int64_t first = 0, last = n;
  while (first < n && static_cast<uint64_t>(origin + first * step) >= static_cast<uint64_t>(size))
    ++first;
  while (last > first &&
         static_cast<uint64_t>(origin + (last - 1) * step) >= static_cast<uint64_t>(size))
    --last;
  *begin = first;
  *end = last;
}

// NV vectors of channels of one output pixel; `lanes` of the last one.
template <class T, int NV>
FASTNN_INLINE void channel_pixel(const ConvChannelRow& t, const T* x, int64_t x0, int64_t x1,
                                 int64_t c, int lanes, T* dst) {
  constexpr int L = kLanes<T>;
  const auto read = [=](const T* p, int v) __attribute__((always_inline)) {
    return v == NV - 1 && lanes < L ? load_n(p + v * L, lanes) : load(p + v * L);
  };
  Vec<T> acc[NV] = {};
  for (int64_t ky = t.y_begin; ky < t.y_end; ++ky)
    for (int64_t kx = x0; kx < x1; ++kx) {
      const T* from = x + ky * t.tap_y * t.stride_y + kx * t.tap_x * t.stride_x;
      const T* w = static_cast<const T*>(t.weight) + (ky * t.taps_x + kx) * t.channels + c;
      FASTNN_UNROLL for (int v = 0; v < NV; ++v) acc[v] = fma(read(w, v), read(from, v), acc[v]);
    }
  FASTNN_UNROLL for (int v = 0; v < NV; ++v) {
    if (t.bias) acc[v] += read(static_cast<const T*>(t.bias) + c, v);
    if (t.rectifier.on) acc[v] = rectified(t.rectifier, acc[v]);
    if (v == NV - 1 && lanes < L)
      store_n(dst + v * L, acc[v], lanes);
    else
      store(dst + v * L, acc[v]);
  }
}

// Four neighbouring pixels whose taps, three in a row, are all in the image: each column of x is
// read once for the pixels that it reaches.
template <class T, int S>
static void channel_group(const ConvChannelRow& t, int64_t p) {
  constexpr int L = kLanes<T>, P = 4, K = 3;
  const bool back = t.tap_x < 0;
  const int64_t low = t.x_origin + p * S - (back ? K - 1 : 0);
  const T* row = static_cast<const T*>(t.row) + low * t.stride_x;
  T* out = static_cast<T*>(t.dst) + p * t.dst_x;
  for (int64_t c = 0; c < t.channels; c += L) {
    const int lanes = t.channels - c < L ? static_cast<int>(t.channels - c) : L;
    const auto read = [=](const T* from) __attribute__((always_inline)) {
      return lanes == L ? load(from) : load_n(from, lanes);
    };
    Vec<T> acc[P] = {};
    for (int64_t ky = t.y_begin; ky < t.y_end; ++ky) {
      const T* weight = static_cast<const T*>(t.weight) + ky * K * t.channels + c;
      const T* x = row + ky * t.tap_y * t.stride_y + c;
      Vec<T> w[K];
      FASTNN_UNROLL for (int k = 0; k < K; ++k) w[k] =
          read(weight + (back ? K - 1 - k : k) * t.channels);
      FASTNN_UNROLL for (int i = 0; i < (P - 1) * S + K; ++i) {
        const Vec<T> v = read(x + i * t.stride_x);
        FASTNN_UNROLL for (int o = 0; o < P; ++o) {
          if (i >= o * S && i < o * S + K) acc[o] = fma(w[i - o * S], v, acc[o]);
        }
      }
    }
    FASTNN_UNROLL for (int o = 0; o < P; ++o) {
      if (t.bias) acc[o] += read(static_cast<const T*>(t.bias) + c);
      if (t.rectifier.on) acc[o] = rectified(t.rectifier, acc[o]);
      if (lanes == L)
        store(out + o * t.dst_x + c, acc[o]);
      else
        store_n(out + o * t.dst_x + c, acc[o], lanes);
    }
  }
}

static bool group_inside(const ConvChannelRow& t, int64_t p) {
  if (t.taps_x != 3 || (t.tap_x != 1 && t.tap_x != -1) || t.step_x > 2 || p + 4 > t.pixels)
    return false;
  const int64_t low = t.x_origin + p * t.step_x - (t.tap_x < 0 ? 2 : 0);
  return low >= 0 && low + 3 * t.step_x + 2 < t.size_x;
}

template <class T>
static void run_channel_row(const ConvChannelRow& t) {
  constexpr int L = kLanes<T>;
  for (int64_t p = 0; p < t.pixels; ++p) {
    if (group_inside(t, p)) {
      t.step_x == 1 ? channel_group<T, 1>(t, p) : channel_group<T, 2>(t, p);
      p += 3;
      continue;
    }
    const int64_t at = t.x_origin + p * t.step_x;
    int64_t x0, x1;
    inside_range(at, t.tap_x, t.taps_x, t.size_x, &x0, &x1);
    const T* x = static_cast<const T*>(t.row) + at * t.stride_x;
    T* dst = static_cast<T*>(t.dst) + p * t.dst_x;
    int64_t c = 0;
    for (; c + 4 * L <= t.channels; c += 4 * L)
      channel_pixel<T, 4>(t, x + c, x0, x1, c, L, dst + c);
    for (; c < t.channels; c += L)
      channel_pixel<T, 1>(t, x + c, x0, x1, c,
                          t.channels - c < L ? static_cast<int>(t.channels - c) : L, dst + c);
  }
}

// sum[tap][channel] += sum over the row's pixels of dst (here read) times x.
template <class T, int NV>
FASTNN_INLINE void channel_dots(const ConvChannelRow& t, int64_t c, int lanes) {
  constexpr int L = kLanes<T>;
  const auto read = [=](const T* p, int v) __attribute__((always_inline)) {
    return v == NV - 1 && lanes < L ? load_n(p + v * L, lanes) : load(p + v * L);
  };
  for (int64_t kx = 0; kx < t.taps_x; ++kx) {
    int64_t begin, end;
    inside_range(t.x_origin + kx * t.tap_x, t.step_x, t.pixels, t.size_x, &begin, &end);
    for (int64_t ky = t.y_begin; ky < t.y_end; ++ky) {
      const T* x = static_cast<const T*>(t.row) + ky * t.tap_y * t.stride_y +
                   (t.x_origin + kx * t.tap_x + begin * t.step_x) * t.stride_x + c;
      const T* dy = static_cast<const T*>(t.dst) + begin * t.dst_x + c;
      Vec<T> acc[NV] = {};
      for (int64_t p = begin; p < end; ++p, x += t.step_x * t.stride_x, dy += t.dst_x)
        FASTNN_UNROLL for (int v = 0; v < NV; ++v) acc[v] = fma(read(x, v), read(dy, v), acc[v]);
      T* sum = static_cast<T*>(t.sum) + (ky * t.taps_x + kx) * t.channels + c;
      FASTNN_UNROLL for (int v = 0; v < NV; ++v) {
        if (v == NV - 1 && lanes < L)
          store_n(sum + v * L, load_n(sum + v * L, lanes) + acc[v], lanes);
        else
          store(sum + v * L, load(sum + v * L) + acc[v]);
      }
    }
  }
}

template <class T>
static void run_channel_dots(const ConvChannelRow& t) {
  constexpr int L = kLanes<T>;
  int64_t c = 0;
  for (; c + 4 * L <= t.channels; c += 4 * L) channel_dots<T, 4>(t, c, L);
  for (; c < t.channels; c += L)
    channel_dots<T, 1>(t, c, t.channels - c < L ? static_cast<int>(t.channels - c) : L);
}

}  // namespace fastnn::FASTNN_ISA_NS
