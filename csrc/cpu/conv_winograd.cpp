// Winograd's F(2x2, 3x3) for correlations of many channels and filters (see
// kernels/conv_winograd_table.h): 2.25 times fewer multiplications than the formula, and as exact.
//
// A task computes some panels of filters for some tiles: whole images, or a band of one. What
// several tasks need is transformed once for all: the filters where there are several groups of
// tiles, the image where there are more than two groups of panels. For every point, the channels
// are summed as in conv_filters.cpp, tiles in the place of pixels.
//
// Of three axes, every plane of the result is an image, and every tap along the first axis makes
// channels of its own (see Planes). A task then takes rows of neighbouring planes: what it sees is
// transformed once, and a channel of another tap is the same tiles a plane further.
//
// Sums of tiles with NaN or infinity spread these to pixels that do not see them: where a result is
// not finite, the correlation is computed again by the formula.
#include <algorithm>
#include <atomic>

#include "cpu/conv_band.h"
#include "cpu/conv_direct.h"
#include "cpu/conv_panel.h"
#include "cpu/conv_winograd_plan.h"
#include "cpu/kernels/conv.h"
#include "fastnn/isa.h"

namespace fastnn {

namespace {

constexpr int64_t kPoints = WinogradPlan::kPoints, kElem = WinogradPlan::kElem;
constexpr int64_t kWorthIt = 49;          // tiles: the filters must be transformed first
constexpr int64_t kWorthItPrepared = 12;  // tiles, where they were

class WinogradRun {
 public:
  WinogradRun(const WinogradPlan& plan, void* workspace)
      : p_(plan), c_(plan.c), offset_(static_cast<int64_t*>(workspace)) {
    filters_ = static_cast<char*>(workspace) + p_.offset_bytes;
    image_ = filters_ + p_.shared_filters;
    scratch_ = image_ + p_.shared_image;
    if (c_.prepared) filters_ = static_cast<char*>(const_cast<void*>(c_.prepared));
  }

  // All filters, to `dst`.
  void transform_all_filters(void* dst) {
    filters_ = static_cast<char*>(dst);
    parallel_for(c_.groups * p_.panels * p_.blocks, [&](int64_t i, int worker) {
      const int64_t panel = i / p_.blocks;
      transform_filters(panel / p_.panels, panel % p_.panels, i % p_.blocks, scratch(worker),
                        filters_ + panel * p_.filter_bytes);
    });
  }

  // Whether all results are finite.
  bool all() {
    fill_offsets(p_.rows, offset_);
    fill_offsets(p_.tile_rows - (p_.bands - 1) * p_.rows, offset_ + p_.block);
    if (p_.share_filters && !c_.prepared) transform_all_filters(filters_);
    constexpr int64_t chunks = WinogradPlan::kImageTasks;  // of channels
    if (p_.share_image)
      parallel_for(c_.groups * p_.tile_groups * chunks, [&](int64_t i, int worker) {
        const int64_t tiles = i / chunks, chunk = i % chunks;
        transform_image(part(tiles / p_.tile_groups, tiles % p_.tile_groups),
                        chunk * p_.whole.in / chunks, (chunk + 1) * p_.whole.in / chunks,
                        scratch(worker), image_ + tiles * p_.image_bytes);
      });
    parallel_for(p_.tasks(), [&](int64_t i, int worker) {
      const int64_t tiles = i / p_.panel_groups;
      run(part(tiles / p_.tile_groups, tiles % p_.tile_groups), tiles, i % p_.panel_groups,
          scratch(worker));
    });
    return finite_.load(std::memory_order_relaxed);
  }

 private:
  struct Part {  // some tiles of a group
    int64_t group, image, images, row, rows;
  };
  struct Scratch {
    char *plane, *packed, *product, *sum, *bias, *filters, *image;
  };

  Part part(int64_t group, int64_t i) const {
    Part t;
    const int64_t each = ceil_div(p_.span, p_.images), at = i / p_.bands;
    const int64_t within = at % each * p_.images;
    t.group = group;
    t.image = at / each * p_.span + within;
    t.images = std::min(p_.images, p_.span - within);
    t.row = i % p_.bands * p_.rows;
    t.rows = std::min(p_.rows, p_.tile_rows - t.row);
    return t;
  }

