// Checks, window tables and the split into tasks that maximum and average pooling share.
#pragma once

#include "cpu/image.h"
#include "cpu/kernels/pool_axis.h"
#include "cpu/row_blocks.h"
#include "fastnn/ops/pool.h"

namespace fastnn {

inline int64_t div_down(int64_t a, int64_t b) { return a >= 0 ? a / b : -((-a + b - 1) / b); }

// The three axes (D, H, W); axes that are not pooled have size 1 and window 1. Adaptive windows of
// equal size become plain ones.
struct PoolGeometry {
  PoolAxis axis[3];
  bool adaptive = false;

  PoolGeometry(const PoolParams& p, const Image& in, const Image& out) {
    const int64_t sizes[3] = {in.d, in.h, in.w}, outs[3] = {out.d, out.h, out.w};
    for (int i = 0; i < 3; ++i) {
      const int j = i - (3 - p.dims);
      PoolAxis& a = axis[i];
      a = {sizes[i], outs[i], 1, 1, 0, 1, false, nullptr, nullptr};
      if (j < 0) continue;
      if (!p.adaptive) {
        a.kernel = p.kernel[j], a.stride = p.stride[j];
        a.padding = p.padding[j], a.dilation = p.dilation[j];
      } else if (a.out > 0 && a.in % a.out == 0) {
        a.kernel = a.stride = a.in / a.out;
      } else {
        a.adaptive = adaptive = true;
        a.kernel = a.in / std::max<int64_t>(1, a.out) + 2;  // at least the longest window
      }
    }
  }

  // One window that is all of the plane, so that places in the window are positions in the plane.
  bool one_window() const {
    for (const PoolAxis& a : axis)
      if (a.out != 1 || a.kernel != a.in || a.padding != 0 || a.dilation != 1) return false;
    return true;
  }

  bool is_2x2() const { return axis[0].in == 1 && fastnn::is_2x2(axis[0], axis[1], axis[2]); }

  int64_t volume() const {
    int64_t v = 1;
    for (const PoolAxis& a : axis)
      if (__builtin_mul_overflow(v, a.kernel, &v)) return INT64_MAX;
    return v;
  }
};

inline PoolWindow pool_window(const PoolAxis& a, int64_t o, bool include_pad) {
  if (a.adaptive) {
    const int64_t begin = o * a.in / a.out, end = ((o + 1) * a.in + a.out - 1) / a.out;
    return {begin, end - begin, 0, end - begin};
  }
  const int64_t start = o * a.stride - a.padding;
  const int64_t first = start < 0 ? div_up(-start, a.dilation) : 0;
  const int64_t stop = std::min(a.kernel, div_up(a.in - start, a.dilation));
  const int64_t with_pad = std::min(start + a.kernel, a.in + a.padding) - start;
  return {start + first * a.dilation, stop - first, first, include_pad ? with_pad : stop - first};
}

inline PoolCover pool_cover(const PoolAxis& a, int64_t i) {
  if (a.adaptive) {
    const int64_t begin = i * a.out / a.in, end = ((i + 1) * a.out + a.in - 1) / a.in;
    return {begin, end - begin};
  }
  const int64_t last = div_down(i + a.padding, a.stride);
  const int64_t begin =
      std::max<int64_t>(0, div_up(i + a.padding - (a.kernel - 1) * a.dilation, a.stride));
  return {begin, std::max<int64_t>(0, std::min(a.out - 1, last) - begin + 1)};
}

// Which tables a kernel reads: those of the last axis only when `last` (or when its windows vary).
inline bool needs_table(const PoolGeometry& g, int axis, bool last) {
  return axis < 2 || last || g.axis[axis].adaptive;
}

inline size_t table_bytes(const PoolGeometry& g, bool last, bool backward) {
  size_t bytes = 0;
  for (int i = 0; i < 3; ++i) {
    if (!needs_table(g, i, last)) continue;
    bytes += static_cast<size_t>(g.axis[i].out) * sizeof(PoolWindow);
    if (backward) bytes += static_cast<size_t>(g.axis[i].in) * sizeof(PoolCover);
  }
  return (bytes + 63) / 64 * 64;
}

// Fills the tables at `memory` and returns what lies behind them.
inline char* make_tables(PoolGeometry& g, bool last, bool backward, bool include_pad,
                         void* memory) {
  char* const end = static_cast<char*>(memory) + table_bytes(g, last, backward);
  char* at = static_cast<char*>(memory);
  for (int i = 0; i < 3; ++i) {
    if (!needs_table(g, i, last)) continue;
    PoolAxis& a = g.axis[i];
    auto* windows = reinterpret_cast<PoolWindow*>(at);
    for (int64_t o = 0; o < a.out; ++o) windows[o] = pool_window(a, o, include_pad);
    a.windows = windows;
    at += a.out * sizeof(PoolWindow);
    if (!backward) continue;
    auto* covers = reinterpret_cast<PoolCover*>(at);
    for (int64_t j = 0; j < a.in; ++j) covers[j] = pool_cover(a, j);
    a.covers = covers;
    at += a.in * sizeof(PoolCover);
  }
  return end;
}

// Validation (throws Error); `op` without its number of dimensions, e.g. "max_pool".
void check_pool(const char* op, const PoolParams& params, const TensorView& x, const char* x_name,
                const TensorView& y, const char* y_name, bool average);

}  // namespace fastnn
