#include "cpu/conv_gemm.h"

#include <algorithm>

#include "cpu/conv_source.h"
#include "cpu/gemm_core.h"
#include "cpu/kernels/conv.h"

namespace fastnn {

namespace {

// As many products as a value takes to be packed and cut into parts (see gemm_pays_split()), next
// to the kernels that pixels of one tap would go to, and to those of several.
constexpr int64_t kCuttingPixels = 48, kCuttingTaps = GemmProblem::kCuttingPacked;

const ConvPackers& packers(DType dtype) {
  const ConvKernels& kernels = active_conv_kernels();
  return dtype == DType::f64 ? kernels.f64 : kernels.f32;
}

// The result as an image that is read pixel by pixel: one tap, at the pixel itself.
ConvSource result_source(const Correlation& c) {
  ConvSource s{};
  s.data = c.result.data;
  s.dtype = c.dtype;
  s.stride_n = c.result.n;
  s.stride_c = c.result.c;
  s.channels = c.out;
  for (int a = 0; a < 3; ++a) {
    s.stride[a] = c.result.axis[a];
    s.size[a] = s.out[a] = c.axis[a].out;
    s.taps[a] = s.step[a] = s.tap_step[a] = 1;
  }
  return s;
}

// One group's product: rows are output channels, columns are pixels (of one image, or numbered
// through the batch), k is channels and taps.
struct Product {
  Correlation c;
  GemmProblem p;
  ConvSource source;
  ConvFilter filter;
  const ConvPackers* pack;
  int64_t pixels;
  bool whole_batch;

  explicit Product(const Correlation& correlation) : c(correlation) {
    source = conv_source(c);
    pack = &packers(c.dtype);
    pixels = c.pixels();
    p.dtype = c.dtype;
    p.m = c.out;
    p.k = c.in * c.taps();
    p.activation = c.activation;
    if (c.bias) p.bias_m = {c.bias.data, c.bias.dtype, c.bias.stride[0]};
    set_output();
    set_filter();
    p.a_same = true;
    p.share = GemmShare::a;
    p.cutting = c.taps() == 1 ? kCuttingPixels : kCuttingTaps;
    const int64_t step = is_pointwise(c) ? pixel_stride(c, c.image) : 0;
    if (step != 0 && p.n == pixels) {  // a matrix as it lies
      p.b = {c.image.data, step, c.image.c};
      return;
    }
    p.b.pack = [](const void* context, const GemmPanel& g) {
      const auto& self = *static_cast<const Product*>(context);
      self.pack->pixels(self.source,
                        {g.dst, g.panel, g.width, g.lane0, g.k0, g.k_count, g.batch * self.pixels});
    };
    p.b.context = this;
  }

  void set_output() {
    const int64_t step = pixel_stride(c, c.result);
    p.c = {c.result.data, c.dtype, c.result.c, step};
    // Images whose pixels follow on each other, or whose pixels must be placed anyway, or few: the
    // ends of images fall into the middle of panels, which costs packing, and a large weight is
    // read less often.
    const int64_t few = p.m * p.k <= 1 << 16 ? 128 : 200;
    const bool follow = step && (c.batch == 1 || c.result.n == step * pixels);
    whole_batch = follow || !step || pixels < few;
    p.n = whole_batch ? c.batch * pixels : pixels;
    p.batch = whole_batch ? 1 : c.batch;
    if (whole_batch && !follow) {
      p.c.place = [](const void* context, int64_t column, int64_t* run) {
        return static_cast<const Product*>(context)->place(column, run);
      };
      p.c.place_context = this;
      p.c.col = c.result.axis[2];
      if (step) p.c.col = step;
    }
    if (!whole_batch) {
      p.locate = [](const void* context, int64_t batch, GemmPointers& at) {
        const auto& self = *static_cast<const Product*>(context);
        at.c = static_cast<char*>(at.c) + batch * self.c.result.n * self.c.elem();
        if (at.b) at.b = static_cast<const char*>(at.b) + batch * self.c.image.n * self.c.elem();
      };
      p.locate_context = this;
    }
  }

  // Where pixel `column`, numbered through the batch, is in the result; `run`: so many follow it.
  int64_t place(int64_t column, int64_t* run) const {
    const int64_t n = column / pixels, pixel = column % pixels;
    if (const int64_t step = pixel_stride(c, c.result)) {
      *run = pixels - pixel;
      return n * c.result.n + pixel * step;
    }
    const int64_t x = pixel % c.axis[2].out, row = pixel / c.axis[2].out;
    *run = c.axis[2].out - x;
    return n * c.result.n + row / c.axis[1].out * c.result.axis[0] +
           row % c.axis[1].out * c.result.axis[1] + x * c.result.axis[2];
  }

  void set_filter() {
    const bool inner = source.channels_inner;
    if (const int64_t stride = joint_taps(c, c.weight.axis, c.in, c.weight.c, inner)) {
      p.a.data = c.weight.data;
      p.a.lane_stride = c.weight.o;
      p.a.k_stride = stride;
      return;
    }
    filter = {c.weight.data,
              c.dtype,
              c.weight.o,
              c.weight.c,
              {c.weight.axis[0], c.weight.axis[1], c.weight.axis[2]},
              c.in,
              {c.axis[0].taps, c.axis[1].taps, c.axis[2].taps},
              source.channels_inner};
    p.a.pack = [](const void* context, const GemmPanel& g) {
      const auto& self = *static_cast<const Product*>(context);
      self.pack->filter(self.filter, {g.dst, g.panel, g.width, g.lane0, g.k0, g.k_count, 0});
    };
    p.a.context = this;
  }
  Product(const Product&) = delete;
};

// dW of one group: rows are output channels, columns input channels, k the pixels of the whole
// batch; one product for each tap.
struct WeightProduct {
  Correlation c;
  GemmProblem p;
  ConvSource image, result;
  const ConvPackers* pack;

