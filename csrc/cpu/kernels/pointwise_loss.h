#pragma once

#include <stdint.h>

#include "cpu/kernels/isa_table.h"
#include "fastnn/ops/loss_kinds.h"

namespace fastnn {

// A part of the arrays of a loss; weight and positive (pos_weight) may be null.
template <class T>
struct LossBlock {
  const T *x, *t, *weight, *positive;
  int64_t n;
  T a;
};

template <class T>
struct LossLoops {
  // The sum of the losses; each of them goes to `out` unless that is null.
  double (*value)(const LossBlock<T>& block, T* out);
  // dx = scale * dloss/dx, times dy of each element unless that is null.
  void (*slope)(const LossBlock<T>& block, T scale, const T* dy, T* dx);
};

struct PointwiseLossKernels {
  LossLoops<float> f32[kLossKinds];
  LossLoops<double> f64[kLossKinds];
};

FASTNN_KERNELS(PointwiseLossKernels, pointwise_loss_kernels)

}  // namespace fastnn
