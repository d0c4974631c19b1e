// Average pooling: the inner loops.
#pragma once

#include "cpu/kernels/isa_table.h"
#include "cpu/kernels/pool_axis.h"

namespace fastnn {

// Output rows of one plane whose rows are contiguous.
template <class T>
struct AvgRows {
  const T* x;
  int64_t x_d, x_h;     // strides
  PoolAxis d, h, w;     // tables of d and h; of w where its windows vary
  int64_t first, last;  // rows, numbered od * H + oh
  const T*
      sizes;  // what w contributes to the divisor, by output; a vector may be read past the end
  T divisor;  // of every window; 0: its size
  T* y;
  int64_t y_d, y_h;
  T* line;  // avg_line_elements(w) elements of scratch
};

// The same rows of dx from dy.
template <class T>
struct AvgRowsBackward {
  const T* dy;
  int64_t dy_d, dy_h;
  PoolAxis d, h, w;
  int64_t first, last;  // rows of dx, numbered id * H + ih
  const T* shares;      // 1 / sizes; with a divisor, 1 / divisor
  T divisor;
  T* dx;
  int64_t dx_d, dx_h;
  T* line;
};

// One output row of an image whose channels are contiguous; all three axes have tables.
template <class T>
struct AvgPixels {
  const T* x;
  int64_t x_d, x_h, x_w;
  PoolAxis d, h, w;
  int64_t od, oh, channels;
  T divisor;
  T* y;
  int64_t y_w;
};

template <class T>
struct AvgPixelsBackward {
  const T* dy;
  int64_t dy_d, dy_h, dy_w;
  PoolAxis d, h, w;
  int64_t id, ih, channels;
  T divisor;
  T* dx;
  int64_t dx_w;
};

// Room for one padded row of sums (forward) or of gradients (backward), and for what vectors read
// beyond its ends.
constexpr int64_t kAvgLineSlack = 64;
inline __attribute__((always_inline)) int64_t avg_line_elements(const PoolAxis& w) {
  const int64_t forward = w.padding + w.in + w.kernel, windows = w.out * w.stride + w.kernel;
  const int64_t backward = w.out + 2 * w.kernel;
  const int64_t most = forward > windows ? forward : windows;
  return (most > backward ? most : backward) + kAvgLineSlack * (w.stride < 3 ? w.stride : 1);
}

template <class T>
struct AvgPoolTable {
  void (*rows)(const AvgRows<T>&);
  void (*rows_backward)(const AvgRowsBackward<T>&);
  void (*pixels)(const AvgPixels<T>&);
  void (*pixels_backward)(const AvgPixelsBackward<T>&);
  // Of planes of n values, `apart` from each other.
  void (*sums)(const T* x, int64_t apart, int64_t planes, int64_t n, T* sums);
};

struct AvgPoolKernels {
  AvgPoolTable<float> f32;
  AvgPoolTable<double> f64;
};

FASTNN_KERNELS(AvgPoolKernels, avg_pool_kernels)

}  // namespace fastnn