  // Where the channels of a block lie, for so many rows of tiles.
  void fill_offsets(int64_t rows, int64_t* offset) const {
    const int64_t taps = p_.of.taps();
    for (int64_t i = 0; i < p_.block; ++i)
      offset[i] = i / taps * p_.tiles + plane_of_tap(i % taps) * rows * p_.across;
  }
  // Taps may run against the order of the planes; and this order against theirs.
  int64_t plane_of_tap(int64_t tap) const {
    return p_.whole.axis[0].tap_step > 0 ? tap : p_.of.taps() - 1 - tap;
  }

  Scratch scratch(int worker) const {
    Scratch s;
    s.plane = scratch_ + worker * p_.scratch_each;
    s.packed = s.plane + p_.plane_bytes;
    s.product = s.packed + p_.packed_bytes;
    s.sum = s.product + p_.together * p_.product_bytes;
    s.bias = s.sum + p_.sum_bytes;
    s.filters = s.bias + p_.bias_bytes();
    s.image = s.filters + (p_.share_filters ? 0 : p_.filter_bytes);
    return s;
  }

  void transform_filters(int64_t group, int64_t j, int64_t block, const Scratch& s,
                         char* dst) const {
    const int64_t first = block * p_.block, filters = p_.filters(j);
    pack_filters(p_.whole, group, j * p_.panel, filters, first, p_.channels(block), s.packed);
    ConvWinogradFilter f{};
    f.weight = s.packed;
    for (int i = 0; i < 9; ++i) {
      const int y = i / 3, x = i % 3;
      f.tap[i] = (c_.axis[1].tap_step > 0 ? y : 2 - y) * 3 + (c_.axis[2].tap_step > 0 ? x : 2 - x);
    }
    f.channels = p_.channels(block);
    f.filters = filters;
    f.dst = dst + first * filters * kElem;
    f.dst_point = p_.filter_point(j);
    active_conv_kernels().winograd.filter(f);
  }

  // Channel 0 of a plane that the task sees; null outside of the image.
  const char* source(const Part& t, int64_t plane) const {
    return p_.reach > 0 ? p_.of.source(t.image, plane_of_tap(plane))
                        : p_.of.source(t.image + plane, 0);
  }

  // A channel of it, with zeros around it: for each row, its columns phase by phase.
  void copy_plane(const Part& t, int64_t plane, int64_t channel, void* dst) const {
    const ConvImageView& v = c_.image;
    const char* const from = source(t, plane);
    const char* data = from ? from + channel * v.c * c_.elem() : v.data;
    const int64_t size_y = from ? c_.axis[1].size : 0, size_x = c_.axis[2].size;
    const int64_t y0 = p_.low_y + 2 * p_.gap_y * t.row, rows = p_.plane_rows(t.rows);
    if (p_.gap_x == 1)
      p_.kernels.planes({data, c_.dtype, v.c, v.axis[1], v.axis[2], size_y, size_x, y0, rows,
                         p_.low_x, p_.width, 1, dst, p_.plane, false});
    else
      conv_direct_kernels(c_.dtype).band({data, c_.dtype, v.axis[1], v.axis[2], size_y, size_x, y0,
                                          rows, p_.low_x, p_.width, p_.gap_x, dst});
  }

  // Channels [first, last).
  void transform_image(const Part& t, int64_t first, int64_t last, const Scratch& s,
                       char* dst) const {
    const int64_t tile_count = t.rows * p_.tile_columns;
    for (int64_t i = 0; i < t.images + p_.reach; ++i)
      for (int64_t k = first; k < last; ++k) {
        copy_plane(t, i, t.group * p_.whole.in + k, s.plane);
        char* to = dst + (k * p_.tiles + i * p_.phases * tile_count) * kElem;
        for (int64_t phase = 0; phase < p_.phases; ++phase, to += tile_count * kElem) {
          const int64_t y = phase / p_.gap_x, x = phase % p_.gap_x;
          active_conv_kernels().winograd.image({s.plane + (y * p_.pitch + x * p_.width) * kElem,
                                                p_.gap_y * p_.pitch, t.rows, p_.tile_columns, to,
                                                p_.image_point});
        }
      }
  }

