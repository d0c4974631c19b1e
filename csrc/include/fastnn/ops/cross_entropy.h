// Cross-entropy of logits: log-softmax, negative log-likelihood and their gradient without the
// matrix of probabilities.
//
// With log p = log_softmax(x) over the classes and a target distribution a, each position's loss is
// -sum_c a_c log p_c:
//   class indices: a = weight[y] ((1 - s) onehot(y)) + (s / C) weight;  0 at positions where y ==
//   ignore_index probabilities: a = weight ((1 - s) target + s / C)
// where s is the label smoothing. `mean` divides the sum by the sum of weight[y] over the positions
// that are not ignored (class indices), or by the number of positions (probabilities).
#pragma once

#include "fastnn/op.h"
#include "fastnn/ops/reduction.h"

namespace fastnn {

struct CrossEntropyParams {
  bool probabilities;
  int64_t ignore_index;
  double smoothing;
  Reduction reduction;
};

// Views: 0 logits [N, C, D], any strides; 1 target: int64 [N, D] contiguous, or [N, C, D] of the
// logits' dtype, any strides; 2 weight [C] contiguous, or null; 3 loss: [N, D] contiguous for
// Reduction::none, else one element; 4 saved, contiguous, 2 N D + 1 elements: the maxima, the
// logarithms of sum exp(x - maximum), the divisor of the mean. Logits are float32, float64,
// bfloat16 or float16; weight, loss and saved are float64 for float64 logits, else float32. A class
// index outside of [0, C) that is not ignore_index is an index error.
extern const Op<CrossEntropyParams> cross_entropy_forward;

// Views: 0 logits, 1 target, 2 weight, 3 saved, 4 the gradient of loss, 5 the gradient of the
// logits (written; any strides).
extern const Op<CrossEntropyParams> cross_entropy_backward;

}  // namespace fastnn
