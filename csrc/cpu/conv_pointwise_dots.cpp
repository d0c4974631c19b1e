// Correlations of one tap for few pixels and long sums over channels, from a weight as it lies:
// rows of the weight times rows of the image, which is turned so that a pixel's channels are
// adjacent. A matrix product would pack the weight, for few pixels to use.
#include <algorithm>

#include "cpu/conv_direct.h"
#include "cpu/conv_source.h"
#include "cpu/gemm_plan.h"
#include "fastnn/isa.h"

namespace fastnn {

namespace {

constexpr int64_t kElem = 4;
constexpr int64_t kTasks = 16;
constexpr int64_t kTurned = 16;  // pixels that a task turns
constexpr int64_t kManyFilters = 128, kFewPixels = 64;

struct PointwiseDotsPlan {
  const Correlation& c;
  const ConvDots& kernels;
  int64_t pixels, row;             // of an image; values from one turned pixel to the next
  int64_t pieces, piece;           // of the channels
  int64_t down, across;            // blocks of filters, of pixels
  int64_t image_bytes, sum_bytes;  // of a worker

  explicit PointwiseDotsPlan(const Correlation& correlation)
      : c(correlation), kernels(active_conv_kernels().dots), pixels(c.pixels()) {
    row = round_up(c.in, 16) + 16;  // neighbours fall on different cache sets
    const int64_t most = cache_sizes().l1d * 2 / 5 / kElem / kernels.rows_b;
    piece = round_up(ceil_div(c.in, ceil_div(c.in, most)), 16);
    pieces = ceil_div(c.in, piece);
    const int64_t rows = cache_sizes().l2 / 6 / kElem / piece;  // of a block, and of the next
    across = ceil_div(pixels, rows);
    down = std::max(ceil_div(c.out, rows), std::min(ceil_div(kTasks, c.batch * c.groups * across),
                                                    ceil_div(c.out, 4 * kernels.rows_a)));
    const int64_t tiles = ceil_div(ceil_div(c.out, down), kernels.rows_a) *
                          ceil_div(ceil_div(pixels, across), kernels.rows_b);
    image_bytes = round_up(c.batch * c.groups * pixels * row * kElem, 64);
    sum_bytes = round_up(tiles * kernels.places * kElem, 64);
  }

  int64_t tasks() const { return c.groups * down * across * c.batch; }
};

class PointwiseDots {
 public:
  PointwiseDots(const PointwiseDotsPlan& plan, void* workspace)
      : p_(plan),
        c_(plan.c),
        turned_(static_cast<float*>(workspace)),
        sums_(static_cast<char*>(workspace) + p_.image_bytes) {}

  void all() const {
    const int64_t all = c_.batch * p_.pixels, parts = ceil_div(all, kTurned);
    parallel_for(c_.groups * parts, [&](int64_t i, int) { turn(i / parts, i % parts * kTurned); });
    parallel_for(p_.tasks(), [&](int64_t i, int worker) { run(i, sums_ + worker * p_.sum_bytes); });
  }

 private:
  struct Task {
    int64_t g, o0, o1, p0, p1, image;
  };
  // Neighbours have the same filters.
  Task task_at(int64_t number) const {
    const int64_t j = number % p_.across, rest = number / p_.across;
    const int64_t i = rest / c_.batch % p_.down;
    return {rest / c_.batch / p_.down,       i * c_.out / p_.down,
            (i + 1) * c_.out / p_.down,      j * p_.pixels / p_.across,
            (j + 1) * p_.pixels / p_.across, rest % c_.batch};
  }

  float* pixel(int64_t g, int64_t number) const {
    return turned_ + (g * c_.batch * p_.pixels + number) * p_.row;
  }
  void turn(int64_t g, int64_t first) const {
    const int64_t count = std::min(kTurned, c_.batch * p_.pixels - first);
    active_conv_kernels().f32.channels(conv_source(c_), 0,
                                       {pixel(g, first), static_cast<int>(p_.row),
                                        static_cast<int>(c_.in), g * c_.in, first, count, 0});
  }

  void run(int64_t number, char* sums) const {
    const Task task = task_at(number);
    ConvDotsBlock t{};
    t.a_row = c_.weight.o;
    t.b_row = p_.row;
    t.m = task.o1 - task.o0;
    t.n = task.p1 - task.p0;
    t.sum = reinterpret_cast<float*>(sums);
    t.b_is_near = true;
    aim(t, task, 0);
    for (int64_t i = 0; i < p_.pieces; ++i) {
      t.first = i == 0;
      t.k = std::min(p_.piece, c_.in - i * p_.piece);
      t.a = t.next_a;
      t.b = t.next_b;
      if (i + 1 < p_.pieces)
        aim(t, task, i + 1);
      else if (number + max_workers() < p_.tasks())
        aim(t, task_at(number + max_workers()), 0);
      p_.kernels.block(t);
    }
    write(task, t.sum);
  }

  void aim(ConvDotsBlock& t, const Task& task, int64_t piece) const {
    t.next_a = reinterpret_cast<const float*>(c_.weight.data) + task.g * c_.weight.group +
               task.o0 * c_.weight.o + piece * p_.piece;
    t.next_b = pixel(task.g, task.image * p_.pixels + task.p0) + piece * p_.piece;
  }

  void write(const Task& task, const float* sum) const {
    const int64_t filter = task.g * c_.out + task.o0;
    ConvDotsOut out{};
    out.sum = sum;
    out.m = task.o1 - task.o0;
    out.n = task.p1 - task.p0;
    out.out = reinterpret_cast<float*>(c_.result.data) + task.image * c_.result.n +
              filter * c_.result.c + task.p0;
    out.out_row = c_.result.c;
    out.bias = c_.bias ? c_.bias.ptr<float>() + filter * c_.bias.stride[0] : nullptr;
    out.bias_step = c_.bias ? c_.bias.stride[0] : 0;
    out.rectifier = rectifier_of(c_.activation);
    p_.kernels.write(out);
  }

  const PointwiseDotsPlan& p_;
  const Correlation& c_;
  float* const turned_;
  char* const sums_;
};

}  // namespace

bool prefers_pointwise_dots(const Correlation& c) {
  const bool plain = c.activation == Activation::none || rectifies(c.activation);
  return reads_pixels(c) && !c.prepares && !c.prepared && plain && c.dtype == DType::f32 &&
         c.weight.c == 1 && pixel_stride(c, c.result) == 1 && c.batch > 0 && c.pixels() > 0 &&
         c.groups > 0 && c.in >= active_conv_kernels().dots.many_channels &&
         c.out >= kManyFilters && c.batch * c.pixels() <= kFewPixels;
}

size_t correlate_pointwise_dots_workspace(const Correlation& c) {
  const PointwiseDotsPlan p(c);
  return static_cast<size_t>(p.image_bytes + p.sum_bytes * max_workers());
}

void correlate_pointwise_dots(const Correlation& c, void* workspace) {
  const PointwiseDotsPlan plan(c);
  PointwiseDots(plan, workspace).all();
}

}  // namespace fastnn
