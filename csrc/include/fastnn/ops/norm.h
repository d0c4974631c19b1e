// Normalisations: y = (x - mean) rstd weight + bias with rstd = 1 / sqrt(var + eps), var the biased
// variance, over rows (layer norm, RMS norm), over batch and positions of each channel (batch
// norm), or over groups of channels of each sample (group norm; instance norm has groups of one
// channel).
//
// With g = dy weight, xhat = (x - mean) rstd and means over what is normalised together:
//   dx = rstd (g - mean(g) - xhat mean(g xhat)),  dweight = sum dy xhat,  dbias = sum dy
// Where given statistics were used (batch norm in eval mode), dx = rstd g. RMS norm has mean 0, and
// no mean(g) in dx.
//
// All arrays are float32, or all float64. Weight, bias, their gradients and all statistics are
// contiguous. weight and bias may be null (1 and 0), gradients that are not wanted too. Means and
// rstd are saved for backward.
#pragma once

#include "fastnn/activation.h"
#include "fastnn/op.h"

namespace fastnn {

struct RowNormParams {
  bool centered;  // false: RMS norm
  double eps;
};

// Views: 0 x [R, M] contiguous, 1 weight [M], 2 bias [M], 3 y [R, M] contiguous, 4 mean [R] (null:
// RMS), 5 rstd [R].
extern const Op<RowNormParams> row_norm_forward;
// Views: 0 dy [R, M] contiguous, 1 x, 2 weight, 3 mean, 4 rstd, 5 dx, 6 dweight, 7 dbias.
extern const Op<RowNormParams> row_norm_backward;

struct BatchNormParams {
  bool training;    // statistics of the batch; else the running ones
  double momentum;  // weight of this batch in the running statistics, whose variance is unbiased
  double eps;
  Activation activation = Activation::none;  // of y: none, relu or relu6
};

// x, y, dy, dx are [N, C, S], with strides of (C S, S, 1) or channels-last (S C, 1, C), all the
// same. Views: 0 x, 1 weight [C], 2 bias [C], 3 running mean [C], 4 running variance [C] (in
// training updated unless null; needed otherwise), 5 y, 6 mean [C], 7 rstd [C].
extern const Op<BatchNormParams> batch_norm_forward;
// Views: 0 dy, 1 x, 2 weight, 3 mean, 4 rstd, 5 dx, 6 dweight, 7 dbias, 8 y (with an activation,
// which needs training).
extern const Op<BatchNormParams> batch_norm_backward;

struct BatchNormFoldParams {
  double eps;
};

// The weight and bias with which a layer does what it and a batch norm with given statistics behind
// it did. Views: 0 weight [C, K] contiguous, 1 bias [C] (or null) of the layer, 2 weight [C], 3
// bias [C], 4 mean [C], 5 variance [C] of the norm, 6 the new weight [C, K] contiguous, 7 the new
// bias [C].
extern const Op<BatchNormFoldParams> batch_norm_fold;

struct GroupNormParams {
  int64_t groups;
  double eps;
};

// Views: 0 x [N, C, S] as for batch norm, 1 weight [C], 2 bias [C], 3 y, 4 mean [N, groups], 5 rstd
// [N, groups].
extern const Op<GroupNormParams> group_norm_forward;
// Views: 0 dy, 1 x, 2 weight, 3 mean, 4 rstd, 5 dx, 6 dweight, 7 dbias.
extern const Op<GroupNormParams> group_norm_backward;

}  // namespace fastnn
