#include "cpu/conv_matrix.h"

#include <cstring>

#include "cpu/conv_source.h"
#include "cpu/gemm_plan.h"
#include "fastnn/ops/gemm.h"

namespace fastnn {

namespace {

// The strides of the axes "channels and taps", from the weight and from the image that has a pixel
// for every tap; the same order in both. 0: they are none.
struct Folded {
  int64_t weight = 0, image = 0;
  bool channels_inner = false;
  explicit operator bool() const { return weight != 0 && image != 0; }
};

Folded fold(const Correlation& c, int64_t channels, int64_t weight_stride,
            const ConvImageView& image) {
  for (const bool channels_inner : {false, true}) {
    const Folded f{joint_taps(c, c.weight.axis, channels, weight_stride, channels_inner),
                   joint_taps(c, image.axis, channels, image.c, channels_inner), channels_inner};
    if (f) return f;
  }
  return {};
}

Folded fold_image(const Correlation& c) { return fold(c, c.in, c.weight.c, c.image); }
Folded fold_result(const Correlation& whole) {
  return fold(whole, whole.out, whole.weight.o, whole.result);
}

TensorView matrix(const Correlation& c, char* data, int64_t rows, int64_t row_stride,
                  int64_t columns, int64_t column_stride) {
  TensorView v;
  v.data = data;
  v.ndim = 2;
  v.dtype = c.dtype;
  v.shape[0] = rows;
  v.shape[1] = columns;
  v.stride[0] = row_stride;
  v.stride[1] = column_stride;
  return v;
}

struct MatrixProduct {
  GemmParams params;
  TensorView views[4];
  size_t workspace() const { return gemm_forward.workspace(params, views); }
  void run(void* memory) const { gemm_forward.run(params, views, memory); }
};

MatrixProduct product_of(const Correlation& c) {
  const Folded f = fold_image(c);
  const int64_t k = c.in * c.taps();
  return {{1, 0, c.activation},
          {matrix(c, c.image.data, c.batch, c.image.n, k, f.image),
           matrix(c, c.weight.data, k, f.weight, c.out, c.weight.o),
           matrix(c, c.result.data, c.batch, c.result.n, c.out, c.result.c), c.bias}};
}

// Sums over the batch, as in a linear layer's gradient.
MatrixProduct weight_product_of(const Correlation& c) {
  const Folded f = fold_image(c);
  const int64_t k = c.in * c.taps();
  return {{},
          {matrix(c, c.result.data, c.out, c.result.c, c.batch, c.result.n),
           matrix(c, c.image.data, c.batch, c.image.n, k, f.image),
           matrix(c, c.weight.data, c.out, c.weight.o, k, f.weight),
           {}}};
}

// `bias`: where write_tap_bias() writes, or nowhere yet.
MatrixProduct spread_product_of(const Correlation& c, void* bias) {
  const Folded f = fold_result(c);
  const int64_t n = c.out * c.taps();
  MatrixProduct product{{1, 0, c.activation},
                        {matrix(c, c.image.data, c.batch, c.image.n, c.in, c.image.c),
                         matrix(c, c.weight.data, c.in, c.weight.c, n, f.weight),
                         matrix(c, c.result.data, c.batch, c.result.n, n, f.image), c.bias}};
  if (tap_bias_bytes(c) == 0) return product;
  TensorView& each = product.views[3];
  each.data = bias;
  each.shape[0] = n;
  each.stride[0] = 1;
  return product;
}

}  // namespace

int64_t tap_bias_bytes(const Correlation& whole) {
  if (!whole.bias || whole.taps() == 1) return 0;
  const auto elem = static_cast<int64_t>(size_of(whole.bias.dtype));
  return round_up(whole.out * whole.taps() * elem, 64);
}

void write_tap_bias(const Correlation& whole, bool channels_inner, char* dst) {
  const size_t elem = size_of(whole.bias.dtype);
  const int64_t taps = whole.taps(), n = whole.out * taps;
  for (int64_t i = 0; i < n; ++i) {
    const int64_t channel = channels_inner ? i % whole.out : i / taps;
    const auto from = static_cast<size_t>(channel * whole.bias.stride[0]);
    memcpy(dst + static_cast<size_t>(i) * elem, whole.bias.ptr<char>() + from * elem, elem);
  }
}

bool is_matrix(const Correlation& c) {
  for (const ConvAxis& a : c.axis)
    if (a.out != 1 || a.origin != 0 || a.taps != a.size || (a.taps > 1 && a.tap_step != 1))
      return false;
  return c.groups == 1 && fold_image(c);
}

size_t correlate_matrix_workspace(const Correlation& c) { return product_of(c).workspace(); }
void correlate_matrix(const Correlation& c, void* workspace) { product_of(c).run(workspace); }
size_t correlate_weight_matrix_workspace(const Correlation& c) {
  return weight_product_of(c).workspace();
}
void correlate_weight_matrix(const Correlation& c, void* workspace) {
  weight_product_of(c).run(workspace);
}

bool is_spread_matrix(const Correlation& c) {
  for (const ConvAxis& a : c.axis)
    if (a.size != 1 || a.origin != 0 || a.taps != a.out || (a.taps > 1 && a.tap_step != 1))
      return false;
  return c.groups == 1 && fold_result(c);
}

size_t spread_matrix_workspace(const Correlation& whole) {
  // Any address will do for the bias: nothing is read.
  const auto bias = static_cast<size_t>(tap_bias_bytes(whole));
  return bias + spread_product_of(whole, whole.bias.data).workspace();
}
void spread_matrix(const Correlation& whole, void* workspace) {
  const int64_t bias = tap_bias_bytes(whole);
  if (bias != 0)
    write_tap_bias(whole, fold_result(whole).channels_inner, static_cast<char*>(workspace));
  spread_product_of(whole, workspace).run(static_cast<char*>(workspace) + bias);
}

}  // namespace fastnn
