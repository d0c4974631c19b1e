// Interpolation of images (N, C, spatial...) to another spatial size, separably along one, two or
// three axes.
//
// Any strides; fast where rows or channels are contiguous. float32 and float64; bfloat16 and
// float16 are computed in float32. Views may not overlap.
#pragma once

#include "fastnn/op.h"

namespace fastnn {

enum class ResizeMode : int { nearest, nearest_exact, linear, cubic };

struct ResizeParams {
  int dims = 2;  // resized axes, 1..3
  ResizeMode mode = ResizeMode::nearest;
  bool align_corners = false;   // linear and cubic: the corners of both images coincide
  bool antialias = false;       // linear and cubic: widen the filter when the image shrinks
  double scale[3] = {0, 0, 0};  // output over input, as the user gave it; 0: from the sizes
};

// Views: x, y.
extern const Op<ResizeParams> resize_forward;
// Views: dy, dx. Writes every element of dx.
extern const Op<ResizeParams> resize_backward;

}  // namespace fastnn
