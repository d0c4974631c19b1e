// Passes over one row of classes, and over a tile of neighbouring positions whose classes lie
// apart.
#pragma once

#include <stdint.h>

#include "cpu/kernels/isa_table.h"

namespace fastnn {

template <class T>
struct CrossEntropyLoops {
  // Of each of `rows` rows, `stride` apart: the maximum of x[0..n) and sum exp(x - maximum).
  void (*row_stats)(const T* x, int64_t stride, int64_t rows, int64_t n, T* maximum, T* sum);
  // The logarithms of n numbers, in place: for the sums of many rows at once.
  void (*logs)(T* v, int64_t n);
  // sum a (maximum - x); a == null stands for ones.
  T (*row_dot)(const T* x, const T* a, int64_t n, T maximum);
  T (*row_sum)(const T* a, int64_t n);
  // out = p_scale exp(x - maximum - log_sum) - a_scale a; a == null stands for ones.
  void (*row_grad)(const T* x, const T* a, int64_t n, T maximum, T log_sum, T p_scale, T a_scale,
                   T* out);
  // The same for n <= kTile positions at x + 0, 1, ...; class c of each is `stride` further.
  void (*tile_stats)(const T* x, int64_t stride, int64_t classes, int64_t n, T* maximum,
                     T* log_sum);
  void (*tile_dot)(const T* x, int64_t stride, const T* a, int64_t classes, int64_t n,
                   const T* maximum, T* out);
  void (*tile_grad)(const T* x, int64_t stride, const T* a, int64_t classes, int64_t n,
                    const T* maximum, const T* log_sum, const T* p_scale, const T* a_scale, T* out,
                    int64_t out_stride);
};

constexpr int64_t kCrossEntropyTile = 128;

struct CrossEntropyKernels {
  CrossEntropyLoops<float> f32;
  CrossEntropyLoops<double> f64;
};

FASTNN_KERNELS(CrossEntropyKernels, cross_entropy_kernels)

}  // namespace fastnn
