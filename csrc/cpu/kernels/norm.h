// Sums and affine maps over contiguous runs, and over rows of channels ("columns": one sum for each
// channel).
#pragma once

#include <stdint.h>

#include "cpu/kernels/isa_table.h"
#include "fastnn/activation.h"

namespace fastnn {

// Lets dy pass where an activation let y pass: 0 < y < high. A high of NaN is none; without y,
// everything passes.
template <class T>
struct Gate {
  const T* y = nullptr;
  T high = 0;

  Gate from(int64_t offset) const { return {y ? y + offset : nullptr, high}; }
};

template <class T>
struct NormLoops {
  T (*sum)(const T* x, int64_t n);
  // first = sum(x - mean), second = sum (x - mean)^2
  void (*centered_sums)(const T* x, int64_t n, T mean, T* first, T* second);
  // first = sum g, second = sum g (x - mean), g = dy weight (weight null: g = dy), where it passes
  void (*product_sums)(const T* dy, const T* x, const T* weight, int64_t n, T mean, T* first,
                       T* second, Gate<T> gate);
  // y = rectified((x - mean) scale + shift)
  void (*affine)(const T* x, T* y, int64_t n, T mean, T scale, T shift, Rectifier rectifier);
  // y = ((x - mean) scale + shift) weight + bias, either may be null
  void (*weighted_affine)(const T* x, T* y, int64_t n, T mean, T scale, T shift, const T* weight,
                          const T* bias);
  // dx = a (g - c) + b (x - mean), g = dy weight or, without one, dy w, where it passes. The
  // difference first: it may cancel.
  void (*grad)(const T* dy, const T* x, const T* weight, T* dx, int64_t n, T mean, T w, T a, T b,
               T c, Gate<T> gate);
  // dweight += dy (x - mean) rstd, dbias += dy (null: not wanted)
  void (*weight_grad)(const T* dy, const T* x, int64_t n, T mean, T rstd, T* dweight, T* dbias);

  // For `rows` rows of n channels, each `stride` after the last; sums are added to what is there.
  void (*column_sums)(const T* x, int64_t rows, int64_t stride, int64_t n, T* sum);
  void (*column_centered_sums)(const T* x, int64_t rows, int64_t stride, int64_t n, const T* mean,
                               T* first, T* second);
  void (*column_product_sums)(const T* dy, const T* x, int64_t rows, int64_t stride, int64_t n,
                              const T* mean, T* first, T* second, Gate<T> gate);
  void (*column_affine)(const T* x, T* y, int64_t rows, int64_t stride, int64_t n, const T* mean,
                        const T* scale, const T* shift, Rectifier rectifier);
  // dx = a (dy w - c) + b (x - mean), dy where it passes
  void (*column_grad)(const T* dy, const T* x, T* dx, int64_t rows, int64_t stride, int64_t n,
                      const T* mean, const T* w, const T* a, const T* b, const T* c, Gate<T> gate);
};

struct NormKernels {
  NormLoops<float> f32;
  NormLoops<double> f64;
};

FASTNN_KERNELS(NormKernels, norm_kernels)

}  // namespace fastnn
