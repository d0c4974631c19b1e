// softmax and log_softmax along one axis, and their gradients.
//
// Forward views: x, out. Backward views: grad of the output, the output itself, out (grad of x).
// All of one shape and one floating dtype, any strides. 16-bit floats are computed in float32 and
// rounded once. The maximum is taken off first, so any finite input gives finite softmax. A line
// that is all -inf, or holds +inf or NaN, becomes NaN, as in PyTorch. out may be x (or grad, or the
// output) exactly; it must not overlap them otherwise.
#pragma once

#include "fastnn/op.h"

namespace fastnn {

struct SoftmaxParams {
  int axis;
  bool log;
};

extern const Op<SoftmaxParams> softmax_forward;
extern const Op<SoftmaxParams> softmax_backward;

}  // namespace fastnn
