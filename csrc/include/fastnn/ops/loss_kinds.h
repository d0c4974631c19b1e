// The element-by-element losses of input x and target t.
#pragma once

namespace fastnn {

enum class LossKind {
  mse,         // (x - t)^2
  l1,          // |x - t|
  huber,       // d^2 / 2 for |d| < a, a (|d| - a / 2) beyond, d = x - t
  smooth_l1,   // d^2 / (2 a) for |d| < a, |d| - a / 2 beyond; a > 0
  bce,         // -weight (t log x + (1 - t) log(1 - x)), logarithms at least -100
  bce_logits,  // weight ((1 - t) x + (1 + (pos_weight - 1) t) log(1 + exp(-x)))
  kl,          // t (log t - x), 0 - t x for t = 0
  kl_log,      // exp(t) (t - x)
};
constexpr int kLossKinds = 8;

}  // namespace fastnn
