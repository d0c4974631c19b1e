// Average pooling, vectorised along rows (NCHW) and across channels (channels-last).
//
// Windows are separable: rows are summed down the window into one line, padded with zeros, and the
// line is summed along. Backward does the same the other way round: gradients, each divided by its
// window's size, are summed down into a line, and every element of dx sums the outputs whose
// windows span it.
#include "cpu/kernels/avg_pool.h"

#include "cpu/kernels/avg_pool_2x2.h"
#include "cpu/kernels/avg_pool_3x3.h"

namespace fastnn::FASTNN_ISA_NS {
namespace {

template <class T>
FASTNN_INLINE void clear_line(T* line, int64_t count) {
  for (int64_t i = 0; i < count; ++i) line[i] = 0;
}

// ---- Rows ------------------------------------------------------------------------------------

// line[padding + i] = sum of the window's rows at i. Long columns are summed in parts, which keeps
// their rounding error from growing with their length.
template <class T>
FASTNN_INLINE void sum_down(const AvgRows<T>& a, const PoolWindow& wd, const PoolWindow& wh,
                            T* line) {
  constexpr int64_t n = kLanes<T>, part = 16;
  const int64_t size = a.w.in;
  for (int64_t i = 0; i < size; i += n) {
    const int64_t left = at_most(size - i, n);
    Vec<T> total{};
    for (int64_t d = wd.begin; d < wd.begin + wd.count; ++d)
      for (int64_t h = wh.begin; h < wh.begin + wh.count; h += part) {
        const int64_t stop = at_most(h + part, wh.begin + wh.count);
        Vec<T> sum{};
        for (int64_t r = h; r < stop; ++r) {
          const T* p = a.x + d * a.x_d + r * a.x_h + i;
          sum += left == n ? load(p) : load_n(p, left);
        }
        total += sum;
      }
    store_some<T>(line + a.w.padding + i, total, left);
  }
}

template <class T>
FASTNN_INLINE T sum_span(const T* p, int64_t count) {
  constexpr int64_t n = kLanes<T>;
  if (count < n) {
    T sum = 0;
    for (int64_t i = 0; i < count; ++i) sum += p[i];
    return sum;
  }
  Vec<T> sum[4] = {};
  int64_t i = 0;
  for (; i + 4 * n <= count; i += 4 * n)
    for (int v = 0; v < 4; ++v) sum[v] += load(p + i + v * n);
  for (int v = 0; v < 3; ++v) {  // unrolled, so that the sums stay in registers
    if (i + n > count) break;
    sum[v] += load(p + i);
    i += n;
  }
  if (i < count) sum[3] += load_n(p + i, count - i);
  return sum_halves<T, kLanes<T>>((sum[0] + sum[1]) + (sum[2] + sum[3]));
}

// y[o] = sum of line over window o, divided by the window's size.
template <class T, int kStride>
FASTNN_INLINE void average_along(const AvgRows<T>& a, const T* line, T rows, T* y) {
  constexpr int64_t n = kLanes<T>;
  const PoolAxis& w = a.w;
  for (int64_t o = 0; o < w.out; o += n) {
    Vec<T> sum{};
    const T* p = line + o * kStride;
    if constexpr (kStride == 1) {
      for (int64_t k = 0; k < w.kernel; ++k) sum += load(p + k);
    } else {
      for (int64_t k = 0; k < w.kernel; k += 2) {
        const Vec<T> low = load(p + k), high = load(p + k + n);
        sum += even_lanes<T>(low, high);
        if (k + 1 < w.kernel) sum += odd_lanes<T>(low, high);
      }
    }
    const Vec<T> size = a.divisor != 0 ? splat<T>(a.divisor) : load(a.sizes + o) * rows;
    store_some<T>(y + o, mean_of<T>(sum, size), at_most(w.out - o, n));
  }
}

template <class T>
FASTNN_INLINE void average_any(const AvgRows<T>& a, const T* line, T rows, T* y) {
  const PoolAxis& w = a.w;
  for (int64_t o = 0; o < w.out; ++o) {
    const int64_t start = w.adaptive ? w.windows[o].begin : o * w.stride;
    const T sum = sum_span(line + start, w.adaptive ? w.windows[o].count : w.kernel);
    y[o] = sum / (a.divisor != 0 ? a.divisor : a.sizes[o] * rows);
  }
}

template <class T>
void rows(const AvgRows<T>& a) {
  if (is_2x2(a.d, a.h, a.w)) return rows_2x2(a);
  if (is_3x3(a.d, a.h, a.w)) return a.w.stride == 1 ? rows_3x3<T, 1>(a) : rows_3x3<T, 2>(a);
  clear_line(a.line, avg_line_elements(a.w));
  for (int64_t r = a.first; r < a.last; ++r) {
    const int64_t od = r / a.h.out, oh = r % a.h.out;
    const PoolWindow &wd = a.d.windows[od], &wh = a.h.windows[oh];
    const T size = static_cast<T>(wd.size) * static_cast<T>(wh.size);
    T* y = a.y + od * a.y_d + oh * a.y_h;
    sum_down(a, wd, wh, a.line);
    if (a.w.adaptive || a.w.stride > 2)
      average_any(a, a.line, size, y);
    else if (a.w.stride == 1)
      average_along<T, 1>(a, a.line, size, y);
    else
      average_along<T, 2>(a, a.line, size, y);
  }
}

// ---- Rows, backward --------------------------------------------------------------------------

// line[o] = sum over the covering rows of dy[o] * share of one element in window o.
template <class T>
FASTNN_INLINE void share_down(const AvgRowsBackward<T>& a, int64_t id, int64_t ih, T* line) {
  constexpr int64_t n = kLanes<T>;
  const PoolCover cd = a.d.covers[id], ch = a.h.covers[ih];
  for (int64_t o = 0; o < a.w.out; o += n) {
    const int64_t left = at_most(a.w.out - o, n);
    const Vec<T> along = load(a.shares + o);
    Vec<T> sum{};
    for (int64_t od = cd.begin; od < cd.begin + cd.count; ++od)
      for (int64_t oh = ch.begin; oh < ch.begin + ch.count; ++oh) {
        const T* p = a.dy + od * a.dy_d + oh * a.dy_h + o;
        const Vec<T> g = left == n ? load(p) : load_n(p, left);
        const T rows = static_cast<T>(a.d.windows[od].size) * static_cast<T>(a.h.windows[oh].size);
        sum += g * (a.divisor != 0 ? along : along * (T{1} / rows));
      }
    store_some<T>(line + o, sum, left);
  }
}

// dx[i] = sum of line over the outputs that span i; `line` may be read `kernel` elements before and
// after its end.
template <class T, int kStride>
FASTNN_INLINE void spread_along(const PoolAxis& w, const T* line, T* dx) {
  constexpr int64_t n = kLanes<T>;
  for (int64_t i = 0; i < w.in; i += n * kStride) {
    Vec<T> even{}, odd{};
    for (int64_t k = w.kernel - 1; k >= 0; --k) {
      const int64_t at =
          i + w.padding - k;  // times the stride: the output that element i meets at k
      if constexpr (kStride == 1)
        even += load(line + at);
      else if (at & 1)
        odd += load(line + ((at + 1) >> 1));
      else
        even += load(line + (at >> 1));
    }
    const int64_t left = w.in - i;
    if constexpr (kStride == 1) {
      store_some<T>(dx + i, even, at_most(left, n));
    } else {
      store_some<T>(dx + i, zip_low<T>(even, odd), at_most(left, n));
      if (left > n) store_some<T>(dx + i + n, zip_high<T>(even, odd), at_most(left - n, n));
    }
  }
}

// Any windows, output by output.
template <class T>
FASTNN_INLINE void spread_any(const PoolAxis& w, const T* line, T* dx) {
  clear_line(dx, w.in);
  for (int64_t o = 0; o < w.out; ++o) {
    const int64_t start = w.adaptive ? w.windows[o].begin : o * w.stride - w.padding;
    const int64_t count = w.adaptive ? w.windows[o].count : w.kernel;
    const int64_t end = at_most(start + count, w.in);
    for (int64_t i = at_least(start, 0); i < end; ++i) dx[i] += line[o];
  }
}

template <class T>
void rows_backward_any(const AvgRowsBackward<T>& a) {
  clear_line(a.line, avg_line_elements(a.w));
  T* const line = a.line + a.w.kernel;
  for (int64_t r = a.first; r < a.last; ++r) {
    const int64_t id = r / a.h.in, ih = r % a.h.in;
    T* dx = a.dx + id * a.dx_d + ih * a.dx_h;
    share_down(a, id, ih, line);
    if (a.w.adaptive || a.w.stride > 2)
      spread_any(a.w, line, dx);
    else if (a.w.stride == 1)
      spread_along<T, 1>(a.w, line, dx);
    else
      spread_along<T, 2>(a.w, line, dx);
  }
}

template <class T>
void rows_backward(const AvgRowsBackward<T>& a) {
  if (is_3x3(a.d, a.h, a.w))
    return a.w.stride == 1 ? rows_backward_3x3<T, 1>(a) : rows_backward_3x3<T, 2>(a);
  if (!is_2x2(a.d, a.h, a.w)) return rows_backward_any(a);
  for_row_pairs(
      a, [&](int64_t id, int64_t oh) { backward_2x2_rows(a, id, oh); },
      [&](int64_t r) {
        AvgRowsBackward<T> one = a;
        one.first = r;
        one.last = r + 1;
        rows_backward_any(one);
      });
}

// ---- Channels-last ---------------------------------------------------------------------------

template <class T, int kVectors, bool kTail>
FASTNN_INLINE void pixel_block(const AvgPixels<T>& a, const PoolWindow& wd, const PoolWindow& wh,
                               const PoolWindow& ww, T size, int64_t c, int64_t n, T* y) {
  Vec<T> total[kVectors] = {};
  for (int64_t d = wd.begin; d < wd.begin + wd.count; ++d)
    for (int64_t h = wh.begin; h < wh.begin + wh.count; ++h) {
      const T* p = a.x + d * a.x_d + h * a.x_h + ww.begin * a.x_w + c;
      Vec<T> sum[kVectors] = {};
      for (int64_t k = 0; k < ww.count; ++k, p += a.x_w)
        for (int v = 0; v < kVectors; ++v) sum[v] += kTail ? load_n(p, n) : load(p + v * kLanes<T>);
      for (int v = 0; v < kVectors; ++v) total[v] += sum[v];
    }
  for (int v = 0; v < kVectors; ++v) {
    if (kTail)
      store_n(y + c, total[v] / size, n);
    else
      store(y + c + v * kLanes<T>, total[v] / size);
  }
}

template <class T>
void pixels(const AvgPixels<T>& a) {
  if (is_2x2(a.d, a.h, a.w)) return pixels_2x2(a);
  constexpr int64_t n = kLanes<T>;
  const PoolWindow &wd = a.d.windows[a.od], &wh = a.h.windows[a.oh];
  for (int64_t o = 0; o < a.w.out; ++o) {
    const PoolWindow& ww = a.w.windows[o];
    const T rows = static_cast<T>(wd.size) * static_cast<T>(wh.size);
    const T size = a.divisor != 0 ? a.divisor : rows * static_cast<T>(ww.size);
    T* y = a.y + o * a.y_w;
    int64_t c = 0;
    for (; c + 4 * n <= a.channels; c += 4 * n)
      pixel_block<T, 4, false>(a, wd, wh, ww, size, c, n, y);
    for (; c + n <= a.channels; c += n) pixel_block<T, 1, false>(a, wd, wh, ww, size, c, n, y);
    if (c < a.channels) pixel_block<T, 1, true>(a, wd, wh, ww, size, c, a.channels - c, y);
  }
}

template <class T, int kVectors, bool kTail>
FASTNN_INLINE void pixel_backward_block(const AvgPixelsBackward<T>& a, int64_t iw, int64_t c,
                                        int64_t n, T* dx) {
  const PoolCover cd = a.d.covers[a.id], ch = a.h.covers[a.ih], cw = a.w.covers[iw];
  Vec<T> sum[kVectors] = {};
  for (int64_t od = cd.begin; od < cd.begin + cd.count; ++od)
    for (int64_t oh = ch.begin; oh < ch.begin + ch.count; ++oh) {
      const T* p = a.dy + od * a.dy_d + oh * a.dy_h + cw.begin * a.dy_w + c;
      const T rows = static_cast<T>(a.d.windows[od].size) * static_cast<T>(a.h.windows[oh].size);
      for (int64_t o = cw.begin; o < cw.begin + cw.count; ++o, p += a.dy_w) {
        const T size = a.divisor != 0 ? a.divisor : rows * static_cast<T>(a.w.windows[o].size);
        const T share = T{1} / size;
        for (int v = 0; v < kVectors; ++v)
          sum[v] += (kTail ? load_n(p, n) : load(p + v * kLanes<T>)) * share;
      }
    }
  for (int v = 0; v < kVectors; ++v) store_some<T>(dx + c + v * kLanes<T>, sum[v], n);
}

template <class T>
void pixels_backward(const AvgPixelsBackward<T>& a) {
  if (is_2x2(a.d, a.h, a.w)) return pixels_backward_2x2(a);
  constexpr int64_t n = kLanes<T>;
  for (int64_t iw = 0; iw < a.w.in; ++iw) {
    T* dx = a.dx + iw * a.dx_w;
    int64_t c = 0;
    for (; c + 4 * n <= a.channels; c += 4 * n) pixel_backward_block<T, 4, false>(a, iw, c, n, dx);
    for (; c + n <= a.channels; c += n) pixel_backward_block<T, 1, false>(a, iw, c, n, dx);
    if (c < a.channels) pixel_backward_block<T, 1, true>(a, iw, c, a.channels - c, dx);
  }
}

// Contiguous values, in blocks so that the error does not grow with n.
template <class T>
FASTNN_INLINE T sum_plane(const T* p, int64_t n) {
  constexpr int64_t block = 64 * kLanes<T>;
  T total = 0;
  for (int64_t i = 0; i < n; i += block) total += sum_span(p + i, at_most(n - i, block));
  return total;
}

template <class T>
void sum_planes(const T* x, int64_t apart, int64_t planes, int64_t n, T* sums) {
  for (int64_t p = 0; p < planes; ++p) sums[p] = sum_plane(x + p * apart, n);
}

template <class T>
constexpr AvgPoolTable<T> table() {
  return {rows<T>, rows_backward<T>, pixels<T>, pixels_backward<T>, sum_planes<T>};
}

}  // namespace

const AvgPoolKernels* avg_pool_kernels() {
  static const AvgPoolKernels kernels = {table<float>(), table<double>()};
  return &kernels;
}

}  // namespace fastnn::FASTNN_ISA_NS
