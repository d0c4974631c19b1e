// Negative log-likelihood: loss = -weight[y] x[n, y, d], 0 where y == ignore_index. `mean` divides
// the sum by the sum of weight[y] over the positions that are not ignored.
#pragma once

#include "fastnn/op.h"
#include "fastnn/ops/reduction.h"

namespace fastnn {

struct NllParams {
  int64_t ignore_index;
  Reduction reduction;
};

// Views: 0 log-probabilities [N, C, D], any strides; 1 target int64 [N, D] contiguous; 2 weight [C]
// contiguous, or null; 3 loss: [N, D] contiguous for Reduction::none, else one element; 4 the
// divisor of the mean, one element. weight, loss and divisor are float64 for float64
// log-probabilities, else float32. A class index outside of [0, C) that is not ignore_index is an
// index error.
extern const Op<NllParams> nll_loss_forward;

// Views: 0 log-probabilities (only their shape and dtype count), 1 target, 2 weight, 3 divisor, 4
// the gradient of loss, 5 the gradient of the log-probabilities (written; any strides).
extern const Op<NllParams> nll_loss_backward;

}  // namespace fastnn
