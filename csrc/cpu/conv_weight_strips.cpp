// The gradient of a 1x1 weight: rows of dy where they lie, times strips of channels of x, which are
// turned so that a pixel's channels are adjacent (the tiles of conv_pointwise_tiles.cpp). A matrix
// product would turn dy, too. Where dy has fewer channels, it is turned, and x lies.
//
// Tasks are sets of strips, and where these are few, segments of the pixels, whose sums are added
// up in order.
#include <algorithm>
#include <utility>

#include "cpu/conv_direct.h"
#include "cpu/conv_source.h"
#include "cpu/gemm_core.h"
#include "cpu/gemm_plan.h"
#include "fastnn/isa.h"
#include "fastnn/parallel.h"

namespace fastnn {

namespace {

constexpr int64_t kElem = 4;
constexpr int64_t kTasks = 16;
constexpr int64_t kRun = 256;              // pixels that are summed before the sums are stored
constexpr int64_t kMaxPartial = 64 << 20;  // bytes of sums
constexpr int64_t kLeastPixels = 128;      // that a sum takes
// Turning one side costs as much as multiplying it with so many rows of the other.
constexpr int64_t kTurning = 48;
// Turning a value of the sums over costs as much as turning so many of an image.
constexpr int64_t kTurningOver = 4;

// Images exchanged, which turns the weight over, if then fewer channels have to be turned.
Correlation fewer_turned(const Correlation& c) {
  const int64_t saved = (c.in - c.out) * c.batch * c.pixels();
  if (saved <= kTurningOver * c.in * c.out) return c;
  if (!is_pointwise(c) || pixel_stride(c, c.image) != 1 || c.result.c == 1) return c;
  Correlation turned = c;
  std::swap(turned.in, turned.out);
  std::swap(turned.image, turned.result);
  std::swap(turned.weight.o, turned.weight.c);
  return turned;
}

struct StripsPlan {
  const Correlation c;
  const ConvPointwise& kernels;
  int64_t run, runs;  // of an image's pixels
  int64_t vectors, strips, sets, segments, panels;
  int64_t blocks;  // of rows of the weight, which are combined
  int64_t cells;   // sums of a segment
  bool in_place;   // sums lie in the weight
  int64_t partial_bytes, strip_cells, scratch_each;

  explicit StripsPlan(const Correlation& correlation)
      : c(fewer_turned(correlation)), kernels(active_conv_kernels().pointwise) {
    runs = ceil_div(c.pixels(), kRun);
    run = ceil_div(c.pixels(), runs);
    vectors = ceil_div(c.in, kernels.lanes);
    strips = ceil_div(vectors, kernels.vectors);
    panels = ceil_div(c.out, kernels.rows_beside(ceil_div(vectors, strips)));
    blocks = ceil_div(c.out, kernels.lanes);
    cells = c.groups * c.out * c.in;
    sets = std::min(strips, ceil_div(kTasks, c.groups));
    segments = std::min(c.batch * runs, ceil_div(kTasks, c.groups * sets));
    segments = std::clamp<int64_t>(kMaxPartial / (cells * kElem), 1, segments);
    in_place = segments == 1 && c.weight.c == 1;
    partial_bytes = in_place ? 0 : round_up(segments * cells * kElem, 64);
    strip_cells = run * kernels.vectors * kernels.lanes;
    scratch_each = round_up(ceil_div(strips, sets) * strip_cells * kElem, 64);
  }

  int64_t tasks() const { return c.groups * sets * segments; }
  int64_t first_channel(int64_t strip) const {
    return std::min(c.in, strip * vectors / strips * kernels.lanes);
  }
  int64_t first_row(int64_t panel) const { return panel * c.out / panels; }
};

class StripsRun {
 public:
  StripsRun(const StripsPlan& plan, void* workspace)
      : p_(plan),
        c_(plan.c),
        partial_(static_cast<float*>(workspace)),
        scratch_(static_cast<char*>(workspace) + p_.partial_bytes) {}

  void all() const {
    parallel_for(p_.tasks(), [&](int64_t i, int worker) { run(i, worker); });
    if (!p_.in_place) parallel_for(c_.groups * p_.blocks, [&](int64_t i, int) { combine(i); });
  }

 private:
  struct Task {
    int64_t group, strip0, strip1, segment;
    float* strips;
  };

  void run(int64_t number, int worker) const {
    const int64_t set = number % p_.sets, rest = number / p_.sets;
    Task t;
    t.group = rest % c_.groups;
    t.segment = rest / c_.groups;
    t.strip0 = set * p_.strips / p_.sets;
    t.strip1 = (set + 1) * p_.strips / p_.sets;
    t.strips = reinterpret_cast<float*>(scratch_ + worker * p_.scratch_each);
    const int64_t all = c_.batch * p_.runs, first = t.segment * all / p_.segments;
    for (int64_t i = first; i < (t.segment + 1) * all / p_.segments; ++i)
      add_run(t, i / p_.runs, i % p_.runs, i == first);
  }

