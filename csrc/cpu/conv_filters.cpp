// Correlations of many filters. A task computes some filters for some pixels: whole images, or a
// band of rows of one. It takes the channels in blocks: their planes are copied with zeros around
// them, and stay in the second-level cache; a panel of the weight, for as many filters as fill two
// vectors, is packed (once for all tasks where several need it) and stays in the first; every tile
// of pixels then adds its products to sums that wait in scratch for the next block. The result is
// written once, with bias and activation.
#include <algorithm>

#include "cpu/conv_band.h"
#include "cpu/conv_direct.h"
#include "cpu/conv_panel.h"
#include "cpu/gemm_plan.h"
#include "cpu/kernels/conv.h"
#include "fastnn/isa.h"

namespace fastnn {

namespace {

constexpr int64_t kPixels[] = {800, 400, 196};  // of a task
constexpr double kTaskWork = 1e6;               // multiply-adds
constexpr double kTasksPerWorker = 4;

bool adjacent_channels(const Correlation& c) { return c.image.c == 1 && c.image.axis[2] != 1; }

struct FilterPlan {
  const Correlation& whole;
  const Planes of;      // the whole one's
  const Correlation c;  // in two axes
  const ConvFilters& kernels;
  int64_t panel, panels;  // filters side by side; so many of these in a group
  int64_t block, blocks;  // channels that are summed before the sums are stored
  bool chunks;            // channels are adjacent, and stay so: a vector of them at each pixel
  int64_t unit;           // values of a pixel of a plane
  int64_t low_y, low_x;   // image coordinates of output pixel (0, 0)'s first row and column
  int64_t span_y, width;  // rows that the taps of a pixel reach over; columns of a plane
  int64_t bands, rows;    // of an image (1 when images are whole)
  int64_t images;         // of a task (1 when there are bands)
  int64_t panel_groups, pixel_groups;
  int64_t plane;      // values of one channel
  bool share_weight;  // several tasks need each panel
  int64_t all_bytes, shared_bytes, offset_bytes, plane_bytes, weight_bytes, sum_bytes, bias_bytes,
      scratch_each;

  explicit FilterPlan(const Correlation& correlation)
      : whole(correlation), of(correlation), c(of.flat()), kernels(active_conv_kernels().filters) {
    panel = std::min(2 * kernels.lanes, static_cast<int>(round_up(c.out, kernels.lanes)));
    panels = ceil_div(c.out, panel);
    const int64_t chain = std::clamp<int64_t>(cache_sizes().l1d / 2 / (panel * kElem), 96, 384);
    blocks = ceil_div(c.in * c.taps(), chain);
    block = ceil_div(c.in, std::min(blocks, c.in));
    chunks = of.taps() == 1 && adjacent_channels(c);
    unit = chunks ? kernels.lanes : 1;
    block = std::min(c.in, round_up(block, unit));
    blocks = ceil_div(c.in, block);
    const ConvAxis &y = c.axis[1], &x = c.axis[2];
    span_y = (y.taps - 1) * std::abs(y.tap_step) + 1;
    width = (x.out - 1) * x.step + (x.taps - 1) * std::abs(x.tap_step) + 1;
    low_y = y.origin + std::min<int64_t>(0, (y.taps - 1) * y.tap_step);
    low_x = x.origin + std::min<int64_t>(0, (x.taps - 1) * x.tap_step);
    cut();
    lay_out();
  }

  int64_t plane_rows(int64_t out_rows) const { return (out_rows - 1) * c.axis[1].step + span_y; }
  int64_t tasks() const { return c.groups * panel_groups * pixel_groups; }
  int64_t tap(int64_t channel, int64_t ky, int64_t kx) const {
    const int64_t y = c.axis[1].origin + ky * c.axis[1].tap_step - low_y;
    const int64_t x = c.axis[2].origin + kx * c.axis[2].tap_step - low_x;
    return channel / unit * plane * unit + (y * width + x) * unit + channel % unit;
  }

  static constexpr int64_t kElem = 4;

