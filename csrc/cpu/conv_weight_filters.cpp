// The gradient of the weight, filters side by side: a pixel of x is broadcast, tap by tap, and
// meets vectors of filters of dy.
//
// A task has some channels and some filters, and a segment of the pixels of the batch where there
// are few of both. It takes the pixels in bands (rows of an image, or whole images): dy is packed
// as [pixel][filter], x is copied with zeros around it, and every channel adds a band's products to
// its sums, which stay in the second-level cache. Segments are added up in order at the end.
#include <algorithm>
#include <cstring>

#include "cpu/conv_band.h"
#include "cpu/conv_direct.h"
#include "cpu/conv_panel.h"
#include "cpu/gemm_core.h"
#include "cpu/gemm_plan.h"
#include "cpu/ref/element.h"
#include "fastnn/isa.h"

namespace fastnn {

namespace {

constexpr int64_t kChannels = 64;  // of a task, and
constexpr int64_t kPanels = 4;     // panels of filters: both amortise the copies of the other side
constexpr int64_t kTasks = 16;     // at least, where the shape allows it
constexpr int64_t kMaxPartial = 64 << 20;  // bytes of sums

struct TapPlan {
  const Correlation& whole;
  const Planes of;      // the whole one's
  const Correlation c;  // in two axes
  const ConvDirect& kernels;
  Bands bands;
  int64_t elem, lanes, taps;
  bool planes;            // x is copied as it lies; else (float64) as bands
  bool chunks;            // x's channels are adjacent, and stay so
  int64_t unit, width;    // values of a pixel of x; pixels of a row of x
  int64_t panel, panels;  // filters side by side
  int64_t images, rows;   // of a band
  int64_t row_bands, all_bands;
  int64_t blocks, groups, segments;  // of channels, of panels, of bands
  int64_t taps_at_once;              // that a kernel takes
  bool paired = false;   // of two channels at once: a row of one is too few to sum without waiting
  int64_t image, plane;  // values of x: an image of a channel, a channel
  int64_t offset_bytes, partial_bytes, x_bytes, scratch_each;

  explicit TapPlan(const Correlation& correlation)
      : whole(correlation),
        of(correlation),
        c(of.flat()),
        kernels(conv_direct_kernels(c.dtype)),
        bands(c, 0),
        elem(c.dtype == DType::f64 ? 8 : 4),
        lanes(kernels.lanes),
        taps(c.taps()) {
    planes = elem == 4;
    chunks =
        planes && of.taps() == 1 && c.image.c == 1 && c.image.axis[2] != 1 && 2 * c.in >= lanes;
    unit = chunks ? lanes : 1;
    panel = c.out > lanes ? 2 * lanes : lanes;
    panels = ceil_div(c.out, panel);
    cut_pixels();
    blocks = ceil_div(c.in, kChannels);
    groups = ceil_div(panels, kPanels);
    if (c.groups * blocks * groups < kTasks) groups = ceil_div(panels, kPanels / 2);
    const int64_t tasks = c.groups * blocks * groups;
    segments = std::clamp<int64_t>(ceil_div(kTasks, tasks), 1, std::max<int64_t>(1, all_bands));
    segments = std::clamp<int64_t>(kMaxPartial / (cells() * elem), 1, segments);
    choose_taps();
    lay_out();
  }

  int64_t tasks() const { return segments * c.groups * blocks * groups; }
  // Sums of a segment.
  int64_t cells() const { return c.groups * panels * c.in * taps * panel; }
  int64_t sum(int64_t segment, int64_t g, int64_t j, int64_t channel) const {
    return (segment * cells() + ((g * panels + j) * c.in + channel) * taps * panel) * elem;
  }
  int64_t first_channel(int64_t block) const { return block * c.in / blocks; }
  int64_t first_panel(int64_t group) const { return group * panels / groups; }
  int64_t vectors(int64_t j) const { return ceil_div(std::min(panel, c.out - j * panel), lanes); }
  int64_t x_rows() const { return bands.rows(rows); }
  int64_t x_pixel() const { return planes ? c.axis[2].step * unit : 1; }
  int64_t tap(int64_t ky, int64_t kx) const {
    if (!planes) return bands.tap(c, ky, kx);
    const int64_t y = c.axis[1].origin + ky * c.axis[1].tap_step - bands.low_y;
    const int64_t x = c.axis[2].origin + kx * c.axis[2].tap_step - bands.low_x;
    return (y * width + x) * unit;
  }
  bool adjacent() const { return c.axis[2].tap_step == 1 && (planes || c.axis[2].step == 1); }

