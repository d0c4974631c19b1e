#include "cpu/conv_matrix.h"

#include "cpu/conv_source.h"
#include "fastnn/ops/gemm.h"

namespace fastnn {

namespace {

// The strides of the axes "channels and taps", from the weight and from the image that has a pixel
// for every tap; the same order in both. 0: they are none.
struct Folded {
  int64_t weight = 0, image = 0;
  explicit operator bool() const { return weight != 0 && image != 0; }
};

Folded fold(const Correlation& c, int64_t channels, int64_t weight_stride,
            const ConvImageView& image, int64_t image_stride) {
  const ConvAxis* a = c.axis;
  const int64_t* w = c.weight.axis;
  const int64_t* x = image.axis;
  const auto outer = [&](const int64_t* axis, int64_t stride) {
    return joint_stride({a[2].taps, a[1].taps, a[0].taps, channels},
                        {axis[2], axis[1], axis[0], stride});
  };
  const auto inner = [&](const int64_t* axis, int64_t stride) {  // channels-last
    return joint_stride({channels, a[2].taps, a[1].taps, a[0].taps},
                        {stride, axis[2], axis[1], axis[0]});
  };
  const Folded f{outer(w, weight_stride), outer(x, image_stride)};
  return f ? f : Folded{inner(w, weight_stride), inner(x, image_stride)};
}

Folded fold_image(const Correlation& c) { return fold(c, c.in, c.weight.c, c.image, c.image.c); }
Folded fold_result(const Correlation& whole) {
  return fold(whole, whole.out, whole.weight.o, whole.result, whole.result.c);
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

struct Product {
  GemmParams params;
  TensorView views[4];
  size_t workspace() const { return gemm_forward.workspace(params, views); }
  void run(void* memory) const { gemm_forward.run(params, views, memory); }
};

Product product_of(const Correlation& c) {
  const Folded f = fold_image(c);
  const int64_t k = c.in * c.taps();
  return {{1, 0, c.activation},
          {matrix(c, c.image.data, c.batch, c.image.n, k, f.image),
           matrix(c, c.weight.data, k, f.weight, c.out, c.weight.o),
           matrix(c, c.result.data, c.batch, c.result.n, c.out, c.result.c), c.bias}};
}

Product weight_product_of(const Correlation& c) {
  const Folded f = fold_image(c);
  const int64_t k = c.in * c.taps();
  return {{},
          {matrix(c, c.result.data, c.out, c.result.c, c.batch, c.result.n),
           matrix(c, c.image.data, c.batch, c.image.n, k, f.image),
           matrix(c, c.weight.data, c.out, c.weight.o, k, f.weight),
           {}}};
}

Product spread_product_of(const Correlation& c) {
  const Folded f = fold_result(c);
  const int64_t n = c.out * c.taps();
  return {{1, 0, c.activation},
          {matrix(c, c.image.data, c.batch, c.image.n, c.in, c.image.c),
           matrix(c, c.weight.data, c.in, c.weight.c, n, f.weight),
           matrix(c, c.result.data, c.batch, c.result.n, n, f.image), c.bias}};
}

}  // namespace

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
  return c.groups == 1 && (!c.bias || c.taps() == 1) && fold_result(c);
}

size_t spread_matrix_workspace(const Correlation& whole) {
  return spread_product_of(whole).workspace();
}
void spread_matrix(const Correlation& whole, void* workspace) {
  spread_product_of(whole).run(workspace);
}

}  // namespace fastnn
