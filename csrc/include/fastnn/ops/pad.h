// Padding of images (N, C, spatial...) along one, two or three axes, and cropping where a size is
// negative.
//
// Any strides, any dtype (gradients: floating dtypes, bfloat16 and float16 summed in float32).
#pragma once

#include "fastnn/op.h"

namespace fastnn {

enum class PadMode : int { constant, reflect, replicate, circular };

struct PadParams {
  int dims = 2;
  PadMode mode = PadMode::constant;
  int64_t before[3] = {0, 0, 0};  // in the order of the axes
  int64_t after[3] = {0, 0, 0};
  double value = 0;  // constant; converted to the dtype of x
};

// Views: x, y.
extern const Op<PadParams> pad_forward;
// Views: dy, dx. Writes every element of dx.
extern const Op<PadParams> pad_backward;

}  // namespace fastnn
