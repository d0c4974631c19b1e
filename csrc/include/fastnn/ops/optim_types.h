// The kinds, flags and parameters of optimizer steps: what the contract and the kernels share.
#pragma once

#include <stdint.h>

namespace fastnn {

// State groups follow param and grad, in the order given here; [x] only with the flag in brackets.
// Then the scalars.
enum class OptimKind {
  sgd,       // [momentum: momentum_buffer]
  adam,      // exp_avg, exp_avg_sq, [amsgrad: max_exp_avg_sq]; step
  rmsprop,   // square_avg, [momentum: momentum_buffer], [centered: grad_avg]; step
  adagrad,   // sum; step
  adadelta,  // square_avg, acc_delta; step
  adamax,    // exp_avg, exp_inf; step
  nadam,     // exp_avg, exp_avg_sq; step, mu_product
  radam,     // exp_avg, exp_avg_sq; step
  asgd,      // ax; step, eta, mu
  rprop,     // prev, step_size; step
};
constexpr int kOptimKinds = 10;

enum OptimFlags {
  kOptimMomentum = 1,  // sgd, rmsprop
  kOptimNesterov = 2,  // sgd
  kOptimFirst = 4,     // sgd: the momentum buffer starts as a copy of the gradient
  kOptimAmsgrad = 8,   // adam
  kOptimDecoupled =
      16,  // adam, nadam, radam: weight decay acts on the parameter, not on the gradient (AdamW)
  kOptimCentered = 32,  // rmsprop
  kOptimMaximize = 64,  // all: ascend
};

struct OptimParams {
  OptimKind kind;
  int flags;
  int64_t count;
  double lr, weight_decay;
  // Meaning by kind: sgd: momentum, dampening. adam, adamax, radam: beta1, beta2, eps. nadam:
  // beta1, beta2, eps, momentum_decay. rmsprop: alpha, eps, momentum. adagrad: lr_decay, eps.
  // adadelta: rho, eps. asgd: lambd, alpha, t0. rprop: etaminus, etaplus, step_min, step_max.
  double h[4];
};

}  // namespace fastnn
