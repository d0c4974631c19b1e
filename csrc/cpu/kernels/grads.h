// Sums and in-place changes over dense arrays.
#pragma once

#include <stdint.h>

#include "cpu/kernels/isa_table.h"

namespace fastnn {

template <class T>
struct GradLoops {
  // Sum of x^2, sum of |x|, largest |x| (NaN when there is one), in a fixed order.
  double (*squares)(const T* x, int64_t n);
  double (*absolutes)(const T* x, int64_t n);
  double (*largest)(const T* x, int64_t n);
  void (*scale)(T* x, double factor, int64_t n);
  void (*clamp)(T* x, double limit, int64_t n);
};

struct GradKernels {
  GradLoops<float> f32;
  GradLoops<double> f64;
};

FASTNN_KERNELS(GradKernels, grad_kernels)

}  // namespace fastnn
