#include "cpu/conv_spread.h"

#include <algorithm>

#include "cpu/conv_panel.h"
#include "cpu/conv_source.h"
#include "cpu/gemm_core.h"
#include "cpu/gemm_plan.h"
#include "cpu/kernels/conv.h"
#include "fastnn/parallel.h"

namespace fastnn {

namespace {

constexpr int64_t kElem = 4;
constexpr int64_t kTogether = int64_t{8} << 20;  // bytes of products that wait to be added up
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
struct SpreadProduct {
  ConvSource source;
  int64_t pixel0;
  GemmProblem p;

  SpreadProduct(const Correlation& c, int64_t first, int64_t images, void* products)
      : source(source_of(c)), pixel0(first * image_pixels(c)) {
    p.m = c.out * c.taps();
    p.n = images * image_pixels(c);
    p.k = c.in;
    p.share = GemmShare::b;
    p.a = {c.weight.data, 1, c.weight.c};
    p.c = {products, DType::f32, p.n, 1};
    if (images == 1) {  // a matrix as it lies
      p.b = {c.image.data + first * c.image.n * kElem, 1, c.image.c};
      return;
    }
    p.cutting = GemmProblem::kCuttingPacked;
    p.b.pack = [](const void* context, const GemmPanel& g) {
      const auto& self = *static_cast<const SpreadProduct*>(context);
      active_conv_kernels().f32.pixels(
          self.source, {g.dst, g.panel, g.width, g.lane0, g.k0, g.k_count, self.pixel0});
    };
    p.b.context = this;
  }
  SpreadProduct(const SpreadProduct&) = delete;
};

struct Plan {
  int64_t images, last;  // of a product, of the last one
  int64_t products;

  explicit Plan(const Correlation& c) {
    const int64_t image = c.out * c.taps() * image_pixels(c) * kElem;
    const int64_t count = ceil_div(c.batch, std::max<int64_t>(1, kTogether / image));
    images = ceil_div(c.batch, count);
    last = c.batch - (ceil_div(c.batch, images) - 1) * images;
    products = round_up(images * image, 64);
  }
};

ConvSpreadAxis spread_axis(const ConvAxis& a) {
  return {a.size, a.out, a.taps, a.step, a.tap_step, a.origin};
}

// The planes of the result of some images.
void add_up(const Correlation& c, const float* products, int64_t first, int64_t images) {
  const int64_t pixels = image_pixels(c);
  ConvSpreadPlane plane{};
  plane.tap = images * pixels;
  plane.axis[0] = spread_axis(c.axis[1]);
  plane.axis[1] = spread_axis(c.axis[2]);
  plane.result_row = c.result.axis[1];
  plane.rectifier = rectifier_of(c.activation);
  const int64_t task_planes = std::max<int64_t>(1, kTaskValues / c.pixels());
  parallel_blocks(images * c.out, task_planes, [&](int64_t begin, int64_t end, int) {
    ConvSpreadPlane mine = plane;
    for (int64_t i = begin; i < end; ++i) {
      const int64_t filter = i % c.out, image = i / c.out;
      mine.products = products + filter * c.taps() * plane.tap + image * pixels;
      mine.result = reinterpret_cast<float*>(c.result.data) + (first + image) * c.result.n +
                    filter * c.result.c;
      if (c.bias) fetch_bias(c, 0, filter, 1, reinterpret_cast<char*>(&mine.start));
      active_conv_kernels().spread(mine);
    }
  });
}

// The kernel keeps something for each tap and each phase.
bool few_taps(const ConvAxis& a) {
  return a.taps >= a.step && a.taps <= ConvSpreadPlane::kMostTaps;
}

bool lies_as_it_should(const Correlation& c) {
  return c.dtype == DType::f32 && c.groups == 1 && c.batch > 0 && c.in > 0 && c.axis[0].out == 1 &&
         c.axis[0].taps == 1 && c.axis[0].size == 1 && c.axis[0].origin == 0 && c.taps() > 1 &&
         few_taps(c.axis[1]) && few_taps(c.axis[2]) && c.pixels() > 0 && image_pixels(c) > 0 &&
         c.adjacent_taps() && c.weight.o == c.taps() && c.result.axis[2] == 1 &&
         (c.activation == Activation::none || rectifies(c.activation)) &&
         joint_stride({c.axis[2].size, c.axis[1].size}, {c.image.axis[2], c.image.axis[1]}) == 1 &&
         c.out * c.taps() * image_pixels(c) * kElem <= kTogether;
}

// Windows lie side by side: no pixel has more than one product.
bool is_shuffle(const Correlation& c) {
  for (const ConvAxis& a : c.axis)
    if (a.origin != 0 || a.taps != a.step || a.out != a.size * a.step ||
        (a.taps > 1 && a.tap_step != 1))
      return false;
  return true;
}

// Every product is written, and read again to be added up; where many taps reach a pixel, other
// ways take fewer products.
bool pays_spread(const Correlation& c) {
  constexpr int64_t kMostSums = 2;  // taps of an axis that reach a pixel
  for (int a = 1; a < 3; ++a)
    if (c.axis[a].step == 1 || c.axis[a].taps > kMostSums * c.axis[a].step) return false;
  return gemm_pays_split(c.out * c.taps(), Plan(c).last * image_pixels(c), c.in,
                         GemmProblem::kCuttingPacked);
}

}  // namespace

bool prefers_spread(const Correlation& c) {
  if (!lies_as_it_should(c)) return false;
  const int64_t weight_bytes = c.in * c.out * c.taps() * kElem;
  return (is_shuffle(c) && weight_bytes > cache_sizes().l2 / 4) || pays_spread(c);
}

size_t spread_workspace(const Correlation& c) {
  const Plan plan(c);
  const auto need = [&](int64_t images) {  // any address will do: nothing is read
    return gemm_workspace(SpreadProduct(c, 0, images, c.image.data).p);
  };
  return static_cast<size_t>(plan.products) + std::max(need(plan.images), need(plan.last));
}

void run_spread(const Correlation& c, void* workspace) {
  const Plan plan(c);
  char* const memory = static_cast<char*>(workspace);
  for (int64_t n = 0; n < c.batch; n += plan.images) {
    const int64_t images = std::min(plan.images, c.batch - n);
    gemm_run(SpreadProduct(c, n, images, memory).p, memory + plan.products);
    add_up(c, reinterpret_cast<float*>(memory), n, images);
  }
}

}  // namespace fastnn
