// The gradient of the weight for few filters, or few products to a filter, pixels side by side:
// vectors of x times vectors of dy, whose lanes are added up at the end. The batch is cut into
// bands of output rows, and these into segments with sums of their own, which are combined in
// order.
#include "cpu/conv_band.h"
#include "cpu/conv_direct.h"
#include "cpu/gemm_core.h"
#include "cpu/ref/element.h"

namespace fastnn {

namespace {

constexpr int64_t kChain = 1024;           // pixels that are summed before the sums are stored
constexpr int64_t kChannelBlock = 16;      // at most, as long as their bands stay in a near cache
constexpr int64_t kTasks = 16;             // at least, where the shape allows it
constexpr int64_t kMaxPartial = 64 << 20;  // bytes of sums

struct WeightPlan {
  const Correlation& c;
  const ConvDirect& kernels;
  Bands bands;
  int64_t elem, lanes, taps;
  int64_t rows, row_bands, all_bands;  // of output rows; of the batch
  int64_t most, blocks, segments;      // channels of a block; blocks of a group; of bands
  int64_t cells;                       // sums of one channel of one segment
  int64_t plane;                       // values of a channel of x
  int64_t offset_bytes, x_bytes, dy_bytes, partial_bytes, scratch_each;
  bool dy_in_place;

  explicit WeightPlan(const Correlation& correlation)
      : c(correlation),
        kernels(conv_direct_kernels(c.dtype)),
        bands(c, 0),
        elem(c.dtype == DType::f64 ? 8 : 4),
        lanes(kernels.lanes),
        taps(c.taps()) {
    const int64_t width = std::max<int64_t>(1, c.axis[2].out);
    rows = std::clamp<int64_t>(kChain / width, 1, std::max<int64_t>(1, c.axis[1].out));
    row_bands = ceil_div(c.axis[1].out, rows);
    all_bands = c.batch * row_bands;
    plane = bands.rows(rows) * bands.pitch;
    most = std::min(
        c.in, std::clamp<int64_t>(cache_sizes().l2 / 2 / std::max<int64_t>(1, plane * elem), 1,
                                  kChannelBlock));
    blocks = ceil_div(c.in, most);
    cells = c.out * taps * lanes;
    const int64_t channel_bytes = c.groups * c.in * cells * elem;
    segments = std::clamp<int64_t>(ceil_div(kTasks, c.groups * blocks), 1,
                                   std::max<int64_t>(1, std::min(all_bands, kTasks)));
    segments = std::max<int64_t>(1, std::min(segments, kMaxPartial / channel_bytes));
    offset_bytes = round_up(most * taps * 8, 64);
    partial_bytes = round_up(segments * channel_bytes, 64);
    x_bytes = round_up((most * plane + lanes) * elem, 64);
    dy_in_place = c.elem() == elem && (c.result.axis[2] == 1 || width == 1);
    dy_bytes = dy_in_place ? 0 : round_up((rows * width * c.out + lanes) * elem, 64);
    scratch_each = x_bytes + dy_bytes;
  }

  int64_t tasks() const { return segments * c.groups * blocks; }
  int64_t partial(int64_t segment, int64_t g, int64_t channel) const {
    return ((segment * c.groups + g) * c.in + channel) * cells * elem;
  }
};

class WeightRun {
 public:
  WeightRun(const WeightPlan& plan, void* workspace)
      : p_(plan), c_(plan.c), offset_(static_cast<int64_t*>(workspace)) {
    partial_ = static_cast<char*>(workspace) + p_.offset_bytes;
    scratch_ = partial_ + p_.partial_bytes;
  }