 private:
  // As many pixels as let a panel of dy stay in the first-level cache.
  void cut_pixels() {
    const int64_t out_rows = std::max<int64_t>(1, c.axis[1].out);
    const int64_t across = std::max<int64_t>(1, c.axis[2].out);
    const int64_t chain = std::clamp<int64_t>(cache_sizes().l1d / 4 * 3 / (panel * elem), 64, 256);
    images = std::clamp<int64_t>(chain / (out_rows * across), 1, std::max<int64_t>(1, c.batch));
    rows = std::clamp<int64_t>(chain / across, 1, out_rows);
    rows = ceil_div(out_rows, ceil_div(out_rows, rows));
    row_bands = ceil_div(out_rows, rows);
    all_bands = ceil_div(c.batch, images) * row_bands;
  }
  void choose_taps() {
    const int64_t most = kernels.max_taps[panel > lanes ? 2 : 1], row = c.axis[2].taps;
    if (!adjacent() || row > most) {
      taps_at_once = ceil_div(taps, ceil_div(taps, most));
      return;
    }
    // Whole rows of adjacent taps are quicker.
    taps_at_once = std::min(c.axis[1].taps, most / row) * row;
    if (row == 3 && c.axis[1].taps == 3 && taps_at_once < 9) taps_at_once = row;
    paired = row == 3 && taps_at_once == row && 2 * row <= most && c.in > 1;
  }
  void lay_out() {
    const int64_t channels = round_up(ceil_div(c.in, blocks) + 1, unit) + unit;
    width = planes ? (c.axis[2].out - 1) * c.axis[2].step + bands.span_x : bands.pitch;
    image = x_rows() * width * unit;
    plane = round_up(images * image + lanes, 16);
    if (plane % 32 == 0) plane += 16;  // neighbouring channels fall on different cache sets
    offset_bytes = round_up((paired ? 3 : 1) * taps * 8, 64);
    partial_bytes = round_up(segments * cells() * elem, 64);
    x_bytes = round_up((channels / unit * plane + lanes) * elem, 64);
    const int64_t dy = ceil_div(panels, groups) * panel * images * rows * c.axis[2].out;
    scratch_each = x_bytes + round_up((dy + lanes) * elem, 64);
  }
};

class TapRun {
 public:
  TapRun(const TapPlan& plan, void* workspace)
      : p_(plan), c_(plan.c), offset_(static_cast<int64_t*>(workspace)) {
    partial_ = static_cast<char*>(workspace) + p_.offset_bytes;
    scratch_ = partial_ + p_.partial_bytes;
    const ConvKernels& kernels = active_conv_kernels();
    pack_ = p_.elem == 8 ? &kernels.f64 : &kernels.f32;
    filters_ = &kernels.filters;
  }

  void all() {
    for (int64_t y = 0; y < c_.axis[1].taps; ++y)
      for (int64_t x = 0; x < c_.axis[2].taps; ++x) offset_[y * c_.axis[2].taps + x] = p_.tap(y, x);
    if (p_.paired) fill_pairs();
    const int64_t work = std::max<int64_t>(
        1, c_.groups * c_.batch * c_.pixels() * c_.out * p_.taps * c_.in / p_.tasks());
    parallel_blocks(p_.tasks(), std::max<int64_t>(1, 100000 / work),
                    [&](int64_t begin, int64_t end, int worker) {
                      for (int64_t i = begin; i < end; ++i)
                        run(i, scratch_ + worker * p_.scratch_each);
                    });
    const int64_t blocks = c_.groups * p_.panels * p_.blocks;
    const int64_t cells = std::max<int64_t>(1, p_.segments * p_.cells() / blocks);
    parallel_blocks(
        blocks, std::max<int64_t>(1, 50000 / cells), [&](int64_t begin, int64_t end, int) {
          for (int64_t i = begin; i < end; ++i)
            combine(i / p_.blocks / p_.panels, i / p_.blocks % p_.panels, i % p_.blocks);
        });
  }

 private:
  struct Task {
    int64_t segment, g, channel0, channel1, panel0, panel1;
    char *x, *dy;
    int64_t image, images, row, rows;  // of the band
    bool first;                        // of the bands: sums are overwritten
    int64_t pixels(const Correlation& c) const { return images * rows * c.axis[2].out; }
  };

