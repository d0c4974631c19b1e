#include "cpu/conv_shape.h"

#include <algorithm>
#include <numeric>

namespace fastnn {

namespace {

ConvImageView image_view(const TensorView& v, int dims) {
  ConvImageView out;
  out.data = v.ptr<char>();
  out.n = v.stride[0];
  out.c = v.stride[1];
  for (int d = 0; d < dims; ++d) out.axis[3 - dims + d] = v.stride[2 + d];
  return out;
}

// `forward`: output channels are the first axis of w; otherwise (transposed) the second.
ConvWeightView weight_view(const TensorView& w, int dims, bool forward, int64_t groups) {
  ConvWeightView out;
  out.data = w.ptr<char>();
  out.o = w.stride[forward ? 0 : 1];
  out.c = w.stride[forward ? 1 : 0];
  out.group = w.shape[0] / groups * w.stride[0];
  for (int d = 0; d < dims; ++d) out.axis[3 - dims + d] = w.stride[2 + d];
  return out;
}

int64_t floor_div(int64_t a, int64_t b) { return a / b - (a % b < 0); }

}  // namespace

bool Correlation::adjacent_taps() const {
  const int64_t x = axis[2].taps, plane = axis[1].taps * x;
  return (x == 1 || weight.axis[2] == 1) && (axis[1].taps == 1 || weight.axis[1] == x) &&
         (axis[0].taps == 1 || weight.axis[0] == plane);
}

Correlation Correlation::group(int64_t g) const {
  Correlation one = *this;
  one.groups = 1;
  one.image.data += g * in * image.c * elem();
  one.result.data += g * out * result.c * elem();
  one.weight.data += g * weight.group * elem();
  if (bias)
    one.bias.data =
        bias.ptr<char>() + g * out * bias.stride[0] * static_cast<int64_t>(size_of(bias.dtype));
  return one;
}

Correlation Planes::flat() const {
  Correlation c = whole_;
  c.batch *= c.axis[0].out;
  c.in *= taps_;
  c.axis[0] = ConvAxis{};
  return c;
}

const char* Planes::source(int64_t image, int64_t tap) const {
  const ConvAxis& z = whole_.axis[0];
  const ConvImageView& v = whole_.image;
  const int64_t plane = z.origin + image % z.out * z.step + tap * z.tap_step;
  if (plane < 0 || plane >= z.size) return nullptr;
  return v.data + (image / z.out * v.n + plane * v.axis[0]) * whole_.elem();
}

int64_t Planes::result_offset(int64_t image) const {
  const int64_t out = whole_.axis[0].out;
  return image / out * whole_.result.n + image % out * whole_.result.axis[0];
}

int64_t Planes::weight_offset(int64_t channel) const {
  return channel / taps_ * whole_.weight.c + channel % taps_ * whole_.weight.axis[0];
}

Correlation make_correlation(const ConvParams& p, const TensorView& x, const TensorView& w,
                             const TensorView& bias, const TensorView& y) {
  Correlation c;
  c.dtype = x.dtype;
  c.batch = x.shape[0];
  c.groups = p.groups;
  c.in = x.shape[1] / p.groups;
  c.out = w.shape[0] / p.groups;
  for (int d = 0; d < p.dims; ++d)
    c.axis[3 - p.dims + d] = {y.shape[2 + d], w.shape[2 + d], x.shape[2 + d],
                              -p.padding[d],  p.stride[d],    p.dilation[d]};
  c.image = image_view(x, p.dims);
  c.result = image_view(y, p.dims);
  c.weight = weight_view(w, p.dims, true, p.groups);
  c.bias = bias;
  c.activation = p.activation;
  c.prepares = p.prepares;
  c.prepared = p.prepared;
  return c;
}

Transposed::Transposed(const ConvParams& p, const TensorView& dy, const TensorView& w,
                       const TensorView& bias, const TensorView& dx) {
  Correlation& c = whole_;
  c.dtype = dy.dtype;
  c.batch = dy.shape[0];
  c.groups = p.groups;
  c.in = w.shape[0] / p.groups;
  c.out = dx.shape[1] / p.groups;
  for (int d = 0; d < p.dims; ++d)
    c.axis[3 - p.dims + d] = {dx.shape[2 + d], w.shape[2 + d], dy.shape[2 + d],
                              p.padding[d],    p.stride[d],    p.dilation[d]};
  c.image = image_view(dy, p.dims);
  c.result = image_view(dx, p.dims);
  c.weight = weight_view(w, p.dims, false, p.groups);
  c.bias = bias;
  c.activation = p.activation;
  for (int a = 0; a < 3; ++a) {
    parts_[a] = std::min(c.axis[a].step, c.axis[a].out);
    for (int64_t i = 0; i < parts_[a] && !gaps_; ++i) {
      int64_t tap, stride;
      gaps_ = residue(a, i, &tap, &stride).taps == 0;
    }
  }
}

// The pixels first, first + stride, ... of dx, and the taps that reach them.
ConvAxis Transposed::residue(int axis, int64_t first, int64_t* first_tap,
                             int64_t* tap_stride) const {
  const ConvAxis& whole = whole_.axis[axis];
  const int64_t stride = whole.step, dilation = whole.tap_step;
  const int64_t common = std::gcd(stride, dilation), period = stride / common;
  // Tap k reaches pixel i from output (i + padding - k * dilation) / stride, if that is whole.
  const int64_t limit = std::min(period, whole.taps);
  int64_t tap = 0;
  while (tap < limit && (first + whole.origin - tap * dilation) % stride != 0) ++tap;
  *tap_stride = period;
  *first_tap = tap < limit ? tap : 0;
  ConvAxis out;
  out.out = (whole.out - first + stride - 1) / stride;
  out.size = whole.size;
  out.taps = tap < limit ? (whole.taps - tap + period - 1) / period : 0;
  out.origin = floor_div(first + whole.origin - *first_tap * dilation, stride);
  out.tap_step = -dilation / common;
  return out;
}

Correlation Transposed::part(int64_t i) const {
  Correlation c = whole_;
  for (int a = 2; a >= 0; --a) {
    const int64_t first = i % parts_[a], stride = c.axis[a].step;
    i /= parts_[a];
    int64_t tap, tap_stride;
    c.axis[a] = residue(a, first, &tap, &tap_stride);
    c.result.data += first * c.result.axis[a] * c.elem();
    c.result.axis[a] *= stride;
    c.weight.data += tap * c.weight.axis[a] * c.elem();
    c.weight.axis[a] *= tap_stride;
  }
  return c;
}

Correlation Transposed::nothing() const {
  Correlation c = whole_;
  for (ConvAxis& a : c.axis) a = {a.out, 0, a.size, 0, 1, 1};
  return c;
}

}  // namespace fastnn