 private:
  // Pixels and filters of a task: enough tasks for the threads, and then as little as can be read
  // again: planes are copied for every group of panels, weights are read for every group of pixels.
  // Sums are the same for all cuts.
  void cut() {
    const double work = static_cast<double>(c.batch * c.pixels()) *
                        static_cast<double>(c.groups * c.out) *
                        static_cast<double>(c.in * c.taps());
    const double most = max_workers() > 1 ? kTasksPerWorker * max_workers() : 1;
    const auto wanted = static_cast<int64_t>(std::clamp(work / kTaskWork, 1.0, most));
    int64_t best_groups = 0, best_limit = 0;
    double best = 0;
    for (const int64_t limit : kPixels) {
      cut_pixels(limit);
      for (int64_t each = panels; each > 0; each = each > 1 ? ceil_div(each, 2) : 0) {
        panel_groups = ceil_div(panels, each);
        const double found = cost(wanted);
        if (best_groups == 0 || found < best) {
          best = found;
          best_groups = panel_groups;
          best_limit = limit;
        }
        if (tasks() >= wanted) break;  // smaller ones read more
      }
      if (wanted == 1 && pixel_groups * best_groups == 1) break;
    }
    cut_pixels(best_limit);
    panel_groups = best_groups;
  }
  // What is read; more for a cut that is short of tasks, that leaves threads idle, or that is short
  // of room in the cache.
  double cost(int64_t wanted) const {
    const auto over = [](int64_t much, int64_t enough) {
      const double ratio = static_cast<double>(much) / static_cast<double>(enough);
      return ratio > 1 ? ratio * ratio : 1;
    };
    const int64_t workers = std::min<int64_t>(max_workers(), wanted);
    return traffic() * over(wanted, tasks()) * over(round_up(tasks(), workers), tasks()) *
           over(task_bytes(), cache_sizes().l2 / 10 * 7);
  }
  double traffic() const {
    const double pixels = static_cast<double>(c.batch * bands * plane_rows(rows) * width);
    const double weights = static_cast<double>(c.taps() * c.out);
    return 2 * pixels * static_cast<double>(panel_groups) +
           weights * static_cast<double>(pixel_groups);
  }
  int64_t task_bytes() const {
    const int64_t task_panels = ceil_div(panels, panel_groups);
    return (images * plane_rows(rows) * width * block +
            (images * rows * c.axis[2].out * task_panels + block * c.taps()) * panel) *
           kElem;
  }
  void cut_pixels(int64_t limit) {
    const PixelGroups cut(c.batch, c.axis[1].out, c.axis[2].out, limit);
    bands = cut.bands;
    rows = cut.rows;
    images = cut.images;
    pixel_groups = cut.groups;
  }
  void lay_out() {
    const int64_t most = ceil_div(panels, panel_groups);
    // A row is copied in whole vectors, which may go over its end.
    plane = round_up(images * plane_rows(rows) * width + kernels.lanes, 16);
    if (plane % 32 == 0) plane += 16;  // neighbouring channels fall on different cache sets
    offset_bytes = round_up(block * c.taps() * 8, 64);
    plane_bytes = round_up((block + kernels.lanes) * plane * kElem, 64);
    share_weight = pixel_groups > 1 || c.prepared;
    const int64_t panel_bytes = c.taps() * panel * kElem;
    all_bytes = c.groups * panels * c.in * panel_bytes;
    shared_bytes = share_weight && !c.prepared ? all_bytes : 0;
    weight_bytes = share_weight ? 0 : block * panel_bytes;
    sum_bytes = most * images * rows * c.axis[2].out * panel * kElem;
    bias_bytes = most * panel * kElem;
    scratch_each = round_up(plane_bytes + weight_bytes + sum_bytes + bias_bytes, 64);
  }
};

class FilterRun {
 public:
  FilterRun(const FilterPlan& plan, void* workspace)
      : p_(plan), c_(plan.c), offset_(static_cast<int64_t*>(workspace)) {
    shared_ = static_cast<char*>(workspace) + p_.offset_bytes;
    scratch_ = shared_ + p_.shared_bytes;
    if (c_.prepared) shared_ = static_cast<char*>(const_cast<void*>(c_.prepared));
  }

  // All panels, to `dst`.
  void pack_all(void* dst) {
    shared_ = static_cast<char*>(dst);
    parallel_for(c_.groups * p_.panels * p_.blocks, [&](int64_t i, int) {
      const int64_t group = i / p_.blocks / p_.panels, j = i / p_.blocks % p_.panels;
      pack_weight(group, j, i % p_.blocks, shared_weight(group, j, i % p_.blocks));
    });
  }