  void run(const Part& t, int64_t tiles, int64_t panels, const Scratch& s) {
    const char* image = image_ + tiles * p_.image_bytes;
    if (!p_.share_image) {
      transform_image(t, 0, p_.whole.in, s, s.image);
      image = s.image;
    }
    const int64_t last = (panels + 1) * p_.panels / p_.panel_groups;
    for (int64_t j = panels * p_.panels / p_.panel_groups; j < last; j += p_.together) {
      const int64_t end = std::min(last, j + p_.together);
      const char* filters = filters_ + (t.group * p_.panels + j) * p_.filter_bytes;
      if (!p_.share_filters) {
        for (int64_t b = 0; b < p_.blocks; ++b) transform_filters(t.group, j, b, s, s.filters);
        filters = s.filters;
      }
      for (int64_t point = 0; point < kPoints; ++point)
        for (int64_t i = j; i < end; ++i)
          add_products(t, i, point, image, filters + (i - j) * p_.filter_bytes,
                       s.product + (i - j) * p_.product_bytes,
                       i + 1 < end ? p_.filter_bytes
                                   : p_.filter_point(j) * kElem - (i - j) * p_.filter_bytes);
      for (int64_t i = j; i < end; ++i) write(t, i, s.product + (i - j) * p_.product_bytes, s);
    }
  }

  // product[point][tile][filter]; the filters that are read next lie `next` bytes behind these
  void add_products(const Part& t, int64_t j, int64_t point, const char* image, const char* filters,
                    char* product, int64_t next) const {
    const int64_t tiles = t.images * t.rows * p_.across, panel = p_.filters(j);
    const int64_t runs = ceil_div(tiles, p_.kernels.pixels);
    ConvFilterTile tile{};
    tile.step = tile.groups = 1;
    tile.vectors = static_cast<int>(panel / p_.kernels.lanes);
    tile.offset = t.rows == p_.rows ? offset_ : offset_ + p_.block;
    for (int64_t b = 0; b < p_.blocks; ++b) {
      const int64_t channel = b * p_.block;
      tile.taps = p_.channels(b);
      tile.weight = filters + (point * p_.filter_point(j) + channel * panel) * kElem;
      tile.first = b == 0;
      const bool last = b + 1 == p_.blocks;
      const char* const here = static_cast<const char*>(tile.weight);
      const int64_t bytes = tile.taps * panel * kElem;
      for (int64_t i = 0; i < runs; ++i) {
        const int64_t done = i * tile.taps * 64;
        tile.ahead = c_.prepared && done < bytes
                         ? here + (last ? next - channel * panel * kElem : bytes) + done
                         : nullptr;
        const int64_t begin = i * tiles / runs, end = (i + 1) * tiles / runs;
        tile.pixels = static_cast<int>(end - begin);
        tile.x =
            image + (point * p_.image_point + channel / p_.of.taps() * p_.tiles + begin) * kElem;
        tile.sum = product + (point * p_.product_point(j) + begin * panel) * kElem;
        p_.kernels.tile(tile);
      }
    }
  }

  void write(const Part& t, int64_t j, const char* product, const Scratch& s) {
    const int64_t panel = p_.filters(j), row = 2 * p_.gap_y * t.row;
    const int64_t rows = std::min(2 * p_.gap_y * t.rows, c_.axis[1].out - row);
    if (c_.bias) fetch_bias(c_, t.group, j * p_.panel, panel, s.bias);
    for (int64_t i = 0; i < t.images; ++i) {
      const char* sums = product + i * t.rows * p_.across * panel * kElem;
      if (!transform_back(t, j, sums, rows, s.sum)) finite_.store(false, std::memory_order_relaxed);
      write_sums(p_.whole, {s.sum, c_.bias ? s.bias : nullptr, t.group, j * p_.panel, panel,
                            t.image + i, row, rows});
    }
  }

  // Rows of an image, each phase's pixels to their places. Whether all are finite.
  bool transform_back(const Part& t, int64_t j, const char* sums, int64_t rows, char* dst) const {
    const int64_t panel = p_.filters(j), columns = c_.axis[2].out;
    bool finite = true;
    for (int64_t phase = 0; phase < p_.phases; ++phase) {
      const int64_t y = phase / p_.gap_x, x = phase % p_.gap_x;
      finite &= active_conv_kernels().winograd.pixels(
          {sums + phase * t.rows * p_.tile_columns * panel * kElem, p_.product_point(j), panel,
           ceil_div(rows - y, p_.gap_y), ceil_div(columns - x, p_.gap_x), p_.tile_columns,
           dst + (y * columns + x) * panel * kElem, p_.gap_y * columns * panel, p_.gap_x * panel});
    }
    return finite;
  }

