// Sliding blocks of images as columns (im2col), and the sum of columns into images (col2im).
//
// Images are (N, C, H, W); columns are (N, C * KH * KW, L), with L the number of block positions,
// row by row. Any strides. float32 and float64; bfloat16 and float16 are summed in float32.
#pragma once

#include "fastnn/op.h"

namespace fastnn {

struct FoldParams {
  int64_t kernel[2] = {1, 1}, dilation[2] = {1, 1}, padding[2] = {0, 0}, stride[2] = {1, 1};
};

// Number of block positions along an axis; checks params and sizes.
int64_t fold_positions(const FoldParams& params, int axis, int64_t size, const char* op);

// Views: image, columns. Also the backward of fold.
extern const Op<FoldParams> unfold_forward;
// Views: columns, image. Writes every element of the image. Also the backward of unfold.
extern const Op<FoldParams> fold_forward;

}  // namespace fastnn
