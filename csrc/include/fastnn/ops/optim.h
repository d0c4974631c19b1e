// Optimizer steps: one launch over all parameters.
//
// The views come in groups of `count`: view k of parameter i is views[k * count + i]. All views of
// one parameter have the same shape, except the scalars, which are float32 or float64 of one
// element. Any strides are taken (equal dense strides are fast); params and grads may be float32,
// float64 or bfloat16/float16 (widened to float32 and rounded once); states have the dtype of their
// parameter. Parameters and states are written in place and must not overlap one another.
#pragma once

#include "fastnn/op.h"
#include "fastnn/ops/optim_types.h"

namespace fastnn {

// Full-size state groups. Inline, because the CUDA plugin holds none of the CPU's sources.
inline int optim_states(OptimKind kind, int flags) {
  switch (kind) {
    case OptimKind::sgd:
      return flags & kOptimMomentum ? 1 : 0;
    case OptimKind::adam:
      return flags & kOptimAmsgrad ? 3 : 2;
    case OptimKind::rmsprop:
      return 1 + (flags & kOptimMomentum ? 1 : 0) + (flags & kOptimCentered ? 1 : 0);
    case OptimKind::adagrad:
    case OptimKind::asgd:
      return 1;
    default:
      return 2;
  }
}
int optim_scalars(OptimKind kind);  // one-element state groups

// Increments each parameter's step and applies one update.
extern const Op<OptimParams> optim_step;

}  // namespace fastnn