  const WinogradPlan& p_;
  const Correlation& c_;
  int64_t* offset_;
  char *filters_, *image_, *scratch_;
  std::atomic<bool> finite_{true};
};

// Transformed filters take 16 / 9 of the room: few tiles are worth that in the cache only. And
// where few channels or filters share a transform, it takes more tiles.
int64_t least_tiles(const Correlation& c) {
  const int64_t in = c.in * c.axis[0].taps;
  const bool near = c.groups * in * c.out * kPoints * kElem <= cache_sizes().l2 / 2;
  const bool few = in < 32 || c.out < 32;
  return (c.prepares && near ? kWorthItPrepared : kWorthIt) * (few ? 2 : 1);
}

// As the formula takes it: filters prepared for Winograd are none for it.
Correlation unprepared(Correlation c) {
  c.prepared = nullptr;
  return c;
}

// Tiles that reach far over an edge are for nothing, and columns of two pixels leave vectors of
// tiles empty.
bool fills_tiles(const Correlation& c, int64_t tiles) {
  const int64_t rows = c.axis[1].out, columns = c.axis[2].out;
  return 2 * 4 * tiles <= 3 * rows * columns && columns > 2;
}

// Taps apart: rows of a phase are transformed by vectors, so that short ones need many filters to
// be worth it; and a task has a row of every phase (of some planes), which the cache should hold.
bool suits_phases(const Correlation& c, int64_t across) {
  constexpr int64_t kLeastWork = 512;  // filters times tiles of a phase's row
  const int64_t phases = std::abs(c.axis[1].tap_step * c.axis[2].tap_step);
  return phases == 1 ||
         (c.out * across >= kLeastWork * phases &&
          kPoints * kElem * c.in * across <= 2 * static_cast<int64_t>(cache_sizes().l2));
}

}  // namespace

bool prefers_winograd(const Correlation& c) {
  const ConvAxis &z = c.axis[0], &y = c.axis[1], &x = c.axis[2];
  const bool neighbours = z.taps == 1 || (z.step == 1 && std::abs(z.tap_step) == 1);
  const int64_t least_out = z.taps == 1 ? 24 : 16;  // a transformed plane serves all taps
  if (!neighbours || c.dtype != DType::f32 || y.taps != 3 || x.taps != 3 || y.step != 1 ||
      x.step != 1 || c.image.axis[2] != 1 || c.in * z.taps < 24 || c.out < least_out)
    return false;
  const int64_t gap_y = std::abs(y.tap_step), gap_x = std::abs(x.tap_step);
  if (gap_y > y.out || gap_x > x.out) return false;
  const int64_t across = gap_y * gap_x * ceil_div(x.out, 2 * gap_x);
  const int64_t tiles = ceil_div(y.out, 2 * gap_y) * across;
  return c.batch * z.out * tiles >= least_tiles(c) && fills_tiles(c, tiles) &&
         suits_phases(c, across);
}

size_t correlate_winograd_workspace(const Correlation& c) {
  const WinogradPlan p(c);
  const auto bytes = static_cast<size_t>(p.offset_bytes + p.shared_filters + p.shared_image +
                                         p.scratch_each * max_workers());
  return std::max(bytes, correlate_filters_workspace(unprepared(c)));
}

void correlate_winograd(const Correlation& c, void* workspace) {
  const WinogradPlan plan(c);
  if (!WinogradRun(plan, workspace).all()) correlate_filters(unprepared(c), workspace);
}

size_t prepared_winograd_bytes(const Correlation& c) {
  return static_cast<size_t>(WinogradPlan(c).all_filters);
}

void prepare_winograd(const Correlation& c, void* dst) {
  const WinogradPlan plan(c);
  const Workspace scratch(correlate_winograd_workspace(c));
  WinogradRun(plan, scratch.data()).transform_all_filters(dst);
}

}  // namespace fastnn
