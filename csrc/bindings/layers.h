// What layers compute, as new arrays: for bindings that run them without going through Python.
#pragma once

#include "bindings/convert.h"
#include "fastnn/ops/conv.h"

namespace fastnn {

// Convolution of (N, C, spatial...) or (C, spatial...), padded alike on both sides.
NewArray conv_new(const ConvParams& p, const TensorView& x, const TensorView& w,
                  const TensorView& bias);

// Pooling over the last `dims` axes; the windows as in Python.
struct WindowArgs {
  py::handle kernel, stride, padding, dilation;
  bool ceil_mode;
};
NewArray max_pool_new(const TensorView& x, int dims, const WindowArgs& window);
NewArray adaptive_avg_pool_new(const TensorView& x, int dims, py::handle output_size);

}  // namespace fastnn
