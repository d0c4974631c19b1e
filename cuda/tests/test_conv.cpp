// Convolutions in three directions: stride, padding, dilation, groups, dimensions, layouts.
#include <cmath>

#include "array.h"
#include "fastnn/ops/conv.h"
#include "ops.h"

using namespace fastnn;
using namespace fastnn::cuda::test;

namespace {

void one(DType t, const Shape& x_shape, const Shape& w_shape, ConvParams p, Layout layout,
         bool bias) {
  p.dims = static_cast<int>(x_shape.size()) - 2;
  Array x(x_shape, t, layout), w(w_shape, t, layout), with;
  int64_t out[3], after[3];
  for (int d = 0; d < 3; ++d) after[d] = p.padding[d];
  conv_output_shape("conv", p, after, x.view(), w.view(), out);
  Shape y_shape{x_shape[0], w_shape[0]};
  y_shape.insert(y_shape.end(), out, out + p.dims);
  Array y(y_shape, t, layout), dy(y_shape, t, layout), dx(x_shape, t, layout),
      dw(w_shape, t, layout), db({w_shape[0]}, t);
  x.random(1);
  w.random(2);
  dy.random(3);
  if (bias) with = Array({w_shape[0]}, t).random(4);
  context = cat("conv ", name_of(t), " x ", x.view().shape_text(), " w ", w.view().shape_text(),
                " stride ", p.stride[0], " padding ", p.padding[0], " dilation ", p.dilation[0],
                " groups ", p.groups, " layout ", static_cast<int>(layout));
  Tolerance tolerance{tolerance_of(t).relative, t == DType::f64   ? 1e-12
                                                : t == DType::f32 ? 3e-5
                                                                  : 1e-3};
  compare(cuda::conv_forward, conv_forward, p, {x, w, with, y}, tolerance);
  ConvParams plain = p;
  plain.activation = Activation::none;
  compare(cuda::conv_backward_input, conv_backward_input, plain, {dy, w, Array(), dx}, tolerance);
  compare(cuda::conv_backward_weight, conv_backward_weight, plain, {x, dy, dw}, tolerance);
  compare(cuda::conv_backward_bias, conv_backward_bias, plain, {dy, db}, tolerance);
}

ConvParams params(int64_t stride, int64_t padding, int64_t dilation, int64_t groups) {
  ConvParams p;
  for (int d = 0; d < 3; ++d)
    p.stride[d] = stride, p.padding[d] = padding, p.dilation[d] = dilation;
  p.groups = groups;
  return p;
}

}  // namespace

void test_conv() {
  for (DType t : {DType::f32, DType::bf16, DType::f16, DType::f64})
    for (Layout layout : {Layout::contiguous, Layout::channels_last}) {
      one(t, {2, 3, 9, 8}, {5, 3, 3, 3}, params(1, 1, 1, 1), layout, true);
      if (t == DType::bf16 && layout == Layout::contiguous) continue;
      one(t, {2, 4, 9, 11}, {6, 2, 3, 2}, params(2, 1, 2, 2), layout, false);
    }
  ConvParams relu = params(1, 2, 1, 1);
  relu.activation = Activation::relu;
  one(DType::f32, {8, 1, 28, 28}, {6, 1, 5, 5}, relu, Layout::contiguous, true);  // LeNet's first
  one(DType::f32, {1, 6, 10}, {6, 1, 4}, params(3, 0, 1, 6), Layout::contiguous, true);
  one(DType::f32, {1, 2, 5, 6, 4}, {3, 2, 2, 3, 2}, params(2, 1, 1, 1), Layout::contiguous, true);
  one(DType::f32, {3, 4, 5, 5}, {2, 4, 1, 1}, params(3, 0, 1, 1), Layout::channels_last, false);
  one(DType::f32, {2, 70, 6, 6}, {3, 70, 3, 3}, params(1, 1, 1, 1), Layout::contiguous,
      true);  // split
  for (DType t : {DType::bf16, DType::f16}) {
    one(t, {2, 70, 6, 6}, {3, 70, 3, 3}, relu, Layout::channels_last, true);
    one(t, {1, 3, 66, 126}, {66, 3, 1, 1}, params(1, 0, 1, 1), Layout::contiguous, true);  // large
  }
}