  void all() {
    int64_t* offset = offset_;
    for (int64_t i = 0; i < p_.most; ++i)
      for (int64_t y = 0; y < c_.axis[1].taps; ++y)
        for (int64_t x = 0; x < c_.axis[2].taps; ++x)
          *offset++ = i * p_.plane + p_.bands.tap(c_, y, x);
    const int64_t work = std::max<int64_t>(
        1, c_.batch * c_.pixels() * c_.out * p_.taps * c_.in / (p_.segments * p_.blocks));
    parallel_blocks(p_.tasks(), std::max<int64_t>(1, 100000 / work),
                    [&](int64_t begin, int64_t end, int worker) {
                      for (int64_t i = begin; i < end; ++i)
                        task(i, scratch_ + worker * p_.scratch_each);
                    });
    parallel_for(c_.groups * p_.blocks, [&](int64_t i, int) {
      const int64_t block = i % p_.blocks;
      const int64_t channel0 = block * c_.in / p_.blocks;
      const int64_t channel1 = (block + 1) * c_.in / p_.blocks;
      if (p_.elem == 8)
        combine<double>(i / p_.blocks, channel0, channel1);
      else
        combine<float>(i / p_.blocks, channel0, channel1);
    });
  }

 private:
  void task(int64_t number, char* scratch) const {
    const int64_t block = number % p_.blocks, g = number / p_.blocks % c_.groups,
                  segment = number / p_.blocks / c_.groups;
    const int64_t channel0 = block * c_.in / p_.blocks, channel1 = (block + 1) * c_.in / p_.blocks;
    memset(partial_ + p_.partial(segment, g, channel0), 0,
           static_cast<size_t>((channel1 - channel0) * p_.cells * p_.elem));
    const int64_t first = segment * p_.all_bands / p_.segments,
                  last = (segment + 1) * p_.all_bands / p_.segments;
    for (int64_t band = first; band < last; ++band) {
      const int64_t n = band / p_.row_bands, row0 = band % p_.row_bands * p_.rows;
      const int64_t rows = std::min(p_.rows, c_.axis[1].out - row0);
      char* dy = scratch + p_.x_bytes;
      if (!p_.dy_in_place) copy_rows(n, g, row0, rows, dy);
      for (int64_t i = channel0; i < channel1; ++i)
        p_.kernels.band(p_.bands.band(c_, n, g * c_.in + i, row0, rows,
                                      scratch + (i - channel0) * p_.plane * p_.elem));
      dots(n, g, channel1 - channel0, row0, rows, scratch, dy,
           partial_ + p_.partial(segment, g, channel0));
    }
  }

  void copy_rows(int64_t n, int64_t g, int64_t row0, int64_t rows, char* dy) const {
    for (int64_t o = 0; o < c_.out; ++o)
      p_.kernels.band(
          {c_.result.data + (n * c_.result.n + (g * c_.out + o) * c_.result.c) * c_.elem(),
           c_.dtype, c_.result.axis[1], c_.result.axis[2], c_.axis[1].out, c_.axis[2].out, row0,
           rows, 0, c_.axis[2].out, 1, dy + o * p_.rows * c_.axis[2].out * p_.elem});
  }

  void dots(int64_t n, int64_t g, int64_t channels, int64_t row0, int64_t rows, const char* x,
            const char* copy, char* sum) const {
    ConvDotTile t{};
    t.x = x;
    t.rows = rows;
    t.pixels = c_.axis[2].out;
    t.x_row = p_.bands.step_y * p_.bands.pitch;
    t.dy_row = p_.dy_in_place ? c_.result.axis[1] : c_.axis[2].out;
    t.dy_filter = p_.dy_in_place ? c_.result.c : p_.rows * c_.axis[2].out;
    const char* dy = copy;
    if (p_.dy_in_place)
      dy = c_.result.data +
           (n * c_.result.n + g * c_.out * c_.result.c + row0 * c_.result.axis[1]) * p_.elem;
    for_chunks(channels, [&](int64_t o, int64_t filters, int64_t k, int64_t taps, int64_t at) {
      t.filters = static_cast<int>(filters);
      t.taps = static_cast<int>(taps);
      t.offset = offset_ + k;
      t.dy = dy + o * t.dy_filter * p_.elem;
      t.sum = sum + at * p_.lanes * p_.elem;
      // Rows of the next filters are asked for, or of the next band, two for each of the tiles
      // that take the same rows of dy.
      const bool more = o + filters < c_.out;
      const char* next = dy + (more ? (o + filters) * t.dy_filter : rows * t.dy_row) * p_.elem;
      for (int i = 0; i < 2; ++i)
        t.ahead[i] = next + (k * filters / (channels * p_.taps) + i) * t.dy_filter * p_.elem;
      p_.kernels.dots(t);
    });
  }

