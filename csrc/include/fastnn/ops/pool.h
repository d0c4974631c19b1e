// Pooling over the last one, two or three axes of (N, C, spatial...): maximum, average, unpooling.
//
// Layout: every op takes any strides. It is fast where the last axis has stride 1 (NCHW) or where
// the channels have stride 1 in all views (channels-last). Views may not overlap. Types: float32
// and float64; bfloat16 and float16 are computed in float32 and rounded once. All floating views of
// one call have the same dtype.
//
// Indices of maxima: the first of equal maxima, except that a NaN wins over everything and the last
// NaN over the others (as in PyTorch). The dtype of the index view says what it holds:
//   uint8          position inside the window, (kd * KH + kh) * KW + kw; windows of <= 256 elements
//   int32, int64   position in the input plane, (d * H + h) * W + w
#pragma once

#include "fastnn/op.h"

namespace fastnn {

struct PoolParams {
  int dims = 2;  // pooled axes, 1..3; the arrays below have that many entries
  int64_t kernel[3] = {1, 1, 1};
  int64_t stride[3] = {1, 1, 1};
  int64_t padding[3] = {0, 0, 0};
  int64_t dilation[3] = {1, 1, 1};  // maximum only; 1 for averages
  bool adaptive = false;   // windows follow from input and output size; the arrays are not read
  bool ceil_mode = false;  // used by pool_output_shape; the ops read the shapes of their views
  bool count_include_pad = true;  // averages: padding counts as elements
  int64_t divisor_override = 0;   // averages: divide by this; 0: by the window's size
};

// Number of elements of a window; adaptive windows have no single size: 0.
int64_t pool_window_volume(const PoolParams& params);

// Checks params and the shape of x, and writes the pooled sizes to out[0 .. dims). Not for adaptive
// pooling.
void pool_output_shape(const char* op, const PoolParams& params, const TensorView& x, int64_t* out);

// Views: x, y, index (may be null).
extern const Op<PoolParams> max_pool_forward;
// Views: dy, index, dx. Writes every element of dx.
extern const Op<PoolParams> max_pool_backward;

// Views: x, y.
extern const Op<PoolParams> avg_pool_forward;
// Views: dy, dx. Writes every element of dx.
extern const Op<PoolParams> avg_pool_backward;

struct UnpoolParams {
  int dims = 2;
};

// Views: x, index (int64, the shape of x), y. y is zero but for y[n, c, index] = x; of equal
// indices the last wins.
extern const Op<UnpoolParams> max_unpool_forward;
// Views: dy, index, dx (the shape of index).
extern const Op<UnpoolParams> max_unpool_backward;

struct FractionalPoolParams {
  int dims = 2;  // 2 or 3
  int64_t kernel[3] = {1, 1, 1};
};

// Views: x, samples (N, C, dims) in [0, 1) of x's dtype, y, index (int64). Graham (2014):
// pseudo-random sequence of window starts; the last window ends at the edge. Samples are given in
// the order (d, h, w) for three axes and (w, h) for two, as in PyTorch. Its backward is
// max_pool_backward.
extern const Op<FractionalPoolParams> fractional_max_pool_forward;

}  // namespace fastnn
