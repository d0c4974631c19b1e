// An image of a correlation as the packers see it, and how its pixels lie.
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

// Axes, the inner ones first, as one axis with one stride; 0 when they are none, as in broadcast
// arrays.
template <int N>
int64_t joint_stride(const int64_t (&sizes)[N], const int64_t (&strides)[N]) {
  int64_t stride = 1, expected = 0;
  bool found = false;
  for (int i = 0; i < N; ++i) {
    if (sizes[i] == 1) continue;
    if (!found) stride = expected = strides[i];
    found = true;
    if (strides[i] != expected) return 0;
    expected *= sizes[i];
  }
  return stride;
}

// Channels and taps, or (`channels_inner`) taps and channels, of a weight, or of an image that has
// a pixel for every tap, as one axis.
inline int64_t joint_taps(const Correlation& c, const int64_t* tap_strides, int64_t channels,
                          int64_t channel_stride, bool channels_inner) {
  const ConvAxis* a = c.axis;
  const int64_t* t = tap_strides;
  if (channels_inner)
    return joint_stride({channels, a[2].taps, a[1].taps, a[0].taps},
                        {channel_stride, t[2], t[1], t[0]});
  return joint_stride({a[2].taps, a[1].taps, a[0].taps, channels},
                      {t[2], t[1], t[0], channel_stride});
}

// The stride between neighbouring output pixels in row-major order, in the result or in an image of
// the same size; 0 when there is none.
inline int64_t pixel_stride(const Correlation& c, const ConvImageView& image) {
  return joint_stride({c.axis[2].out, c.axis[1].out, c.axis[0].out},
                      {image.axis[2], image.axis[1], image.axis[0]});
}

// One tap, which meets a pixel of the image for every one of the result.
inline bool reads_pixels(const Correlation& c) {
  for (const ConvAxis& a : c.axis)
    if (a.taps != 1 || a.origin != 0 || (a.out - 1) * a.step >= a.size) return false;
  return true;
}

// Every output pixel reads one pixel of the image, the one in its place, and none is left out.
inline bool is_pointwise(const Correlation& c) {
  for (const ConvAxis& a : c.axis)
    if (a.taps != 1 || a.origin != 0 || (a.step != 1 && a.out != 1) || a.out != a.size)
      return false;
  return true;
}

}  // namespace fastnn
