// Losses that compare element with element, and their derivative by the input, in one pass.
#pragma once

#include "fastnn/op.h"
#include "fastnn/ops/loss_kinds.h"
#include "fastnn/ops/reduction.h"

namespace fastnn {

struct PointwiseLossParams {
  LossKind kind;
  double a;  // huber: delta; smooth_l1: beta
  Reduction reduction;
};

// Views: 0 input, 1 target, 2 weight (bce, bce_logits; else null), 3 pos_weight (bce_logits; else
// null): contiguous, of one shape, all float32 or all float64; 4 loss: of that shape for
// Reduction::none, else one element.
extern const Op<PointwiseLossParams> pointwise_loss_forward;

// Views: 0 input, 1 target, 2 weight, 3 pos_weight, 4 the gradient of loss, 5 the gradient of input
// (contiguous).
extern const Op<PointwiseLossParams> pointwise_loss_backward;

}  // namespace fastnn