  void run(int64_t number, char* scratch) const {
    Task t;
    const int64_t group = number % p_.groups, block = number / p_.groups % p_.blocks;
    t.g = number / p_.groups / p_.blocks % c_.groups;
    t.segment = number / p_.groups / p_.blocks / c_.groups;
    t.channel0 = p_.first_channel(block);
    t.channel1 = p_.first_channel(block + 1);
    t.panel0 = p_.first_panel(group);
    t.panel1 = p_.first_panel(group + 1);
    t.x = scratch;
    t.dy = scratch + p_.x_bytes;
    const int64_t begin = t.segment * p_.all_bands / p_.segments;
    const int64_t end = (t.segment + 1) * p_.all_bands / p_.segments;
    if (begin == end || c_.pixels() == 0) return clear_sums(t);
    for (int64_t band = begin; band < end; ++band) {
      t.first = band == begin;
      t.image = band / p_.row_bands * p_.images;
      t.images = std::min(p_.images, c_.batch - t.image);
      t.row = band % p_.row_bands * p_.rows;
      t.rows = std::min(p_.rows, c_.axis[1].out - t.row);
      for (int64_t i = 0; i < t.images; ++i) copy_x(t, i);
      for (int64_t j = t.panel0; j < t.panel1; ++j) {
        pack_dy(t, j);
        add_products(t, j);
      }
    }
  }

  // Taps in turn, as many as a kernel takes, each for a channel and for the one after it: pairs
  // begin at even channels, and a vector of adjacent channels has an even number of them.
  void fill_pairs() {
    const int64_t to_next = p_.chunks ? 1 : p_.plane;
    int64_t* pair = offset_ + p_.taps;
    for (int64_t k = 0; k < p_.taps; k += p_.taps_at_once, pair += 2 * p_.taps_at_once)
      for (int64_t i = 0; i < p_.taps_at_once; ++i) {
        pair[i] = offset_[k + i];
        pair[p_.taps_at_once + i] = offset_[k + i] + to_next;
      }
  }

  void clear_sums(const Task& t) const {
    for (int64_t j = t.panel0; j < t.panel1; ++j)
      memset(partial_ + p_.sum(t.segment, t.g, j, t.channel0), 0,
             static_cast<size_t>(p_.sum(0, 0, 0, t.channel1 - t.channel0)));
  }

  void copy_x(const Task& t, int64_t i) const {
    char* dst = t.x + i * p_.image * p_.elem;
    if (!p_.planes) {
      for (int64_t k = t.channel0; k < t.channel1; ++k, dst += p_.plane * p_.elem)
        p_.kernels.band(p_.bands.band(c_, t.image + i, t.g * c_.in + k, t.row, t.rows, dst));
      return;
    }
    ConvPlanes planes{};
    planes.y0 = p_.bands.low_y + t.row * c_.axis[1].step;
    planes.rows = p_.bands.rows(t.rows);
    planes.x0 = p_.bands.low_x;
    planes.width = p_.width;
    planes.dst = dst;
    planes.dst_channel = p_.plane;
    planes.chunks = p_.chunks;
    copy_planes(p_.whole, t.g, t.image + i, t.channel0, t.channel1, planes);
  }

  char* dy_panel(const Task& t, int64_t j) const {
    return t.dy + (j - t.panel0) * p_.panel * t.pixels(c_) * p_.elem;
  }
  // [pixel][filter]
  void pack_dy(const Task& t, int64_t j) const {
    ConvSource s{};
    s.data = c_.result.data + t.g * c_.out * c_.result.c * c_.elem();
    s.dtype = c_.dtype;
    s.stride_n = c_.result.n;
    s.stride_c = c_.result.c;
    s.channels = c_.out;
    for (int a = 0; a < 3; ++a) {
      s.stride[a] = c_.result.axis[a];
      s.size[a] = s.out[a] = p_.whole.axis[a].out;
      s.taps[a] = s.step[a] = s.tap_step[a] = 1;
    }
    const int64_t o = j * p_.panel, pixel0 = t.image * c_.pixels() + t.row * c_.axis[2].out;
    pack_->channels(s, 0,
                    {dy_panel(t, j), static_cast<int>(p_.vectors(j) * p_.lanes),
                     static_cast<int>(std::min(p_.panel, c_.out - o)), o, 0, t.pixels(c_), pixel0});
  }

