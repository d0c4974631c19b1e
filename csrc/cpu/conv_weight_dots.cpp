// The gradient of a 1x1 weight, pixels side by side: rows of dy times rows of x, both read where
// they lie. Packing them for a matrix product would take as long as the product where there are few
// filters or few channels.
//
// Pixels are cut into pieces of an image's row of pixels, some rows of which fit the first-level
// cache; filters and channels into blocks whose pieces fit the second. A task sums the pieces of a
// segment of the batch for one block; segments are added up in order.
#include <algorithm>

#include "cpu/conv_direct.h"
#include "cpu/conv_source.h"
#include "cpu/gemm_core.h"
#include "cpu/gemm_plan.h"
#include "fastnn/isa.h"

namespace fastnn {

namespace {

constexpr int64_t kElem = 4;
constexpr int64_t kTasks = 16;             // at least, where the shape allows it
constexpr int64_t kMaxPartial = 64 << 20;  // bytes of sums
constexpr int64_t kFewPixels = 512;        // fewer: folding the sums takes too large a part

struct DotsPlan {
  const Correlation& c;
  const ConvDots& kernels;
  int64_t pixels, pieces, piece;         // of an image
  int64_t down, across;                  // blocks of filters, of channels
  int64_t block_m, block_n, block_sums;  // at most
  int64_t segments;

  explicit DotsPlan(const Correlation& correlation)
      : c(correlation), kernels(active_conv_kernels().dots), pixels(c.pixels()) {
    const int64_t most = cache_sizes().l1d * 2 / 5 / kElem / kernels.rows_b;
    pieces = ceil_div(pixels, most);
    piece = round_up(ceil_div(pixels, pieces), 16);
    pieces = ceil_div(pixels, piece);
    cut_rows();
    const int64_t blocks = c.groups * down * across;
    segments = std::clamp<int64_t>(ceil_div(kTasks, blocks), 1, c.batch * pieces);
    segments = std::clamp<int64_t>(kMaxPartial / (blocks * block_sums * kElem), 1, segments);
  }

  int64_t tasks() const { return segments * c.groups * down * across; }
  int64_t first_filter(int64_t i) const { return i * c.out / down; }
  int64_t first_channel(int64_t j) const { return j * c.in / across; }
  int64_t all_sums() const { return segments_apart() * segments; }
  int64_t segments_apart() const { return c.groups * down * across * block_sums; }

 private:
  void cut_rows() {
    const int64_t rows = cache_sizes().l2 / 3 / kElem / piece;
    const int64_t half = std::max<int64_t>(rows / 2, 1);
    down = ceil_div(c.out, c.in < half ? rows - c.in : half);
    across = ceil_div(c.in, c.out < half ? rows - c.out : half);
    block_m = ceil_div(c.out, down);
    block_n = ceil_div(c.in, across);
    block_sums =
        ceil_div(block_m, kernels.rows_a) * ceil_div(block_n, kernels.rows_b) * kernels.places;
  }
};

class DotsRun {
 public:
  DotsRun(const DotsPlan& plan, void* workspace)
      : p_(plan), c_(plan.c), sums_(static_cast<float*>(workspace)) {}

  void all() const {
    parallel_for(p_.tasks(), [&](int64_t i, int) { run(i); });
    parallel_for(p_.tasks() / p_.segments, [&](int64_t i, int) { combine(i); });
  }

 private:
  struct Block {
    int64_t g, o0, o1, c0, c1;
  };
  Block block_at(int64_t number) const {
    const int64_t i = number % p_.down, j = number / p_.down % p_.across;
    return {number / p_.down / p_.across, p_.first_filter(i), p_.first_filter(i + 1),
            p_.first_channel(j), p_.first_channel(j + 1)};
  }