  // f(first filter, filters, first tap, taps, number of the first sum) for every ConvDotTile of
  // some channels, whose taps are numbered through.
  template <class F>
  void for_chunks(int64_t channels, F f) const {
    const int64_t all = channels * p_.taps, blocks = ceil_div(c_.out, 4);
    const int64_t chunks = ceil_div(all, p_.kernels.max_products / std::min<int64_t>(4, c_.out));
    int64_t at = 0;
    for (int64_t b = 0; b < blocks; ++b) {
      const int64_t o = b * c_.out / blocks, filters = (b + 1) * c_.out / blocks - o;
      for (int64_t i = 0; i < chunks; ++i) {
        const int64_t k = i * all / chunks, taps = (i + 1) * all / chunks - k;
        f(o, filters, k, taps, at);
        at += filters * taps;
      }
    }
  }

  template <class T>
  void write(int64_t g, int64_t o, int64_t channel, int64_t tap, double value) const {
    const int64_t at = g * c_.weight.group + o * c_.weight.o + channel * c_.weight.c +
                       tap / c_.axis[2].taps * c_.weight.axis[1] +
                       tap % c_.axis[2].taps * c_.weight.axis[2];
    if (c_.elem() == sizeof(T))
      reinterpret_cast<T*>(c_.weight.data)[at] = static_cast<T>(value);
    else
      write_element(c_.weight.data, c_.dtype, at, value);
  }

  // The segments, lane by lane, then the lanes: one long chain of sums would wait for each.
  template <class T>
  void combine(int64_t g, int64_t channel0, int64_t channel1) const {
    char* const first = partial_ + p_.partial(0, g, channel0);
    const int64_t channels = channel1 - channel0, sums = channels * p_.cells;
    if (p_.segments > 1)
      gemm_family(c_.dtype).sum({first, first, c_.groups * c_.in * p_.cells, p_.segments, sums});
    for_chunks(channels, [&](int64_t o, int64_t filters, int64_t k, int64_t taps, int64_t at) {
      for (int64_t f = 0; f < filters; ++f)
        for (int64_t r = 0; r < taps; ++r) {
          const T* lane = reinterpret_cast<const T*>(first) + (at + f * taps + r) * p_.lanes;
          double total = 0;
          for (int64_t i = 0; i < p_.lanes; ++i) total += static_cast<double>(lane[i]);
          write<T>(g, o + f, channel0 + (k + r) / p_.taps, (k + r) % p_.taps, total);
        }
    });
  }

  const WeightPlan& p_;
  const Correlation& c_;
  int64_t* offset_;
  char *partial_, *scratch_;
};

}  // namespace

bool weight_prefers_direct(const Correlation& c) {
  if (!two_axes(c) || c.in == 0 || c.out == 0 || c.axis[2].step > 4) return false;
  return c.taps() > 1 || c.out <= 4;
}

size_t correlate_weight_direct_workspace(const Correlation& c) {
  const WeightPlan p(c);
  return static_cast<size_t>(p.offset_bytes + p.partial_bytes + p.scratch_each * max_workers());
}

void correlate_weight_direct(const Correlation& c, void* workspace) {
  const WeightPlan plan(c);
  WeightRun(plan, workspace).all();
}

}  // namespace fastnn
