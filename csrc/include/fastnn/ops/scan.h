// Running sums, products and extremes along one axis.
//
// Views: x, out (same shape as x), index (int64, same shape; null but for cummax and cummin, where
// it may be given). Accumulates in float64 or int64; every output is rounded once. cummax and
// cummin note the last of equal extremes, and NaN stays from where it appears. out must not overlap
// x.
#pragma once

#include "fastnn/op.h"

namespace fastnn {

enum class ScanOp : uint8_t { cumsum, cumprod, cummax, cummin, logcumsumexp };

struct ScanParams {
  ScanOp op;
  int axis;
};

extern const Op<ScanParams> scan;

}  // namespace fastnn