  void run(int64_t number) const {
    const Block b = block_at(number % blocks());
    ConvDotsBlock t{};
    t.a_row = c_.result.c;
    t.b_row = c_.image.c;
    t.m = b.o1 - b.o0;
    t.n = b.c1 - b.c0;
    t.sum = sums_ + number * p_.block_sums;
    const int64_t first = first_piece(number), last = first_piece(number + blocks());
    aim(t, b, first);
    for (int64_t i = first; i < last; ++i) {
      t.first = i == first;
      t.k = std::min(p_.piece, p_.pixels - i % p_.pieces * p_.piece);
      t.a = t.next_a;
      t.b = t.next_b;
      if (i + 1 < last)
        aim(t, b, i + 1);
      else
        aim_behind(t, number);
      p_.kernels.block(t);
    }
  }

  int64_t blocks() const { return p_.tasks() / p_.segments; }
  // Of a task, numbered through the batch.
  int64_t first_piece(int64_t number) const {
    return number / blocks() * c_.batch * p_.pieces / p_.segments;
  }
  void aim(ConvDotsBlock& t, const Block& b, int64_t piece) const {
    const int64_t image = piece / p_.pieces, pixel = piece % p_.pieces * p_.piece;
    t.next_a = at(c_.result, image, b.g * c_.out + b.o0, pixel);
    t.next_b = at(c_.image, image, b.g * c_.in + b.c0, pixel);
  }
  // At what this worker will probably need after the task.
  void aim_behind(ConvDotsBlock& t, int64_t number) const {
    const int64_t next = number + max_workers();
    if (next < p_.tasks()) aim(t, block_at(next % blocks()), first_piece(next));
  }

  static const float* at(const ConvImageView& v, int64_t image, int64_t channel, int64_t pixel) {
    return reinterpret_cast<const float*>(v.data) + image * v.n + channel * v.c + pixel;
  }

  // The segments' sums, in order, and from tiles to the weight.
  void combine(int64_t number) const {
    const Block b = block_at(number);
    float* const sum = sums_ + number * p_.block_sums;
    const ConvWeightView& w = c_.weight;
    float* const out = reinterpret_cast<float*>(w.data) + b.g * w.group + b.o0 * w.o + b.c0 * w.c;
    const int64_t m = b.o1 - b.o0, n = b.c1 - b.c0;
    const int64_t down = ceil_div(m, p_.kernels.rows_a), across = ceil_div(n, p_.kernels.rows_b);
    if (p_.segments > 1)
      gemm_family(c_.dtype).sum(
          {sum, sum, p_.segments_apart(), p_.segments, down * across * p_.kernels.places});
    const float* tile = sum;
    for (int64_t j = 0; j < across; ++j)
      for (int64_t i = 0; i < down; ++i, tile += p_.kernels.places)
        for (int64_t o = i * m / down; o < (i + 1) * m / down; ++o)
          for (int64_t k = j * n / across; k < (j + 1) * n / across; ++k)
            out[o * w.o + k * w.c] =
                tile[(o - i * m / down) * p_.kernels.rows_b + k - j * n / across];
  }

  const DotsPlan& p_;
  const Correlation& c_;
  float* const sums_;
};

}  // namespace

bool weight_prefers_dots(const Correlation& c) {
  const ConvDots& dots = active_conv_kernels().dots;
  for (const ConvAxis& a : c.axis)
    if (a.taps != 1 || a.origin != 0 || a.step != 1 || a.out > a.size) return false;
  return c.dtype == DType::f32 && pixel_stride(c, c.image) == 1 && pixel_stride(c, c.result) == 1 &&
         c.pixels() >= kFewPixels && c.in * c.out <= dots.packing_pays * (c.in + c.out) &&
         c.batch > 0 && c.in >= dots.rows_b && c.out >= dots.rows_a;
}

size_t correlate_weight_dots_workspace(const Correlation& c) {
  return static_cast<size_t>(DotsPlan(c).all_sums() * kElem);
}

void correlate_weight_dots(const Correlation& c, void* workspace) {
  const DotsPlan plan(c);
  DotsRun(plan, workspace).all();
}

}  // namespace fastnn
