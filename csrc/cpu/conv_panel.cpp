#include "cpu/conv_panel.h"

#include <algorithm>

#include "cpu/gemm_core.h"
#include "cpu/gemm_plan.h"
#include "cpu/kernels/conv.h"

namespace fastnn {

void pack_filters(const Correlation& c, int64_t group, int64_t filter, int64_t panel,
                  int64_t channel0, int64_t channels, char* dst) {
  const ConvWeightView& w = c.weight;
  const ConvAxis &z = c.axis[0], &y = c.axis[1], &x = c.axis[2];
  const int64_t taps = y.taps * x.taps;
  const char* data = w.data + (group * w.group + filter * w.o) * c.elem();
  const int width = static_cast<int>(std::min(panel, c.out - filter));
  if (w.c == c.taps() && c.adjacent_taps()) {
    data += channel0 * taps * c.elem();
    gemm_family(c.dtype).pack(
        {dst, static_cast<int>(panel), data, c.dtype, w.o, 1, width, channels * taps});
    return;
  }
  const ConvFilter f{
      data, c.dtype, w.o, w.c, {w.axis[0], w.axis[1], w.axis[2]}, c.in, {z.taps, y.taps, x.taps},
      false};
  active_conv_kernels().f32.filter(
      f, {dst, static_cast<int>(panel), width, 0, channel0 * taps, channels * taps, 0});
}

void copy_planes(const Correlation& c, int64_t group, int64_t image, int64_t first, int64_t end,
                 ConvPlanes planes) {
  const Planes of(c);
  const ConvImageView& v = c.image;
  const int64_t taps = of.taps();
  const int64_t room = planes.dst_channel * static_cast<int64_t>(sizeof(float));
  char* const dst = static_cast<char*>(planes.dst);
  planes.dtype = c.dtype;
  planes.stride_c = v.c;
  planes.stride_y = v.axis[1];
  planes.stride_x = v.axis[2];
  planes.size_x = c.axis[2].size;
  planes.dst_channel *= taps;
  for (int64_t tap = 0; tap < taps; ++tap) {  // its channels are `taps` apart
    const int64_t channel = (first - tap + taps - 1) / taps, begin = channel * taps + tap;
    if (begin >= end) continue;
    const char* source = of.source(image, tap);
    planes.data = source ? source + (group * c.in + channel) * v.c * c.elem() : v.data;
    planes.size_y = source ? c.axis[1].size : 0;
    planes.channels = ceil_div(end - begin, taps);
    planes.dst = dst + (begin - first) * room;
    active_conv_kernels().filters.planes(planes);
  }
}

void fetch_bias(const Correlation& c, int64_t group, int64_t filter, int64_t count, char* dst) {
  std::fill_n(dst, count * 4, char{0});
  const TensorView& b = c.bias;
  const char* data = b.ptr<char>() + (group * c.out + filter) * b.stride[0] *
                                         static_cast<int64_t>(size_of(b.dtype));
  gemm_family(c.dtype).pack(
      {dst, 1, data, b.dtype, 0, b.stride[0], 1, std::min(count, c.out - filter)});
}

void write_sums(const Correlation& c, const FilterSums& s) {
  const ConvImageView& v = c.result;
  const int64_t x = c.axis[2].out;
  ConvFilterOut f{};
  f.panel = s.panel;
  f.filters = static_cast<int>(std::min(s.panel, c.out - s.filter));
  f.activation = c.activation;
  f.dtype = c.dtype;
  f.out_pixel = v.axis[2];
  f.out_filter = v.c;
  f.bias = s.bias;
  const bool follow = x != 1 && v.axis[1] == x * v.axis[2];
  const int64_t runs = follow ? 1 : s.rows;
  f.pixels = s.rows / runs * x;
  for (int64_t r = 0; r < runs; ++r) {
    f.sum = s.sum + r * x * s.panel * 4;
    f.out = v.data + (Planes(c).result_offset(s.image) + (s.group * c.out + s.filter) * v.c +
                      (s.row + r) * v.axis[1]) *
                         c.elem();
    active_conv_kernels().filters.finish(f);
  }
}

}  // namespace fastnn