  void all() {
    int64_t* offset = offset_;
    for (int64_t i = 0; i < p_.block; ++i)
      for (int64_t y = 0; y < c_.axis[1].taps; ++y)
        for (int64_t x = 0; x < c_.axis[2].taps; ++x) *offset++ = p_.tap(i, y, x);
    if (p_.share_weight && !c_.prepared) pack_all(shared_);
    parallel_for(p_.tasks(), [&](int64_t i, int worker) {
      Task t;
      const int64_t filters = i % p_.panel_groups, group = i / p_.panel_groups / p_.pixel_groups;
      const int64_t pixels = i / p_.panel_groups % p_.pixel_groups;
      t.group = group;
      t.panel0 = filters * p_.panels / p_.panel_groups;
      t.panel1 = (filters + 1) * p_.panels / p_.panel_groups;
      t.image = pixels / p_.bands * p_.images;
      t.images = std::min(p_.images, c_.batch - t.image);
      t.row = pixels % p_.bands * p_.rows;
      t.rows = std::min(p_.rows, c_.axis[1].out - t.row);
      t.planes = scratch_ + worker * p_.scratch_each;
      t.weight = t.planes + p_.plane_bytes;
      t.sum = t.weight + p_.weight_bytes;
      t.bias = t.sum + p_.sum_bytes;
      run(t);
    });
  }

 private:
  struct Task {
    int64_t group, panel0, panel1, image, images, row, rows;
    char *planes, *weight, *sum, *bias;
    int64_t pixels(const Correlation& c) const { return images * rows * c.axis[2].out; }
  };

  void run(const Task& t) const {
    for (int64_t block = 0; block < p_.blocks; ++block) {
      for (int64_t i = 0; i < t.images; ++i) copy_block(t, i, block);
      for (int64_t j = t.panel0; j < t.panel1; ++j) {
        const char* weight = t.weight;
        if (p_.share_weight)
          weight = shared_weight(t.group, j, block);
        else
          pack_weight(t.group, j, block, t.weight);
        add_products(t, weight, j, block);
      }
    }
    if (c_.bias)
      fetch_bias(c_, t.group, t.panel0 * p_.panel, (t.panel1 - t.panel0) * p_.panel, t.bias);
    for (int64_t j = t.panel0; j < t.panel1; ++j) {
      const int64_t image_bytes = t.rows * c_.axis[2].out * lanes(j) * FilterPlan::kElem;
      const char* bias = c_.bias ? t.bias + (j - t.panel0) * p_.panel * FilterPlan::kElem : nullptr;
      for (int64_t i = 0; i < t.images; ++i)
        write_sums(p_.whole, {sums(t, j) + i * image_bytes, bias, t.group, j * p_.panel, lanes(j),
                              t.image + i, t.row, t.rows});
    }
  }

  int64_t channels(int64_t block) const { return std::min(p_.block, c_.in - block * p_.block); }
  // A panel holds its channels one after the other, however they are cut into blocks.
  char* shared_weight(int64_t group, int64_t j, int64_t block) const {
    const int64_t before = (group * p_.panels + j) * c_.in * p_.panel;
    return shared_ + (before + block * p_.block * lanes(j)) * c_.taps() * FilterPlan::kElem;
  }
  char* sums(const Task& t, int64_t j) const {
    return t.sum + (j - t.panel0) * t.pixels(c_) * p_.panel * FilterPlan::kElem;
  }
  // Vectors that panel j's filters fill, in values.
  int64_t lanes(int64_t j) const {
    return round_up(std::min(p_.panel, c_.out - j * p_.panel), p_.kernels.lanes);
  }

  void copy_block(const Task& t, int64_t image, int64_t block) const {
    const int64_t first = block * p_.block, rows = p_.plane_rows(t.rows);
    ConvPlanes planes{};
    planes.y0 = p_.low_y + t.row * c_.axis[1].step;
    planes.rows = rows;
    planes.x0 = p_.low_x;
    planes.width = p_.width;
    planes.dst = t.planes + image * rows * p_.width * p_.unit * FilterPlan::kElem;
    planes.dst_channel = p_.plane * p_.unit;
    planes.chunks = p_.chunks;
    copy_planes(p_.whole, t.group, t.image + image, first, first + channels(block), planes);
  }

