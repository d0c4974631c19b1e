// Correlations of one tap whose weight is laid out once for many calls: as conv_filters.cpp, but
// pixels are read where they lie. A task computes some panels of filters for a run of pixels, whose
// sums stay in the first-level cache until they are written.
#include <algorithm>

#include "cpu/conv_band.h"
#include "cpu/conv_direct.h"
#include "cpu/conv_panel.h"
#include "cpu/gemm_plan.h"
#include "cpu/kernels/conv.h"
#include "fastnn/isa.h"

namespace fastnn {

namespace {

constexpr int64_t kElem = 4;
constexpr int64_t kRun = 112;                            // pixels: whole tiles and whole vectors
constexpr int64_t kFewPixels = 256, kManyChannels = 96;  // where writing the sums costs little
constexpr int64_t kBlock = 384;    // channels that are summed before the sums are stored
constexpr double kTaskWork = 4e5;  // multiply-adds
constexpr double kTasks = 16;
constexpr int64_t kFewPanels = 16;  // a single run is cut in two

// Pixels follow each other without gaps, so that a plane is one row.
bool is_flat(const Correlation& c) {
  const ConvAxis &y = c.axis[1], &x = c.axis[2];
  return y.step == 1 && x.step == 1 && y.out == y.size && x.out == x.size &&
         (y.out == 1 || c.image.axis[1] == x.out);
}

struct PointwisePlan {
  const Correlation& c;
  const ConvFilters& kernels;
  int64_t panel, panels, panel_groups;
  int64_t block, blocks;
  int64_t rows, columns;          // of a plane
  int64_t run_rows, run_columns;  // of a run
  int64_t row_runs, column_runs;
  bool runs_first;  // neighbouring tasks have the same filters, not the same pixels
  int64_t offset_bytes, weight_bytes, sum_bytes, scratch_each;

  explicit PointwisePlan(const Correlation& correlation)
      : c(correlation), kernels(active_conv_kernels().filters) {
    panel = std::min(2 * kernels.lanes, static_cast<int>(round_up(c.out, kernels.lanes)));
    panels = ceil_div(c.out, panel);
    blocks = ceil_div(c.in, kBlock);
    block = ceil_div(c.in, blocks);
    const bool flat = is_flat(c);
    rows = flat ? 1 : c.axis[1].out;
    columns = flat ? c.pixels() : c.axis[2].out;
    column_runs = ceil_div(columns, kRun);  // alike, for the threads' sake
    run_rows = std::clamp<int64_t>(kRun / columns, 1, rows);
    row_runs = ceil_div(rows, run_rows);
    if (runs() == 1 && panels < kFewPanels && rows == 1)
      column_runs = std::min<int64_t>(2, columns);
    run_columns = ceil_div(columns, column_runs);
    const double work =
        static_cast<double>(c.batch * c.pixels() * c.groups) * static_cast<double>(c.out * c.in);
    const auto wanted = static_cast<int64_t>(std::clamp(work / kTaskWork, 1.0, kTasks));
    panel_groups = std::min(panels, ceil_div(wanted, runs()));
    runs_first = all_weights() > c.batch * c.in * c.pixels() * kElem;
    offset_bytes = round_up(block * 8, 64);
    weight_bytes = c.prepared ? 0 : all_weights();
    sum_bytes = run_rows * run_columns * panel * kElem;
    scratch_each = round_up(sum_bytes + panel * kElem, 64);
  }

  int64_t all_weights() const { return c.groups * panels * c.in * panel * kElem; }
  int64_t lanes(int64_t j) const {
    return round_up(std::min(panel, c.out - j * panel), kernels.lanes);
  }
  int64_t weight_of(int64_t group, int64_t j) const {
    return (group * panels + j) * c.in * panel * kElem;
  }
  int64_t runs() const { return c.batch * c.groups * row_runs * column_runs; }
  int64_t tasks() const { return runs() * panel_groups; }
};

void pack_all(const PointwisePlan& p, char* dst) {
  parallel_for(p.c.groups * p.panels, [&](int64_t i, int) {
    const int64_t group = i / p.panels, j = i % p.panels;
    pack_filters(p.c, group, j * p.panel, p.lanes(j), 0, p.c.in, dst + p.weight_of(group, j));
  });
}

class PointwiseRun {
 public:
  PointwiseRun(const PointwisePlan& plan, void* workspace)
      : p_(plan), c_(plan.c), offset_(static_cast<int64_t*>(workspace)) {
    char* after = static_cast<char*>(workspace) + p_.offset_bytes;
    weight_ = c_.prepared ? static_cast<const char*>(c_.prepared) : after;
    if (!c_.prepared) pack_all(p_, after);
    scratch_ = after + p_.weight_bytes;
    for (int64_t i = 0; i < p_.block; ++i) offset_[i] = i * c_.image.c;
  }

  void all() const {
    parallel_for(p_.tasks(), [&](int64_t i, int worker) {
      const int64_t panels = p_.runs_first ? i / p_.runs() : i % p_.panel_groups;
      const int64_t run = p_.runs_first ? i % p_.runs() : i / p_.panel_groups;
      const int64_t column = run % p_.column_runs, row = run / p_.column_runs % p_.row_runs;
      const int64_t plane = run / p_.column_runs / p_.row_runs;
      Task t;
      t.image = plane / c_.groups;
      t.group = plane % c_.groups;
      t.row = row * p_.run_rows;
      t.rows = std::min(p_.run_rows, p_.rows - t.row);
      t.column = column * p_.run_columns;
      t.columns = std::min(p_.run_columns, p_.columns - t.column);
      t.sum = scratch_ + worker * p_.scratch_each;
      const int64_t last = (panels + 1) * p_.panels / p_.panel_groups;
      for (int64_t j = panels * p_.panels / p_.panel_groups; j < last; ++j) run_panel(t, j);
    });
  }

