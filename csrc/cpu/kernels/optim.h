// Update loops over dense arrays. Coefficients are computed per parameter by the driver, in double.
#pragma once

#include "cpu/kernels/isa_table.h"
#include "fastnn/ops/optim_types.h"

namespace fastnn {

constexpr int kOptimCoefs = 10;
constexpr int kOptimMaxStates = 3;

template <class T>
struct OptimBlock {
  T* param;
  const T* grad;
  T* state[kOptimMaxStates];
  int64_t n;
};

template <class T>
using OptimUpdate = void (*)(const double* coef, int flags, const OptimBlock<T>& block);

struct OptimKernels {
  OptimUpdate<float> update_f32[kOptimKinds];
  OptimUpdate<double> update_f64[kOptimKinds];
};

// coef[0] = lr (or what plays its part), coef[1] = weight decay, coef[2..] by kind, as the kernels
// say.
FASTNN_KERNELS(OptimKernels, optim_kernels)

}  // namespace fastnn