  int64_t width(int64_t strip) const {
    return round_up(p_.first_channel(strip + 1) - p_.first_channel(strip), p_.kernels.lanes);
  }

  void add_run(const Task& t, int64_t image, int64_t number, bool first) const {
    const int64_t pixel = number * c_.pixels() / p_.runs;
    const int64_t count = (number + 1) * c_.pixels() / p_.runs - pixel;
    for (int64_t i = t.strip0; i < t.strip1; ++i) turn(t, image, pixel, count, i);
    ConvPointwiseTile tile{};
    tile.k = count;
    tile.first = first;
    tile.a_row = tile.ahead_row = c_.result.c;
    tile.ahead = row(t, image, 0) + pixel;
    for (int64_t panel = 0; panel < p_.panels; ++panel) {
      const int64_t o = p_.first_row(panel);
      tile.rows = static_cast<int>(p_.first_row(panel + 1) - o);
      tile.a = row(t, image, o) + pixel;
      if (o + 2 * tile.rows <= c_.out) tile.ahead = tile.a + tile.rows * tile.a_row;
      for (int64_t i = t.strip0; i < t.strip1; ++i) {
        const int64_t channel = p_.first_channel(i);
        tile.columns = static_cast<int>(p_.first_channel(i + 1) - channel);
        tile.b = t.strips + (i - t.strip0) * p_.strip_cells;
        tile.out = sums(t.segment, t.group, o) + channel;
        tile.out_row = p_.in_place ? c_.weight.o : c_.in;
        p_.kernels.tile(tile);
        tile.ahead = tile.a;
      }
    }
  }

  const float* row(const Task& t, int64_t image, int64_t o) const {
    return reinterpret_cast<const float*>(c_.result.data) + image * c_.result.n +
           (t.group * c_.out + o) * c_.result.c;
  }

  // [pixel][channel]
  void turn(const Task& t, int64_t image, int64_t pixel, int64_t count, int64_t strip) const {
    ConvSource source = conv_source(c_);
    source.data = c_.image.data + t.group * c_.in * c_.image.c * kElem;
    const int64_t channel = p_.first_channel(strip);
    active_conv_kernels().f32.channels(
        source, 0,
        {t.strips + (strip - t.strip0) * p_.strip_cells, static_cast<int>(width(strip)),
         static_cast<int>(p_.first_channel(strip + 1) - channel), channel, 0, count,
         image * c_.pixels() + pixel});
  }

  float* weight(int64_t group, int64_t o) const {
    return reinterpret_cast<float*>(c_.weight.data) + group * c_.weight.group + o * c_.weight.o;
  }
  // Of a row of the weight.
  float* sums(int64_t segment, int64_t group, int64_t o) const {
    if (p_.in_place) return weight(group, o);
    return partial_ + segment * p_.cells + (group * c_.out + o) * c_.in;
  }

  // The segments' sums, in order, and to the weight.
  void combine(int64_t number) const {
    const int64_t group = number / p_.blocks, first = number % p_.blocks * p_.kernels.lanes;
    const int64_t last = std::min<int64_t>(c_.out, first + p_.kernels.lanes);
    const GemmFamily& family = gemm_family(c_.dtype);
    const bool rows = c_.weight.c == 1;
    for (int64_t o = first; o < last; ++o) {
      float* const sum = sums(0, group, o);
      family.sum({rows ? weight(group, o) : sum, sum, p_.cells, p_.segments, c_.in});
    }
    if (!rows)
      family.finish({sums(0, group, first), c_.in, static_cast<int>(last - first),
                     static_cast<int>(c_.in), Activation::none, weight(group, first), c_.dtype,
                     c_.weight.o, c_.weight.c});
  }

  const StripsPlan& p_;
  const Correlation& c_;
  float* const partial_;
  char* const scratch_;
};

}  // namespace

bool weight_prefers_strips(const Correlation& correlation) {
  const Correlation c = fewer_turned(correlation);
  return reads_pixels(c) && c.dtype == DType::f32 && pixel_stride(c, c.result) == 1 &&
         c.image.c != 1 && c.batch > 0 && c.groups > 0 && c.pixels() >= kLeastPixels && c.in > 0 &&
         c.in * c.out >= kTurning * (c.in + c.out) && c.in * c.out * kElem <= cache_sizes().l2 / 2;
}

size_t correlate_weight_strips_workspace(const Correlation& c) {
  const StripsPlan p(c);
  return static_cast<size_t>(p.partial_bytes + p.scratch_each * max_workers());
}

void correlate_weight_strips(const Correlation& c, void* workspace) {
  const StripsPlan plan(c);
  StripsRun(plan, workspace).all();
}

}  // namespace fastnn
