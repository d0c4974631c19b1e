// What gradient clipping needs, in one launch over a list of arrays: the norm of all of them,
// scaling, clamping, zeroing.
#pragma once

#include "fastnn/op.h"

namespace fastnn {

enum class GradKind {
  norm,   // (sum |x|^value)^(1/value) over each array, and over all; value may also be 0, inf or
          // -inf
  scale,  // x *= value
  clamp,  // x = min(max(x, -value), value); NaN stays
  zero,   // x = 0
};

struct GradParams {
  GradKind kind;
  int64_t count;
  double value;
};

// Views: `count` arrays of float32, float64, bfloat16 or float16 with any strides, written in place
// by all kinds but norm. For norm one more view: a contiguous float64 array of count + 1 elements
// that receives the norm of every array and then the norm of those. Sums are accumulated in double.
extern const Op<GradParams> grads_apply;

}  // namespace fastnn
