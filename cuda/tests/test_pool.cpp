// Maximum and average pooling, both directions: windows, padding, dilation, adaptive, layouts.
#include <cmath>

#include "array.h"
#include "fastnn/ops/pool.h"
#include "ops.h"

using namespace fastnn;
using namespace fastnn::cuda::test;

namespace {

Shape pooled(const Shape& x, const int64_t* out) {
  Shape y(x.begin(), x.begin() + 2);
  y.insert(y.end(), out, out + x.size() - 2);
  return y;
}

void maximum(DType t, const Shape& x_shape, const Shape& y_shape, const PoolParams& p,
             Layout layout, DType index_type) {
  Array x(x_shape, t, layout), y(y_shape, t, layout), index(y_shape, index_type, layout);
  x.random(1);
  if (x.numel() > 7) x.set(5, NAN), x.set(7, x.get(6));
  compare(cuda::max_pool_forward, max_pool_forward, p, {x, y, Array()}, {0, 0});
  compare(cuda::max_pool_forward, max_pool_forward, p, {x, y, index}, {0, 0});
  launch(max_pool_forward, p, {x.view(), y.view(), index.view()});
  Array dy(y_shape, t), dx(x_shape, t, layout);
  dy.random(2);
  Tolerance tolerance = tolerance_of(t);
  if (t == DType::f32) tolerance.absolute = 1e-5;
  compare(cuda::max_pool_backward, max_pool_backward, p, {dy, index, dx}, tolerance);
}

void average(DType t, const Shape& x_shape, const Shape& y_shape, const PoolParams& p,
             Layout layout) {
  Array x(x_shape, t, layout), y(y_shape, t, layout), dy(y_shape, t), dx(x_shape, t, layout);
  x.random(3);
  dy.random(4);
  Tolerance tolerance = tolerance_of(t);
  if (t == DType::f32) tolerance.absolute = 1e-6;
  if (size_of(t) == 2) tolerance.absolute = 1e-3;
  compare(cuda::avg_pool_forward, avg_pool_forward, p, {x, y}, tolerance);
  compare(cuda::avg_pool_backward, avg_pool_backward, p, {dy, dx}, tolerance);
}

void windows(DType t, const Shape& x_shape, PoolParams p, Layout layout) {
  p.dims = static_cast<int>(x_shape.size()) - 2;
  Array x(x_shape, t, layout);
  int64_t out[3];
  pool_output_shape("pool", p, x.view(), out);
  const Shape y_shape = pooled(x_shape, out);
  context = cat("pool ", name_of(t), " x ", x.view().shape_text(), " kernel ", p.kernel[0],
                " stride ", p.stride[0], " padding ", p.padding[0], " dilation ", p.dilation[0],
                " layout ", static_cast<int>(layout));
  maximum(t, x_shape, y_shape, p, layout, DType::u8);
  maximum(t, x_shape, y_shape, p, layout, DType::i64);
  if (p.dilation[0] != 1) return;
  average(t, x_shape, y_shape, p, layout);
  p.count_include_pad = false;
  average(t, x_shape, y_shape, p, layout);
  p.divisor_override = 3;
  average(t, x_shape, y_shape, p, layout);
}

PoolParams params(int64_t kernel, int64_t stride, int64_t padding, int64_t dilation) {
  PoolParams p;
  for (int d = 0; d < 3; ++d) {
    p.kernel[d] = kernel, p.stride[d] = stride, p.padding[d] = padding, p.dilation[d] = dilation;
  }
  return p;
}

void adaptive(const Shape& x_shape, std::initializer_list<int64_t> out) {
  PoolParams p;
  p.dims = static_cast<int>(x_shape.size()) - 2;
  p.adaptive = true;
  context = "adaptive pool";
  const Shape y_shape = pooled(x_shape, out.begin());
  maximum(DType::f32, x_shape, y_shape, p, Layout::contiguous, DType::i64);
  average(DType::f32, x_shape, y_shape, p, Layout::contiguous);
}

}  // namespace

void test_pool() {
  for (DType t : {DType::f32, DType::bf16, DType::f16, DType::f64})
    for (Layout layout : {Layout::contiguous, Layout::channels_last, Layout::sliced}) {
      windows(t, {2, 3, 8, 6}, params(2, 2, 0, 1), layout);
      windows(t, {2, 3, 9, 7}, params(3, 2, 1, 1), layout);
      windows(t, {1, 2, 11, 9}, params(3, 1, 1, 2), layout);
    }
  PoolParams ceil = params(3, 2, 1, 1);
  ceil.ceil_mode = true;
  windows(DType::f32, {2, 4, 8, 8}, ceil, Layout::contiguous);
  windows(DType::f32, {3, 2, 17}, params(4, 3, 2, 1), Layout::contiguous);
  windows(DType::f32, {1, 2, 5, 6, 4}, params(2, 1, 1, 1), Layout::contiguous);
  windows(DType::f32, {0, 2, 4, 4}, params(2, 2, 0, 1), Layout::contiguous);
  adaptive({2, 3, 7, 5}, {3, 2});
  adaptive({2, 3, 8, 6}, {1, 3});
  adaptive({1, 2, 10}, {4});
}
