// The two sums that all directions of all convolutions come down to, in one notation for any
// strides and for one to three axes (axes that are missing have size 1).
#pragma once

#include "fastnn/ops/conv.h"

namespace fastnn {

// Along an axis, output pixel p and tap k meet at input pixel origin + p * step + k * tap_step; it
// counts when it lies in [0, size).
struct ConvAxis {
  int64_t out = 1, taps = 1, size = 1, origin = 0, step = 1, tap_step = 1;
};

// An image with channels, as strides in elements.
struct ConvImageView {
  char* data = nullptr;
  int64_t n = 0, c = 0, axis[3] = {0, 0, 0};
};
struct ConvWeightView {
  char* data = nullptr;
  int64_t o = 0, c = 0, axis[3] = {0, 0, 0}, group = 0;
};

// result[n, g, o, p] = act(bias[g, o] + sum_{c, k} image[n, g, c, pixel(p, k)] weight[g, o, c, k]).
// Weight gradients are the same triple of arrays with another one unknown:
// weight[g, o, c, k] = sum_{n, p} image[n, g, c, pixel(p, k)] result[n, g, o, p].
struct Correlation {
  DType dtype = DType::f32;
  int64_t batch = 0, groups = 1, in = 0, out = 0;  // channels per group
  ConvAxis axis[3];
  ConvImageView image, result;
  ConvWeightView weight;
  TensorView bias;
  Activation activation = Activation::none;
  bool prepares = false;  // see ConvParams
  const void* prepared = nullptr;

  int64_t pixels() const { return axis[0].out * axis[1].out * axis[2].out; }
  int64_t taps() const { return axis[0].taps * axis[1].taps * axis[2].taps; }
  // A channel's taps follow on each other in the weight.
  bool adjacent_taps() const;
  int64_t elem() const { return static_cast<int64_t>(size_of(dtype)); }
  // One group of it.
  Correlation group(int64_t g) const;
};

// Three axes seen as two: every plane of the result is an image, and every tap along the first axis
// makes channels of its own, which come tap by tap for each real one.
class Planes {
 public:
  explicit Planes(const Correlation& whole) : whole_(whole), taps_(whole.axis[0].taps) {}

  // The correlation of two axes; its image, result and weight are still the whole one's.
  Correlation flat() const;
  // Of an image and a tap: the plane of channel 0 in the image; null outside of it.
  const char* source(int64_t image, int64_t tap) const;
  int64_t result_offset(int64_t image) const;    // of channel 0, in elements
  int64_t weight_offset(int64_t channel) const;  // of a channel of the flat one
  int64_t taps() const { return taps_; }

 private:
  const Correlation& whole_;
  int64_t taps_;
};

// x, w, y as in the contract; `bias` may be null.
Correlation make_correlation(const ConvParams& p, const TensorView& x, const TensorView& w,
                             const TensorView& bias, const TensorView& y);

// The gradient with respect to x, or a transposed convolution. With strides it falls apart into
// independent correlations of stride 1, one for each residue of the pixels of dx modulo the stride.
class Transposed {
 public:
  Transposed(const ConvParams& p, const TensorView& dy, const TensorView& w, const TensorView& bias,
             const TensorView& dx);

  // Before it falls apart: image is dy and result dx, and an axis has dx's pixels as `out`, dy's as
  // `size`, the padding as `origin`, the stride as `step` and the dilation as `tap_step`.
  const Correlation& whole() const { return whole_; }
  int64_t parts() const { return parts_[0] * parts_[1] * parts_[2]; }
  Correlation part(int64_t i) const;
  // Some pixels of dx are reached by no tap: their parts have taps() == 0.
  bool gaps() const { return gaps_; }
  // All of dx as a sum of no taps, to fill it with act(bias).
  Correlation nothing() const;

 private:
  ConvAxis residue(int axis, int64_t first, int64_t* first_tap, int64_t* tap_stride) const;

  Correlation whole_;  // axis[a]: out and size are those of dx and dy, step is the stride
  int64_t parts_[3];
  bool gaps_ = false;
};

}  // namespace fastnn