 private:
  struct Task {
    int64_t image, group, row, rows, column, columns;
    char* sum;
  };

  void run_panel(const Task& t, int64_t j) const {
    ConvFilterTile tile{};
    tile.vectors = static_cast<int>(p_.lanes(j) / p_.kernels.lanes);
    tile.step = static_cast<int>(c_.axis[2].step);
    tile.offset = offset_;
    tile.far = true;
    for (int64_t b = 0; b < p_.blocks; ++b) {
      const int64_t channel = b * p_.block;
      tile.taps = std::min(p_.block, c_.in - channel);
      tile.weight = weight_ + p_.weight_of(t.group, j) + channel * p_.lanes(j) * kElem;
      tile.first = b == 0;
      tile.ahead = c_.prepared ? tile_end(tile, p_.lanes(j)) : nullptr;
      add_products(t, tile, channel, p_.lanes(j));
    }
    write(t, j);
  }

  // The weights behind a tile's: those of the next block or panel.
  static const char* tile_end(const ConvFilterTile& tile, int64_t panel) {
    return static_cast<const char*>(tile.weight) + tile.taps * panel * kElem;
  }

  void add_products(const Task& t, ConvFilterTile& tile, int64_t channel, int64_t panel) const {
    const ConvImageView& v = c_.image;
    const int64_t step_y = c_.axis[1].step * v.axis[1], limit = p_.kernels.pixels;
    const int64_t pieces = ceil_div(t.columns, limit);
    const bool pair = tile.vectors == 1 || t.columns <= limit / 2;
    const char* image = v.data + (t.image * v.n + (t.group * c_.in + channel) * v.c +
                                  t.row * step_y + t.column * c_.axis[2].step) *
                                     kElem;
    const char* const ahead_end = tile.ahead ? tile.ahead + tile.taps * panel * kElem : nullptr;
    tile.sum_group = t.columns * panel;
    tile.x_group = step_y;
    for (int64_t row = 0; row < t.rows; row += tile.groups) {
      tile.groups = pair && row + 1 < t.rows ? 2 : 1;
      for (int64_t i = 0; i < pieces; ++i) {
        const int64_t begin = i * t.columns / pieces, end = (i + 1) * t.columns / pieces;
        tile.pixels = static_cast<int>(end - begin);
        tile.x = image + (row * step_y + begin * c_.axis[2].step) * kElem;
        tile.sum = t.sum + (row * t.columns + begin) * panel * kElem;
        p_.kernels.tile(tile);
        if (tile.ahead) tile.ahead += tile.taps * 64;
        if (tile.ahead >= ahead_end) tile.ahead = nullptr;
      }
    }
  }

  void write(const Task& t, int64_t j) const {
    const ConvImageView& v = c_.result;
    const int64_t filter = j * p_.panel;
    char* bias = t.sum + p_.sum_bytes;
    if (c_.bias) fetch_bias(c_, t.group, filter, p_.lanes(j), bias);
    ConvFilterOut f{};
    f.sum = t.sum;
    f.panel = p_.lanes(j);
    f.pixels = t.rows * t.columns;
    f.filters = static_cast<int>(std::min(p_.panel, c_.out - filter));
    f.bias = c_.bias ? bias : nullptr;
    f.activation = c_.activation;
    f.dtype = c_.dtype;
    f.out =
        v.data +
        (t.image * v.n + (t.group * c_.out + filter) * v.c + t.row * p_.columns + t.column) * kElem;
    f.out_pixel = 1;
    f.out_filter = v.c;
    p_.kernels.finish(f);
  }

  const PointwisePlan& p_;
  const Correlation& c_;
  int64_t* offset_;
  const char* weight_;
  char* scratch_;
};

}  // namespace

bool prefers_pointwise(const Correlation& c) {
  const ConvAxis &y = c.axis[1], &x = c.axis[2];
  const auto inside = [](const ConvAxis& a) {
    return a.taps == 1 && a.origin == 0 && (a.step == 1 || a.step == 2) &&
           (a.out - 1) * a.step < a.size;
  };
  const bool worth_it = !is_flat(c) || (c.pixels() <= kFewPixels && c.in >= kManyChannels);
  const bool dense =
      c.image.axis[2] == 1 && c.result.axis[2] == 1 && (y.out == 1 || c.result.axis[1] == x.out);
  return c.prepares && worth_it && two_axes(c) && c.dtype == DType::f32 && inside(y) && inside(x) &&
         dense && c.in >= active_conv_kernels().filters.lanes &&
         c.out >= active_conv_kernels().filters.lanes && c.batch > 0 && c.pixels() > 0;
}

size_t correlate_pointwise_workspace(const Correlation& c) {
  const PointwisePlan p(c);
  return static_cast<size_t>(p.offset_bytes + p.weight_bytes + p.scratch_each * max_workers());
}

void correlate_pointwise(const Correlation& c, void* workspace) {
  const PointwisePlan plan(c);
  PointwiseRun(plan, workspace).all();
}

size_t prepared_pointwise_bytes(const Correlation& c) {
  return static_cast<size_t>(PointwisePlan(c).all_weights());
}

void prepare_pointwise(const Correlation& c, void* dst) {
  pack_all(PointwisePlan(c), static_cast<char*>(dst));
}

}  // namespace fastnn