  explicit WeightProduct(const Correlation& correlation) : c(correlation) {
    image = conv_source(c);
    result = result_source(c);
    pack = &packers(c.dtype);
    p.dtype = c.dtype;
    p.m = c.out;
    p.n = c.in;
    p.k = c.batch * c.pixels();
    p.batch = c.taps();
    p.run_limit = 128;
    p.cutting = kCuttingTaps;
    p.a_same = true;
    p.c = {c.weight.data, c.dtype, c.weight.o, c.weight.c};
    p.a.pack = [](const void* context, const GemmPanel& g) {
      const auto& self = *static_cast<const WeightProduct*>(context);
      self.pack->channels(self.result, 0, {g.dst, g.panel, g.width, g.lane0, g.k0, g.k_count, 0});
    };
    p.b.pack = [](const void* context, const GemmPanel& g) {
      const auto& self = *static_cast<const WeightProduct*>(context);
      self.pack->channels(self.image, g.batch,
                          {g.dst, g.panel, g.width, g.lane0, g.k0, g.k_count, 0});
    };
    p.a.context = p.b.context = this;
    if (is_pointwise(c) && pixel_stride(c, c.image) == 1) {
      p.b.lane_stride = c.image.c;
      p.b.source = [](const void* context, int64_t lane, int64_t k, int64_t* run) {
        const auto& self = *static_cast<const WeightProduct*>(context);
        return self.where(self.c.image, lane, k, run);
      };
    }
    if (pixel_stride(c, c.result) == 1) {
      p.a.lane_stride = c.result.c;
      p.a.source = [](const void* context, int64_t lane, int64_t k, int64_t* run) {
        const auto& self = *static_cast<const WeightProduct*>(context);
        return self.where(self.c.result, lane, k, run);
      };
    }
    p.locate = [](const void* context, int64_t tap, GemmPointers& at) {
      const Correlation& c = static_cast<const WeightProduct*>(context)->c;
      const int64_t x = tap % c.axis[2].taps, rest = tap / c.axis[2].taps;
      const int64_t offset = rest / c.axis[1].taps * c.weight.axis[0] +
                             rest % c.axis[1].taps * c.weight.axis[1] + x * c.weight.axis[2];
      at.c = static_cast<char*>(at.c) + offset * c.elem();
    };
    p.locate_context = this;
  }
  // Pixel k, numbered through the batch, of a channel; `run`: so many are left of its image.
  const void* where(const ConvImageView& v, int64_t channel, int64_t k, int64_t* run) const {
    const int64_t pixels = c.pixels();
    *run = pixels - k % pixels;
    return v.data + (k / pixels * v.n + channel * v.c + k % pixels) * c.elem();
  }
  WeightProduct(const WeightProduct&) = delete;
};

bool empty(const Correlation& c) {
  return c.batch == 0 || c.groups == 0 || c.out == 0 || c.pixels() == 0;
}

}  // namespace

bool prefers_gemm(const Correlation& c) {
  return c.dtype == DType::f32 && reads_pixels(c) &&
         gemm_pays_split(c.out, c.batch * c.pixels(), c.in, kCuttingPixels);
}

bool prefers_gemm_of_taps(const Correlation& c) {
  // A weight is cut for every call, where other paths keep it laid out; and cut values take memory.
  constexpr int64_t kLeastPixels = 512, kLargestWeight = 1 << 22;
  const int64_t k = c.in * c.taps(), pixels = c.batch * c.pixels();
  return c.dtype == DType::f32 && c.taps() > 1 && c.image.axis[2] == 1 && c.axis[2].step > 1 &&
         pixels >= kLeastPixels && c.out * k <= kLargestWeight &&
         gemm_pays_split(c.out, pixels, k, kCuttingTaps);
}

bool weight_prefers_gemm(const Correlation& c) {
  const int64_t k = c.batch * c.pixels();
  return c.dtype == DType::f32 && reads_pixels(c) && gemm_pays_split(c.out, c.in, k, kCuttingTaps);
}

size_t correlate_gemm_workspace(const Correlation& c) {
  if (empty(c)) return 0;
  return gemm_workspace(Product(c.group(0)).p);
}

void correlate_gemm(const Correlation& c, void* workspace) {
  if (empty(c)) return;
  for (int64_t g = 0; g < c.groups; ++g) gemm_run(Product(c.group(g)).p, workspace);
}

size_t correlate_weight_gemm_workspace(const Correlation& c) {
  return gemm_workspace(WeightProduct(c.group(0)).p);
}

void correlate_weight_gemm(const Correlation& c, void* workspace) {
  for (int64_t g = 0; g < c.groups; ++g) gemm_run(WeightProduct(c.group(g)).p, workspace);
}

}  // namespace fastnn
