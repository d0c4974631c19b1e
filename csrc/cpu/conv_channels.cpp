// Depthwise convolution of channels-last images.
#include "cpu/conv_band.h"
#include "cpu/conv_direct.h"
#include "cpu/gemm_core.h"
#include "cpu/ref/element.h"

namespace fastnn {

namespace {

constexpr int64_t kTaskWork = 200000;  // multiply-adds
constexpr int64_t kSegments = 16;

struct ChannelPlan {
  const Correlation& c;
  const ConvDirect& kernels;
  int64_t elem, channels, taps, rows, bands, segments, weight_bytes, bias_bytes;

  explicit ChannelPlan(const Correlation& correlation)
      : c(correlation),
        kernels(conv_direct_kernels(c.dtype)),
        elem(c.elem()),
        channels(c.groups),
        taps(c.taps()) {
    const int64_t work = std::max<int64_t>(1, c.axis[2].out * channels * taps);
    rows = std::clamp<int64_t>(kTaskWork / work, 1, std::max<int64_t>(1, c.axis[1].out));
    bands = c.batch * ((c.axis[1].out + rows - 1) / rows);
    segments = std::clamp<int64_t>(bands, 1, kSegments);
    weight_bytes = (taps * channels * elem + 63) / 64 * 64;
    bias_bytes = (channels * elem + 63) / 64 * 64;
  }

  // f(row of the result, ready for the kernels) for all rows of a band.
  template <class F>
  void for_rows(int64_t band, F f) const {
    const int64_t per_image = (c.axis[1].out + rows - 1) / rows;
    const int64_t n = band / per_image, first = band % per_image * rows;
    const int64_t last = std::min(first + rows, c.axis[1].out);
    const ConvAxis &y = c.axis[1], &x = c.axis[2];
    for (int64_t row = first; row < last; ++row) {
      ConvChannelRow t{};
      const int64_t at = y.origin + row * y.step;
      while (t.y_begin < y.taps && !inside(at + t.y_begin * y.tap_step, y.size)) ++t.y_begin;
      t.y_end = y.taps;
      while (t.y_end > t.y_begin && !inside(at + (t.y_end - 1) * y.tap_step, y.size)) --t.y_end;
      t.row = c.image.data + (n * c.image.n + at * c.image.axis[1]) * elem;
      t.stride_y = c.image.axis[1];
      t.stride_x = c.image.axis[2];
      t.tap_y = y.tap_step;
      t.tap_x = x.tap_step;
      t.taps_x = x.taps;
      t.x_origin = x.origin;
      t.step_x = x.step;
      t.size_x = x.size;
      t.pixels = x.out;
      t.channels = channels;
      t.dst = c.result.data + (n * c.result.n + row * c.result.axis[1]) * elem;
      t.dst_x = c.result.axis[2];
      t.rectifier = rectifier_of(c.activation);
      f(t);
    }
  }
  static bool inside(int64_t i, int64_t size) {
    return static_cast<uint64_t>(i) < static_cast<uint64_t>(size);
  }
};

bool one_type(const Correlation& c) { return c.dtype == DType::f32 || c.dtype == DType::f64; }

}  // namespace

bool prefers_channels(const Correlation& c) {
  return two_axes(c) && one_type(c) && c.in == 1 && c.out == 1 && c.groups > 1 && c.taps() > 0 &&
         c.image.c == 1 && c.result.c == 1 &&
         (c.activation == Activation::none || rectifies(c.activation));
}

size_t correlate_channels_workspace(const Correlation& c) {
  const ChannelPlan p(c);
  return static_cast<size_t>(p.weight_bytes + p.bias_bytes);
}

void correlate_channels(const Correlation& c, void* workspace) {
  const ChannelPlan p(c);
  const ConvKernels& kernels = active_conv_kernels();
  char* bias = static_cast<char*>(workspace) + p.weight_bytes;
  const int lanes = static_cast<int>(p.channels);
  const ConvFilter filter{c.weight.data,
                          c.dtype,
                          c.weight.group,
                          c.weight.c,
                          {c.weight.axis[0], c.weight.axis[1], c.weight.axis[2]},
                          1,
                          {c.axis[0].taps, c.axis[1].taps, c.axis[2].taps},
                          false};
  (p.elem == 8 ? kernels.f64 : kernels.f32)
      .filter(filter, {workspace, lanes, lanes, 0, 0, p.taps, 0});
  if (c.bias)
    gemm_family(c.dtype).pack(
        {bias, 1, c.bias.data, c.bias.dtype, 0, c.bias.stride[0], 1, p.channels});
  parallel_for(p.bands, [&](int64_t band, int) {
    p.for_rows(band, [&](ConvChannelRow& t) {
      t.weight = workspace;
      t.bias = c.bias ? bias : nullptr;
      p.kernels.channel_row(t);
    });
  });
}

size_t correlate_weight_channels_workspace(const Correlation& c) {
  const ChannelPlan p(c);
  return static_cast<size_t>(p.segments * p.weight_bytes);
}

void correlate_weight_channels(const Correlation& c, void* workspace) {
  const ChannelPlan p(c);
  char* sums = static_cast<char*>(workspace);
  parallel_for(p.segments, [&](int64_t segment, int) {
    char* sum = sums + segment * p.weight_bytes;
    memset(sum, 0, static_cast<size_t>(p.weight_bytes));
    const int64_t last = (segment + 1) * p.bands / p.segments;
    for (int64_t band = segment * p.bands / p.segments; band < last; ++band)
      p.for_rows(band, [&](ConvChannelRow& t) {
        t.sum = sum;
        p.kernels.channel_dots(t);
      });
  });
  for (int64_t tap = 0; tap < p.taps; ++tap) {
    const int64_t at =
        tap / c.axis[2].taps * c.weight.axis[1] + tap % c.axis[2].taps * c.weight.axis[2];
    for (int64_t g = 0; g < p.channels; ++g) {
      double total = 0;
      for (int64_t s = 0; s < p.segments; ++s)
        total += read_element(sums + s * p.weight_bytes, c.dtype, tap * p.channels + g);
      write_element(c.weight.data, c.dtype, g * c.weight.group + at, total);
    }
  }
}

}  // namespace fastnn