  // What every channel of the task has in common with a panel of filters.
  void add_products(const Task& t, int64_t j) const {
    ConvTapTile tile{};
    tile.images = t.images;
    tile.rows = t.rows;
    tile.pixels = c_.axis[2].out;
    tile.x_image = p_.bands.rows(t.rows) * p_.width * p_.unit;
    tile.x_row = p_.bands.step_y * p_.width * p_.unit;
    tile.x_pixel = p_.x_pixel();
    tile.vectors_apart = p_.chunks;
    tile.width = static_cast<int>(c_.axis[2].taps);
    tile.sum_tap = p_.panel;
    tile.first = t.first;
    tile.vectors = static_cast<int>(p_.vectors(j));
    tile.dy = dy_panel(t, j);
    char* const sum = partial_ + p_.sum(t.segment, t.g, j, t.channel0);
    const int64_t channels = t.channel1 - t.channel0;
    for (int64_t k = 0; k < p_.taps; k += p_.taps_at_once) {
      const int64_t taps = std::min(p_.taps_at_once, p_.taps - k);
      tile.adjacent = p_.adjacent() && taps % tile.width == 0 && k % tile.width == 0;
      for (int64_t i = 0; i < channels; i += tile.taps / taps) {
        const bool two = p_.paired && i + 1 < channels;
        tile.offset = two ? offset_ + p_.taps + 2 * k : offset_ + k;
        tile.taps = static_cast<int>(two ? 2 * taps : taps);
        tile.sum_run = (two ? p_.taps : tile.width) * p_.panel;
        const int64_t lane = p_.chunks ? i % p_.unit : 0;
        tile.x = t.x + ((i - lane) / p_.unit * p_.plane + lane) * p_.elem;
        tile.sum = sum + (i * p_.taps + k) * p_.panel * p_.elem;
        p_.kernels.taps(tile);
      }
    }
  }

  // The segments' sums, in order, and from [channel][tap][filter] to the weight.
  void combine(int64_t g, int64_t j, int64_t block) const {
    const int64_t channel0 = p_.first_channel(block), channel1 = p_.first_channel(block + 1);
    const int64_t rows = (channel1 - channel0) * p_.taps, o = j * p_.panel;
    const int filters = static_cast<int>(std::min(p_.panel, c_.out - o));
    char* sum = partial_ + p_.sum(0, g, j, channel0);
    if (p_.segments > 1)
      gemm_family(c_.dtype).sum({sum, sum, p_.cells(), p_.segments, rows * p_.panel});
    const ConvWeightView& w = c_.weight;
    const int64_t x_taps = c_.axis[2].taps;
    const int64_t first = g * w.group + o * w.o;
    const bool follow = w.c == p_.whole.taps() && p_.whole.adjacent_taps();
    if (follow && p_.elem == 4) {
      const ConvFilterOut out{sum,
                              p_.panel,
                              rows,
                              filters,
                              nullptr,
                              Activation::none,
                              w.data + (first + channel0 * p_.taps) * c_.elem(),
                              c_.dtype,
                              1,
                              w.o};
      filters_->finish(out);
      return;
    }
    for (int64_t k = 0; k < rows; ++k) {
      const int64_t tap = k % p_.taps;
      const int64_t at = first + p_.of.weight_offset(channel0 + k / p_.taps) +
                         tap / x_taps * w.axis[1] + tap % x_taps * w.axis[2];
      for (int64_t f = 0; f < filters; ++f)
        write_element(w.data, c_.dtype, at + f * w.o,
                      read_element(sum, p_.elem == 8 ? DType::f64 : DType::f32, k * p_.panel + f));
    }
  }

  const TapPlan& p_;
  const Correlation& c_;
  int64_t* offset_;
  char *partial_, *scratch_;
  const ConvPackers* pack_;
  const ConvFilters* filters_;
};

}  // namespace

bool weight_prefers_taps(const Correlation& c) {
  // Dealing a large gradient out to panels costs more than products that read it where it lies, as
  // long as these are few.
  constexpr int64_t kFewProducts = 32;
  if (c.out <= conv_direct_kernels(c.dtype).lanes / 2) return false;
  if (is_first_layer(c) && c.elem() == 4 && c.in * c.taps() <= kFewProducts) return false;
  if (two_axes(c)) return weight_prefers_direct(c);
  return c.dtype != DType::f64 && c.in > 0 && c.image.axis[2] == 1 && c.axis[2].step <= 4 &&
         c.axis[1].taps * c.axis[2].taps > 1;
}

size_t correlate_weight_taps_workspace(const Correlation& c) {
  const TapPlan p(c);
  return static_cast<size_t>(p.offset_bytes + p.partial_bytes + p.scratch_each * max_workers());
}

void correlate_weight_taps(const Correlation& c, void* workspace) {
  const TapPlan plan(c);
  TapRun(plan, workspace).all();
}

}  // namespace fastnn
