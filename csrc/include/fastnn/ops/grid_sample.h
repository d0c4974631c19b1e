// Sampling of images at the places of a grid (Jaderberg et al., Spatial Transformer Networks,
// 2015).
//
// Images are (N, C, [D,] H, W); a grid is (N, [OD,] OH, OW, 2 or 3), its last axis (x, y[, z]), -1
// and 1 being the image's borders. Any strides. float32 and float64; bfloat16 and float16 are
// computed in float32.
#pragma once

#include "fastnn/op.h"

namespace fastnn {

enum class SampleMode : int { bilinear, nearest, bicubic };  // bicubic: two spatial axes only
enum class SamplePadding : int { zeros, border, reflection };

struct GridSampleParams {
  int dims = 2;  // spatial axes, 2 or 3
  SampleMode mode = SampleMode::bilinear;
  SamplePadding padding = SamplePadding::zeros;
  bool align_corners =
      false;  // -1 and 1 are the centres of the corner pixels, not their outer edges
};

// Views: x, grid, y.
extern const Op<GridSampleParams> grid_sample_forward;
// Views: dy, x, grid, dx, dgrid. Writes every element of dx and dgrid; either may be null.
extern const Op<GridSampleParams> grid_sample_backward;

}  // namespace fastnn
