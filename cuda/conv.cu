// Convolution as implicit im2col products: the image is looked up pixel by tap while tiles are
// loaded, so there is no column buffer. Forward and the gradient of the input (a correlation for
// each residue modulo the stride: no zeros are multiplied) are one product, the gradient of the
// weight the other. Channels-last and NCHW differ in strides only.
#include <algorithm>

#include "../csrc/cpu/conv_shape.h"
#include "common/mma_gemm.h"
#include "common/tile_gemm.h"
#include "fastnn/ops/conv.h"
#include "ops.h"

namespace fastnn::cuda {

namespace {

Digits digits_of(int64_t s1, int64_t s2, int64_t s3, int64_t t0, const int64_t* t) {
  Digits d;
  const int64_t sizes[3] = {s1, s2, s3};
  d.stride[0] = t0;
  for (int i = 0; i < 3; ++i) {
    d.size[i] = FastDiv(std::max<int64_t>(1, sizes[i]));
    d.stride[1 + i] = t[i];
  }
  return d;
}

// Pixels (n, p0, p1, p2) of the result; taps (c, t0, t1, t2) of the weight.
Digits pixel_digits(const Correlation& c) {
  return digits_of(c.axis[0].out, c.axis[1].out, c.axis[2].out, c.result.n, c.result.axis);
}
Digits tap_digits(const Correlation& c) {
  return digits_of(c.axis[0].taps, c.axis[1].taps, c.axis[2].taps, c.weight.c, c.weight.axis);
}

ImageMap image_map(const Correlation& c) {
  ImageMap m;
  for (int a = 0; a < 3; ++a) {
    const ConvAxis& x = c.axis[a];
    m.out[a] = FastDiv(std::max<int64_t>(1, x.out));
    m.taps[a] = FastDiv(std::max<int64_t>(1, x.taps));
    m.origin[a] = static_cast<int>(x.origin);
    m.step[a] = static_cast<int>(x.step);
    m.tap_step[a] = static_cast<int>(x.tap_step);
    m.size[a] = static_cast<int>(x.size);
    m.stride[a] = c.image.axis[a];
  }
  m.stride_n = c.image.n;
  m.stride_c = c.image.c;
  return m;
}

struct Product {
  int64_t m, n, k;
  Cut cut;
};

Product product(int64_t m, int64_t n, int64_t k, const Correlation& c) {
  return {m, n, k, cut_product(m, n, k, c.groups, c.dtype)};
}
// Filters by pixels, summed over taps.
Product correlate_product(const Correlation& c) {
  return product(c.out, c.batch * c.pixels(), c.in * c.taps(), c);
}
// Filters by taps, summed over pixels.
Product weight_product(const Correlation& c) {
  return product(c.out, c.in * c.taps(), c.batch * c.pixels(), c);
}

Batch group_batch(const Correlation& c, int64_t a, int64_t b, int64_t out) {
  Batch batch{};
  if (c.groups == 1) return batch;
  batch.axes = 1;
  batch.shape[0] = FastDiv(c.groups);
  batch.a[0] = a;
  batch.b[0] = b;
  batch.c[0] = out;
  batch.bias[0] = c.bias ? c.out * c.bias.stride[0] : 0;
  return batch;
}

Epilogue epilogue(void* data, DType dtype, int64_t row_stride, const Digits& columns) {
  Epilogue out{};
  out.c = data;
  out.dtype = dtype;
  out.row_stride = row_stride;
  out.columns = columns;
  out.alpha = 1;
  return out;
}

// 16-bit types on tensor cores, the others on CUDA cores.
template <class A, class B>
void launch_product(const char* name, const A& a, const B& b, const Product& p, const Batch& batch,
                    int64_t groups, const Epilogue& out, void* scratch, Stream stream) {
  if constexpr (sizeof(typename A::Element) == 2)
    launch_mma_gemm(name, GatheredChunks<A>{a}, GatheredChunks<B>{b}, p.cut, batch, groups, out,
                    scratch, stream);
  else
    launch_tile_gemm(name, a, b, p.cut, batch, groups, out, scratch, stream);
}

void correlate(const Correlation& c, void* scratch, Stream stream) {
  const Product p = correlate_product(c);
  if (p.m * p.n == 0) return;
  Epilogue out = epilogue(c.result.data, c.dtype, c.result.c, pixel_digits(c));
  out.bias = c.bias.data;
  out.bias_dtype = c.bias.dtype;
  out.bias_m = c.bias ? c.bias.stride[0] : 0;
  out.activation = c.activation;
  const Batch batch = group_batch(c, c.weight.group, c.in * c.image.c, c.out * c.result.c);
  with_float_type(c.dtype, [&](auto tag) {
    using T = decltype(tag);
    const DigitOperand<T> weight{reinterpret_cast<const T*>(c.weight.data), c.weight.o,
                                 tap_digits(c), true};
    // Neighbouring pixels lie side by side, or neighbouring channels do, which k counts last.
    const ImageOperand<T, true> image{reinterpret_cast<const T*>(c.image.data), image_map(c),
                                      false};
    launch_product("conv", weight, image, p, batch, c.groups, out, scratch, stream);
  });
}

void correlate_weight(const Correlation& c, void* scratch, Stream stream) {
  const Product p = weight_product(c);
  if (p.m * p.n == 0) return;
  const Epilogue out = epilogue(c.weight.data, c.dtype, c.weight.o, tap_digits(c));
  const Batch batch = group_batch(c, c.out * c.result.c, c.in * c.image.c, c.weight.group);
  with_float_type(c.dtype, [&](auto tag) {
    using T = decltype(tag);
    const DigitOperand<T> result{reinterpret_cast<const T*>(c.result.data), c.result.c,
                                 pixel_digits(c), true};
    const ImageOperand<T, false> image{reinterpret_cast<const T*>(c.image.data), image_map(c),
                                       true};
    launch_product("conv_backward_weight", result, image, p, batch, c.groups, out, scratch, stream);
  });
}

size_t product_bytes(const Product& p, const Correlation& c) {
  return split_bytes(p.cut.shape, c.groups, c.dtype);
}

void check_product(const Product& p, const Correlation& c) {
  if (too_large(p.cut, p.m, p.n, p.k, c.groups))
    fail(ErrorKind::unsupported, "conv: the product of ", p.m, " x ", p.n, " x ", p.k, " in ",
         c.groups, " groups is more than one launch takes on CUDA; cut the batch into parts");
}

// ---- Forward ----

Correlation forward_of(const ConvParams& p, const TensorView* v) {
  return make_correlation(p, v[0], v[1], v[2], v[3]);
}
void check_forward(const ConvParams& p, const TensorView* v) {
  const Correlation c = forward_of(p, v);
  check_product(correlate_product(c), c);
}
size_t forward_workspace(const ConvParams& p, const TensorView* v) {
  const Correlation c = forward_of(p, v);
  return product_bytes(correlate_product(c), c);
}
void run_forward(const ConvParams& p, const TensorView* v, void* scratch, Stream stream) {
  correlate(forward_of(p, v), scratch, stream);
}

// ---- Gradient of the input ----

template <class F>
void each_part(const ConvParams& p, const TensorView* v, F body) {
  const Transposed t(p, v[0], v[1], v[2], v[3]);
  if (t.gaps()) body(t.nothing());
  for (int64_t i = 0; i < t.parts(); ++i) {
    const Correlation c = t.part(i);
    if (c.taps() > 0 || !t.gaps()) body(c);
  }
}
void check_backward_input(const ConvParams& p, const TensorView* v) {
  each_part(p, v, [](const Correlation& c) { check_product(correlate_product(c), c); });
}
size_t backward_input_workspace(const ConvParams& p, const TensorView* v) {
  size_t bytes = 0;
  each_part(p, v, [&](const Correlation& c) {
    bytes = std::max(bytes, product_bytes(correlate_product(c), c));
  });
  return bytes;
}
void run_backward_input(const ConvParams& p, const TensorView* v, void* scratch, Stream stream) {
  each_part(p, v, [&](const Correlation& c) { correlate(c, scratch, stream); });
}

// ---- Gradients of weight and bias ----

Correlation weight_of(const ConvParams& p, const TensorView* v) {
  return make_correlation(p, v[0], v[2], TensorView{}, v[1]);
}
void check_backward_weight(const ConvParams& p, const TensorView* v) {
  const Correlation c = weight_of(p, v);
  check_product(weight_product(c), c);
}
size_t backward_weight_workspace(const ConvParams& p, const TensorView* v) {
  const Correlation c = weight_of(p, v);
  return product_bytes(weight_product(c), c);
}
void run_backward_weight(const ConvParams& p, const TensorView* v, void* scratch, Stream stream) {
  correlate_weight(weight_of(p, v), scratch, stream);
}

// The sum of dy over everything but the channels.
struct BiasSum {
  ReduceParams params;
  TensorView views[3];
};
BiasSum bias_sum(const TensorView* v) {
  BiasSum s{{ReduceOp::sum, 0, 0}, {v[0], v[0], TensorView{}}};
  s.views[1].data = v[1].data;
  s.views[1].dtype = v[1].dtype;
  for (int d = 0; d < v[0].ndim; ++d) {
    if (d == 1) continue;
    s.params.axes |= 1u << d;
    s.views[1].shape[d] = 1;
  }
  s.views[1].stride[1] = v[1].stride[0];
  return s;
}
size_t backward_bias_workspace(const ConvParams&, const TensorView* v) {
  const BiasSum s = bias_sum(v);
  return reduce.workspace(s.params, s.views);
}
void run_backward_bias(const ConvParams&, const TensorView* v, void* scratch, Stream stream) {
  const BiasSum s = bias_sum(v);
  reduce.run(s.params, s.views, scratch, stream);
}

}  // namespace

const Op<ConvParams> conv_forward{"conv", check_forward, forward_workspace, run_forward};
const Op<ConvParams> conv_backward_input{"conv_backward_input", check_backward_input,
                                         backward_input_workspace, run_backward_input};
const Op<ConvParams> conv_backward_weight{"conv_backward_weight", check_backward_weight,
                                          backward_weight_workspace, run_backward_weight};
const Op<ConvParams> conv_backward_bias{"conv_backward_bias", nullptr, backward_bias_workspace,
                                        run_backward_bias};

}  // namespace fastnn::cuda
