// An image of a correlation as the packers see it.
#pragma once

#include "cpu/conv_shape.h"
#include "cpu/kernels/conv.h"

namespace fastnn {

inline ConvSource conv_source(const Correlation& c) {
  ConvSource s{};
  s.data = c.image.data;
  s.dtype = c.dtype;
  s.stride_n = c.image.n;
  s.stride_c = c.image.c;
  s.channels = c.in;
  s.channels_inner = c.image.c == 1 && c.in > 1;
  for (int a = 0; a < 3; ++a) {
    s.stride[a] = c.image.axis[a];
    s.size[a] = c.axis[a].size;
    s.out[a] = c.axis[a].out;
    s.taps[a] = c.axis[a].taps;
    s.origin[a] = c.axis[a].origin;
    s.step[a] = c.axis[a].step;
    s.tap_step[a] = c.axis[a].tap_step;
  }
  return s;
}

// An image of the result's size whose pixels follow on each other.
inline bool pixels_follow(const Correlation& c, const ConvImageView& v) {
  const ConvAxis* a = c.axis;
  return (v.axis[2] == 1 || a[2].out == 1) && (a[1].out == 1 || v.axis[1] == a[2].out) &&
         (a[0].out == 1 || v.axis[0] == a[1].out * a[2].out);
}

}  // namespace fastnn
