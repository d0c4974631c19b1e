// Reductions over any set of axes of an array of any strides and dtype.
//
// Views: x, out, index (null but for max and min, where it may be given). out and index have the
// shape of x with the reduced axes of size 1. index (int64) counts along the single reduced axis;
// the first of equal extremes wins, and a NaN is the extreme. Floats are read as float32 or float64
// and summed in blocks, whose sums are added in float64: the result is right to about an ulp, and
// its bits depend on the shape and the instruction set alone. Integers are summed in int64. Empty
// reductions give 0 (sum, norm), 1 (prod), NaN (mean, var), -inf (logsumexp), and are refused for
// max and min.
#pragma once

#include "fastnn/op.h"

namespace fastnn {

enum class ReduceOp : uint8_t {
  sum,
  mean,
  prod,
  max,
  min,
  any,
  all,
  count_nonzero,
  norm,     // p-norm, p in params: 0, 1, 2, inf, -inf or any other
  var,      // with correction in params: sum (x - mean)^2 / max(0, n - correction)
  std_dev,  // its root
  logsumexp,
};

struct ReduceParams {
  ReduceOp op;
  uint32_t axes;  // bit d: axis d is reduced
  double p = 0;   // norm: p; var, std: correction
};

extern const Op<ReduceParams> reduce;

}  // namespace fastnn