  void pack_weight(int64_t group, int64_t j, int64_t block, char* dst) const {
    pack_filters(p_.whole, group, j * p_.panel, lanes(j), block * p_.block, channels(block), dst);
  }

  // The weight after panel j of a block, if it lies where it was prepared.
  const char* next_weight(const Task& t, int64_t j, int64_t block) const {
    if (!c_.prepared) return nullptr;
    if (j + 1 < t.panel1) return shared_weight(t.group, j + 1, block);
    return block + 1 < p_.blocks ? shared_weight(t.group, t.panel0, block + 1) : nullptr;
  }

  // All tiles of pixels of the task.
  void add_products(const Task& t, const char* weight, int64_t j, int64_t block) const {
    const ConvAxis& x = c_.axis[2];
    ConvFilterTile tile{};
    tile.vectors = static_cast<int>(lanes(j) / p_.kernels.lanes);
    tile.step = static_cast<int>(x.step);
    tile.vectors_apart = p_.chunks;
    tile.offset = offset_;
    tile.taps = channels(block) * c_.taps();
    tile.weight = weight;
    tile.first = block == 0;
    const int64_t limit = p_.kernels.pixels;
    const int64_t columns = ceil_div(x.out, limit);
    const bool pair = tile.vectors == 1 || x.out <= limit / 2;
    const int64_t rows = t.images * t.rows, panel = lanes(j);
    tile.sum_group = x.out * panel;
    tile.ahead = next_weight(t, j, block);
    const char* const ahead_end =
        tile.ahead ? tile.ahead + tile.taps * panel * FilterPlan::kElem : nullptr;
    for (int64_t row = 0; row < rows; row += tile.groups) {
      tile.groups = pair && row + 1 < rows ? 2 : 1;
      const int64_t at = row_offset(t, row);
      if (tile.groups == 2) tile.x_group = row_offset(t, row + 1) - at;
      for (int64_t i = 0; i < columns; ++i) {
        const int64_t begin = i * x.out / columns, end = (i + 1) * x.out / columns;
        tile.pixels = static_cast<int>(end - begin);
        tile.x = t.planes + (at + begin * x.step * p_.unit) * FilterPlan::kElem;
        tile.sum = sums(t, j) + (row * x.out + begin) * panel * FilterPlan::kElem;
        p_.kernels.tile(tile);
        if (tile.ahead) tile.ahead += tile.taps * 64;
        if (tile.ahead >= ahead_end) tile.ahead = nullptr;
      }
    }
  }
  int64_t row_offset(const Task& t, int64_t row) const {
    return (row / t.rows * p_.plane_rows(t.rows) + row % t.rows * c_.axis[1].step) * p_.width *
           p_.unit;
  }

  const FilterPlan& p_;
  const Correlation& c_;
  int64_t* offset_;
  char *shared_, *scratch_;
};

}  // namespace

bool prefers_filters(const Correlation& c) {
  const int64_t lanes = active_conv_kernels().filters.lanes, x = c.axis[2].out;
  if (c.dtype == DType::f64 || c.axis[1].taps * c.axis[2].taps < 2 || c.in * c.taps() < 24 ||
      c.out < lanes || c.batch == 0 || c.pixels() == 0)
    return false;
  if (!two_axes(c) && c.image.axis[2] != 1) return false;
  if (is_first_layer(c)) return false;
  const int64_t step = c.axis[2].step;
  if (step > 2 && (step != 4 || adjacent_channels(c))) return false;
  // With one vector of filters a tile has as many loads as products: rows of pixels are quicker,
  // unless much of their vectors is empty.
  const bool rows_filled = 6 * x > 5 * round_up(x, lanes);
  return c.out > lanes || c.image.c == 1 || !(prefers_direct(c) && rows_filled);
}

size_t correlate_filters_workspace(const Correlation& c) {
  const FilterPlan p(c);
  return static_cast<size_t>(p.offset_bytes + p.shared_bytes + p.scratch_each * max_workers());
}

size_t prepared_filters_bytes(const Correlation& c) {
  return static_cast<size_t>(FilterPlan(c).all_bytes);
}

void prepare_filters(const Correlation& c, void* dst) {
  const FilterPlan plan(c);
  FilterRun(plan, nullptr).pack_all(dst);
}

void correlate_filters(const Correlation& c, void* workspace) {
  const FilterPlan plan(c);
  FilterRun(plan, workspace).all();
}

}  // namespace fastnn
