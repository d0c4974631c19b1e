#include "cpu/conv_shuffle.h"

#include <algorithm>

#include "cpu/conv_matrix.h"
#include "cpu/conv_source.h"
#include "cpu/gemm_core.h"
#include "cpu/gemm_plan.h"
#include "cpu/kernels/conv.h"
#include "fastnn/parallel.h"

namespace fastnn {

namespace {

constexpr int64_t kElem = 4;
constexpr int64_t kTogether = int64_t{8} << 20;  // bytes of products that wait to be dealt out
constexpr int64_t kTaskValues = 1 << 14;

int64_t image_pixels(const Correlation& c) {
  return c.axis[0].size * c.axis[1].size * c.axis[2].size;
}

// Its image as packers see it: pixels, each under one tap.
ConvSource source_of(Correlation c) {
  for (ConvAxis& a : c.axis) a = {a.size, 1, a.size, 0, 1, 1};
  return conv_source(c);
}

// The product of images [first, first + images): rows are filters and taps, columns their pixels.
// It reads the weight, which is large, once.
struct ShuffleProduct {
  ConvSource source;
  int64_t pixel0;
  GemmProblem p;

  ShuffleProduct(const Correlation& c, int64_t first, int64_t images, const void* bias,
                 void* products)
      : source(source_of(c)), pixel0(first * image_pixels(c)) {
    p.m = c.out * c.taps();
    p.n = images * image_pixels(c);
    p.k = c.in;
    p.share = GemmShare::b;
    p.a = {c.weight.data, 1, c.weight.c};
    p.c = {products, DType::f32, p.n, 1};
    p.activation = c.activation;
    if (bias) p.bias_m = {bias, DType::f32, 1};
    if (images == 1) {  // a matrix as it lies
      p.b = {c.image.data + first * c.image.n * kElem, 1, c.image.c};
      return;
    }
    p.cutting = GemmProblem::kCuttingPacked;
    p.b.pack = [](const void* context, const GemmPanel& g) {
      const auto& self = *static_cast<const ShuffleProduct*>(context);
      active_conv_kernels().f32.pixels(
          self.source, {g.dst, g.panel, g.width, g.lane0, g.k0, g.k_count, self.pixel0});
    };
    p.b.context = this;
  }
  ShuffleProduct(const ShuffleProduct&) = delete;
};

struct Plan {
  int64_t images;  // of a product
  int64_t products, bias;

  explicit Plan(const Correlation& c) {
    const int64_t image = c.out * c.taps() * image_pixels(c) * kElem;
    images = std::clamp<int64_t>(kTogether / image, 1, c.batch);
    products = round_up(images * image, 64);
    bias = tap_bias_bytes(c);
  }
};

// A row of the result: its pixels come in turn from the products of each tap of a row.
void deal_row(const float* from, int64_t tap_stride, int64_t taps, int64_t pixels, float* to) {
  if (taps == 2) {
    for (int64_t x = 0; x < pixels; ++x) {
      to[2 * x] = from[x];
      to[2 * x + 1] = from[tap_stride + x];
    }
    return;
  }
  for (int64_t t = 0; t < taps; ++t)
    for (int64_t x = 0; x < pixels; ++x) to[taps * x + t] = from[t * tap_stride + x];
}

// Deals the products of some images out to the rows of the result.
void deal_out(const Correlation& c, const float* products, int64_t first, int64_t images) {
  const ConvAxis &y = c.axis[1], &x = c.axis[2];
  const int64_t n = y.size * x.size, row = images * n;  // of the products
  parallel_blocks(images * c.out * y.out, std::max<int64_t>(1, kTaskValues / x.out),
                  [&](int64_t begin, int64_t end, int) {
                    for (int64_t i = begin; i < end; ++i) {
                      const int64_t line = i % y.out, filter = i / y.out % c.out;
                      const int64_t image = i / y.out / c.out;
                      const float* from = products +
                                          (filter * c.taps() + line % y.taps * x.taps) * row +
                                          image * n + line / y.taps * x.size;
                      char* to = c.result.data + ((first + image) * c.result.n +
                                                  filter * c.result.c + line * c.result.axis[1]) *
                                                     kElem;
                      deal_row(from, row, x.taps, x.size, reinterpret_cast<float*>(to));
                    }
                  });
}

}  // namespace

bool prefers_shuffle(const Correlation& c) {
  for (const ConvAxis& a : c.axis)
    if (a.origin != 0 || a.taps != a.step || a.out != a.size * a.step ||
        (a.taps > 1 && a.tap_step != 1))
      return false;
  const int64_t pixels = image_pixels(c);
  const int64_t weight_bytes = c.in * c.out * c.taps() * kElem;
  return c.dtype == DType::f32 && c.groups == 1 && c.axis[0].out == 1 && c.taps() > 1 &&
         c.batch > 0 && pixels > 0 && weight_bytes > cache_sizes().l2 / 4 &&
         c.out * c.taps() * pixels * kElem <= kTogether && c.adjacent_taps() &&
         c.weight.o == c.taps() && c.result.axis[2] == 1 &&
         joint_stride({c.axis[2].size, c.axis[1].size}, {c.image.axis[2], c.image.axis[1]}) == 1;
}

size_t shuffle_workspace(const Correlation& c) {
  const Plan plan(c);
  const auto need = [&](int64_t images) {  // any address will do: nothing is read
    return images == 0 ? 0
                       : gemm_workspace(ShuffleProduct(c, 0, images, c.bias.data, c.image.data).p);
  };
  return static_cast<size_t>(plan.products + plan.bias) +
         std::max(need(plan.images), need(c.batch % plan.images));
}

void run_shuffle(const Correlation& c, void* workspace) {
  const Plan plan(c);
  char* const memory = static_cast<char*>(workspace);
  auto* products = reinterpret_cast<float*>(memory);
  char* bias = plan.bias ? memory + plan.products : nullptr;
  if (bias) write_tap_bias(c, false, bias);
  for (int64_t n = 0; n < c.batch; n += plan.images) {
    const int64_t images = std::min(plan.images, c.batch - n);
    gemm_run(ShuffleProduct(c, n, images, bias, products).p, memory + plan.products + plan.bias);
    deal_out(c, products, n, images);
  }
}

}  // namespace fastnn
