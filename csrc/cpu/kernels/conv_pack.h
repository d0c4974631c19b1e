// Packing panels from an image. The image's own order decides how: rows of pixels (planar) or
// channels side by side (channels-last); either may be what the panel wants adjacent, or must be
// transposed.
#pragma once

#include "cpu/kernels/conv.h"
#include "cpu/kernels/conv_pieces.h"
#include "cpu/kernels/gemm_pack.h"

namespace fastnn::FASTNN_ISA_NS {

constexpr int kMaxPanel = 64;  // lanes; at least twice the vector length

// Neighbouring output pixels of one row: the image coordinates and the offset of the first one's
// first tap (which may lie outside).
struct Segment {
  int lane, count;
  int64_t z, y, x, offset;
};

// Cuts pixels [first, first + count), numbered through the batch, at the ends of rows.
static int cut_rows(const ConvSource& s, int64_t first, int count, Segment* out) {
  int64_t rest = first;
  int64_t x = rest % s.out[2];
  rest /= s.out[2];
  int64_t y = rest % s.out[1];
  rest /= s.out[1];
  int64_t z = rest % s.out[0], n = rest / s.out[0];
  int segments = 0;
  for (int lane = 0; lane < count;) {
    const int64_t in_row = s.out[2] - x;
    Segment& g = out[segments++];
    g.lane = lane;
    g.count = in_row < count - lane ? static_cast<int>(in_row) : count - lane;
    g.z = s.origin[0] + z * s.step[0];
    g.y = s.origin[1] + y * s.step[1];
    g.x = s.origin[2] + x * s.step[2];
    g.offset = n * s.stride_n + g.z * s.stride[0] + g.y * s.stride[1] + g.x * s.stride[2];
    lane += g.count;
    x = 0;
    if (++y == s.out[1]) {
      y = 0;
      if (++z == s.out[0]) {
        z = 0;
        ++n;
      }
    }
  }
  return segments;
}

struct Tap {
  int64_t z, y, x, offset;
};

static Tap tap_at(const ConvSource& s, int64_t tap) {
  Tap t;
  t.x = tap % s.taps[2] * s.tap_step[2];
  tap /= s.taps[2];
  t.y = tap % s.taps[1] * s.tap_step[1];
  t.z = tap / s.taps[1] * s.tap_step[0];
  t.offset = t.z * s.stride[0] + t.y * s.stride[1] + t.x * s.stride[2];
  return t;
}

FASTNN_INLINE bool inside(int64_t i, int64_t size) {
  return static_cast<uint64_t>(i) < static_cast<uint64_t>(size);
}

static int find_runs(const ConvSource& s, const Segment* segments, int count, const Tap& tap,
                     Run* runs) {
  int found = 0;
  const int64_t step = s.step[2], size = s.size[2];
  for (int i = 0; i < count; ++i) {
    const Segment& g = segments[i];
    if (!inside(g.z + tap.z, s.size[0]) || !inside(g.y + tap.y, s.size[1])) continue;
    const int64_t x = g.x + tap.x, last = x + (g.count - 1) * step;
    int64_t begin = 0, end = g.count;
    if (x < 0) begin = step == 1 ? -x : (-x + step - 1) / step;
    if (last >= size) end = size <= x ? 0 : step == 1 ? size - x : (size - x + step - 1) / step;
    if (begin >= end) continue;
    runs[found++] = {g.lane + static_cast<int>(begin), static_cast<int>(end - begin),
                     g.offset + tap.offset + begin * step * s.stride[2]};
  }
  return found;
}

// ---- Rows of pixels ----

// Pixels of one channel, copied run by run; the other lanes become 0.
template <class T, class Src>
FASTNN_INLINE void copy_runs(const Src* data, int64_t unit, const Run* runs, int count, int panel,
                             T* dst) {
  for (int i = 0; i < panel; i += kLanes<T>) store(dst + i, Vec<T>{});
  for (int r = 0; r < count; ++r) {
    const Src* src = data + runs[r].offset;
    T* to = dst + runs[r].lane;
    if (unit == 1)
      for (int i = 0; i < runs[r].count; ++i) to[i] = widen(src[i]);
    else
      for (int i = 0; i < runs[r].count; ++i) to[i] = widen(src[i * unit]);
  }
}

// Channels [0, n) of the runs, each a row of `panel` lanes, rows `dst_stride` apart.
template <class T, class Src>
static void pack_runs(const ConvSource& s, const Src* data, int64_t n, const Run* runs, int count,
                      int panel, T* dst, int64_t dst_stride, [[maybe_unused]] bool ahead) {
  const int64_t unit = s.step[2] * s.stride[2];
#ifdef __AVX512F__
  if constexpr (sizeof(Src) == sizeof(T)) {
    if (unit == 1)
      return pack_pieces<T, 1>(data, s.stride_c, n, runs, count, panel, dst, dst_stride, ahead);
    if (unit == 2)
      return pack_pieces<T, 2>(data, s.stride_c, n, runs, count, panel, dst, dst_stride, ahead);
  }
#endif
  for (int64_t i = 0; i < n; ++i, data += s.stride_c, dst += dst_stride)
    copy_runs<T, Src>(data, unit, runs, count, panel, dst);
}

// ---- Lanes are pixels ----

// Where each pixel's value of channel 0 is; null outside of the image.
template <class Src>
static void find_lanes(const Src* data, int64_t unit, const Run* runs, int count, int panel,
                       const Src** lanes) {
  for (int i = 0; i < panel; ++i) lanes[i] = nullptr;
  for (int r = 0; r < count; ++r)
    for (int i = 0; i < runs[r].count; ++i)
      lanes[runs[r].lane + i] = data + runs[r].offset + i * unit;
}

// Channels side by side in memory: squares are transposed. dst rows are `panel` apart.
template <class T, class Src>
static void transpose_lanes(const Src* const* lanes, int64_t n, int panel, T* dst) {
  constexpr int L = kLanes<T>;
  for (int g = 0; g < panel; g += L, dst += L) {
    int64_t c = 0;
    for (; c + L <= n; c += L) {
      Vec<T> v[L];
#pragma GCC unroll 16
      for (int i = 0; i < L; ++i) v[i] = lanes[g + i] ? load_wide(lanes[g + i] + c) : Vec<T>{};
      transpose<T>(v);
#pragma GCC unroll 16
      for (int i = 0; i < L; ++i) store(dst + (c + i) * panel, v[i]);
    }
    for (; c < n; ++c)
      for (int i = 0; i < L; ++i) dst[c * panel + i] = lanes[g + i] ? widen(lanes[g + i][c]) : T(0);
  }
}

template <class T, class Src>
static void pack_pixels_from(const ConvSource& s, const ConvPanel& p) {
  Segment segments[kMaxPanel];
  const int count = cut_rows(s, p.pixel0 + p.lane0, p.width, segments);
  const int64_t taps = s.taps[0] * s.taps[1] * s.taps[2], end = p.k0 + p.k_count;
  const Src* data = static_cast<const Src*>(s.data);
  T* dst = static_cast<T*>(p.dst);
  Run runs[kMaxPanel];
  if (s.channels_inner) {
    const Src* lanes[kMaxPanel];
    for (int64_t tap = p.k0 / s.channels; tap < taps && tap * s.channels < end; ++tap) {
      const int64_t first = tap * s.channels, from = p.k0 > first ? p.k0 - first : 0;
      const int64_t to = end < first + s.channels ? end - first : s.channels;
      const int found = find_runs(s, segments, count, tap_at(s, tap), runs);
      find_lanes(data + from * s.stride_c, s.step[2] * s.stride[2], runs, found, p.panel, lanes);
      transpose_lanes<T, Src>(lanes, to - from, p.panel, dst + (first + from - p.k0) * p.panel);
    }
    return;
  }
  for (int64_t tap = 0; tap < taps; ++tap) {
    // k = c * taps + tap in [k0, end)
    const int64_t c0 = p.k0 > tap ? (p.k0 - tap + taps - 1) / taps : 0;
    const int64_t c1 = end > tap ? (end - tap + taps - 1) / taps : 0;
    if (c0 >= c1) continue;
    const int found = find_runs(s, segments, count, tap_at(s, tap), runs);
    pack_runs<T, Src>(s, data + c0 * s.stride_c, c1 - c0, runs, found, p.panel,
                      dst + (c0 * taps + tap - p.k0) * p.panel, taps * p.panel, tap == taps / 2);
  }
}

// ---- Lanes are channels ----

// Rows of pixels are adjacent: channels are gathered as rows and transposed.
template <class T, class Src>
static void transpose_runs(const ConvSource& s, const Src* data, int width, const Run* runs,
                           int count, int pixels, int panel, T* dst) {
  constexpr int L = kLanes<T>;
  for (int g = 0; g < panel; g += L, dst += L, data += L * s.stride_c) {
    alignas(64) T square[L * L];
    const int n = width - g < L ? width - g : L;
    if (n <= 0) {
      for (int i = 0; i < pixels; ++i) store(dst + i * panel, Vec<T>{});
      continue;
    }
    pack_runs<T, Src>(s, data, n, runs, count, L, square, L, false);
    Vec<T> v[L];
#pragma GCC unroll 16
    for (int i = 0; i < L; ++i) v[i] = i < n ? load(square + i * L) : Vec<T>{};
    transpose<T>(v);
#pragma GCC unroll 16
    for (int i = 0; i < L; ++i)
      if (i < pixels) store(dst + i * panel, v[i]);
  }
}

// Channels are adjacent: copied; else gathered.
template <class T, class Src>
FASTNN_INLINE void copy_channels(const Src* src, int64_t stride, int width, int panel, T* dst) {
  int i = 0;
  if (stride == 1)
    for (; i + kLanes<T> <= width; i += kLanes<T>) store(dst + i, load_wide(src + i));
#ifdef __AVX512F__
  if constexpr (sizeof(Src) == 4)
    if (stride > 0 && stride < (1 << 26)) {
      const vi at = lane_numbers<float>() * static_cast<int32_t>(stride);
      for (; i + kLanes<T> <= width; i += kLanes<T>)
        store(dst + i,
              (vf)_mm512_mask_i32gather_ps(__m512{}, 0xffff, (__m512i)at, src + i * stride, 4));
    }
#endif
  for (; i < width; ++i) dst[i] = widen(src[i * stride]);
  for (; i < panel; ++i) dst[i] = 0;
}

// One tap, no padding, all pixels in order: an image is a matrix of channels and pixels.
static bool is_flat(const ConvSource& s) {
  for (int a = 0; a < 3; ++a)
    if (s.taps[a] != 1 || s.origin[a] != 0 || s.step[a] != 1 || s.out[a] != s.size[a]) return false;
  return (s.size[1] == 1 || s.stride[1] == s.size[2] * s.stride[2]) &&
         (s.size[0] == 1 || s.stride[0] == s.size[1] * s.size[2] * s.stride[2]);
}

// So many planes at once are more than the hardware follows: their next pixels are asked for.
template <class T, class Src>
static void pack_flat(const ConvSource& s, const ConvPanel& p, const Src* data) {
  constexpr int64_t kPiece = 64;  // pixels
  const int64_t pixels = s.size[0] * s.size[1] * s.size[2];
  T* dst = static_cast<T*>(p.dst);
  for (int64_t k = 0; k < p.k_count;) {
    const int64_t pixel = p.pixel0 + p.k0 + k, n = pixel / pixels, first = pixel % pixels;
    int64_t count = at_most(pixels - first, p.k_count - k);
    const Src* from = data + n * s.stride_n + first * s.stride[2];
    if (s.stride[2] == 1) {
      count = at_most(count, kPiece);
      for (int c = 0; c < p.width; ++c)
        for (int64_t i = 0; i < kPiece; i += 64 / static_cast<int64_t>(sizeof(Src)))
          __builtin_prefetch(from + c * s.stride_c + 2 * kPiece + i);
    }
    pack_from<T, Src>(
        {dst + k * p.panel, p.panel, from, s.dtype, s.stride_c, s.stride[2], p.width, count});
    k += count;
  }
}

template <class T, class Src>
static void pack_channels_from(const ConvSource& s, int64_t tap_number, const ConvPanel& p) {
  constexpr int L = kLanes<T>;
  const Tap tap = tap_at(s, tap_number);
  const Src* data = static_cast<const Src*>(s.data) + p.lane0 * s.stride_c;
  T* dst = static_cast<T*>(p.dst);
  const int64_t unit = s.step[2] * s.stride[2];
  if (is_flat(s)) return pack_flat<T, Src>(s, p, data);
  Segment segments[L];
  Run runs[L];
  for (int64_t k = 0; k < p.k_count; k += L, dst += L * p.panel) {
    const int pixels = p.k_count - k < L ? static_cast<int>(p.k_count - k) : L;
    const int cut = cut_rows(s, p.pixel0 + p.k0 + k, pixels, segments);
    const int found = find_runs(s, segments, cut, tap, runs);
    if (s.stride_c != 1) {
      transpose_runs<T, Src>(s, data, p.width, runs, found, pixels, p.panel, dst);
      continue;
    }
    const Src* lanes[L];
    find_lanes(data, unit, runs, found, L, lanes);
    for (int i = 0; i < pixels; ++i) {
      if (lanes[i])
        copy_channels<T, Src>(lanes[i], 1, p.width, p.panel, dst + i * p.panel);
      else
        for (int j = 0; j < p.panel; j += L) store(dst + i * p.panel + j, Vec<T>{});
    }
  }
}

// ---- Weights ----

template <class T, class Src>
static void pack_filter_from(const ConvFilter& f, const ConvPanel& p) {
  const Src* data = static_cast<const Src*>(f.data) + p.lane0 * f.stride_lane;
  T* dst = static_cast<T*>(p.dst);
  const int64_t taps = f.taps[0] * f.taps[1] * f.taps[2];
  int64_t c = f.channels_inner ? p.k0 % f.channels : p.k0 / taps;
  int64_t tap = f.channels_inner ? p.k0 / f.channels : p.k0 % taps;
  int64_t x = tap % f.taps[2], y = tap / f.taps[2] % f.taps[1], z = tap / f.taps[2] / f.taps[1];
  for (int64_t k = 0; k < p.k_count; ++k, dst += p.panel) {
    const int64_t at = c * f.stride_c + z * f.stride[0] + y * f.stride[1] + x * f.stride[2];
    copy_channels<T, Src>(data + at, f.stride_lane, p.width, p.panel, dst);
    const auto next_tap = [&] {
      if (++x < f.taps[2]) return false;
      x = 0;
      if (++y < f.taps[1]) return false;
      y = 0;
      if (++z < f.taps[0]) return false;
      z = 0;
      return true;
    };
    if (f.channels_inner) {
      if (++c == f.channels) {
        c = 0;
        next_tap();
      }
    } else if (next_tap()) {
      ++c;
    }
  }
}

// ---- Element types ----

#define FASTNN_WITH_SOURCE(T, dtype, call) \
  if constexpr (sizeof(T) == 8) {          \
    using Src = double;                    \
    call;                                  \
  } else if (dtype == DType::bf16) {       \
    using Src = bf16;                      \
    call;                                  \
  } else if (dtype == DType::f16) {        \
    using Src = f16;                       \
    call;                                  \
  } else {                                 \
    using Src = float;                     \
    call;                                  \
  }

template <class T>
static void pack_pixels(const ConvSource& s, const ConvPanel& p) {
  FASTNN_WITH_SOURCE(T, s.dtype, return (pack_pixels_from<T, Src>(s, p)))
}
template <class T>
static void pack_channels(const ConvSource& s, int64_t tap, const ConvPanel& p) {
  FASTNN_WITH_SOURCE(T, s.dtype, return (pack_channels_from<T, Src>(s, tap, p)))
}
template <class T>
static void pack_filter(const ConvFilter& f, const ConvPanel& p) {
  FASTNN_WITH_SOURCE(T, f.dtype, return (pack_filter_from<T, Src>(f, p)))
}
#undef FASTNN_WITH_SOURCE

}  // namespace fastnn::FASTNN_ISA_NS
