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
// Kernels larger than 3x3, and strides, make several pieces of a filter, and a stride several
// images of one (see conv_winograd_axis.h): all that a point sums of a channel follows on each
// other.
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
    fill_offsets(p_.y.tiles - (p_.bands - 1) * p_.rows, offset_ + p_.block * p_.listed);
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
    t.rows = std::min(p_.rows, p_.y.tiles - t.row);
    return t;
  }

  // Where the channels and pieces of a block lie at each point, for so many rows of tiles.
  void fill_offsets(int64_t rows, int64_t* offset) const {
    const int64_t taps = p_.of.taps(), columns = p_.x.tiles + p_.x.extra;
    for (int64_t point = 0; point < kPoints; ++point) {
      const WinogradPoint& at = p_.points[point];
      if (at.like < point) continue;
      int64_t* to = offset + at.list * p_.block;
      for (int64_t i = 0; i < p_.block; ++i) {
        const int64_t plane = plane_of_tap(i % taps) * p_.phases * p_.plane_tiles(rows);
        p_.for_pieces(point, [&](const WinogradPiece& y, const WinogradPiece& x) {
          const int64_t phase = p_.places[y.phase * p_.x.step + x.phase].of[point];
          *to++ = phase - p_.image_point(point) + i / taps * p_.channel_step(point) + plane +
                  y.tile * columns + x.tile;
        });
      }
    }
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
    f.taps = c_.taps();
    f.channels = p_.channels(block);
    f.filters = filters;
    f.dst = dst;
    WinogradPlaces next;  // the pieces of a point follow on each other
    for (int64_t point = 0; point < kPoints; ++point) {
      f.step[point] = p_.points[point].pieces * filters;
      next.of[point] = p_.filter_point(j, point) + first * f.step[point];
    }
    for (int y = 0; y < p_.y.pieces; ++y)
      for (int x = 0; x < p_.x.pieces; ++x) {
        const WinogradPiece &rows = p_.y.piece[y], &columns = p_.x.piece[x];
        for (int i = 0; i < 9; ++i) {
          const int64_t row = rows.taps[i / 3], column = columns.taps[i % 3];
          f.tap[i] = row < 0 || column < 0 ? WinogradPiece::kNone : row * c_.axis[2].taps + column;
        }
        for (int64_t point = 0; point < kPoints; ++point) {
          const bool needed = rows.at(point / 4) && columns.at(point % 4);
          f.at.of[point] = needed ? next.of[point] : -1;
          if (needed) next.of[point] += filters;
        }
        active_conv_kernels().winograd.filter(f);
      }
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
    const int64_t y0 = p_.y.low + 2 * p_.y.spread() * t.row, rows = p_.plane_rows(t.rows);
    if (p_.x.spread() == 1)
      p_.kernels.planes({data, c_.dtype, v.c, v.axis[1], v.axis[2], size_y, size_x, y0, rows,
                         p_.x.low, p_.width, 1, dst, p_.plane, false});
    else
      conv_direct_kernels(c_.dtype).band({data, c_.dtype, v.axis[1], v.axis[2], size_y, size_x, y0,
                                          rows, p_.x.low, p_.width, p_.x.spread(), dst});
  }

  // Channels [first, last).
  void transform_image(const Part& t, int64_t first, int64_t last, const Scratch& s,
                       char* dst) const {
    for (int64_t i = 0; i < t.images + p_.reach; ++i)
      for (int64_t k = first; k < last; ++k) {
        copy_plane(t, i, t.group * p_.whole.in + k, s.plane);
        for (int64_t y = 0; y < p_.y.step; ++y)
          for (int64_t x = 0; x < p_.x.step; ++x) transform_plane(t, i, k, y, x, s.plane, dst);
      }
  }

  // A phase of the image, of every phase of the result.
  void transform_plane(const Part& t, int64_t image, int64_t channel, int64_t y, int64_t x,
                       const char* plane, char* dst) const {
    ConvWinogradImage tiles{};
    tiles.width = p_.y.spread() * p_.pitch;
    tiles.tile_rows = t.rows + p_.y.extra;
    tiles.tiles = p_.x.tiles + p_.x.extra;
    const int64_t each = p_.plane_tiles(t.rows);
    const WinogradPlaces& first = p_.places[y * p_.x.step + x];
    for (int64_t point = 0; point < kPoints; ++point)
      tiles.at.of[point] =
          first.of[point] < 0 ? -1 : first.of[point] + channel * p_.channel_step(point);
    for (int64_t phase = 0; phase < p_.phases; ++phase) {
      const int64_t row = p_.y.begin[y] + phase / p_.x.gap,
                    column = p_.x.begin[x] + phase % p_.x.gap;
      tiles.plane =
          plane +
          (row * p_.pitch + column % p_.x.spread() * p_.width + column / p_.x.spread()) * kElem;
      tiles.dst = dst + (image * p_.phases + phase) * each * kElem;
      active_conv_kernels().winograd.image(tiles);
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
        for (int64_t i = j; i < end; ++i) {
          const auto place = [&](int64_t panel, int64_t point) {
            return filters + (panel - j) * p_.filter_bytes + p_.filter_point(panel, point) * kElem;
          };
          const char* const next = i + 1 < end           ? place(i + 1, point)
                                   : point + 1 < kPoints ? place(j, point + 1)
                                                         : place(end, 0);
          add_products(t, i, point, image, place(i, point), s.product + (i - j) * p_.product_bytes,
                       next);
        }
      for (int64_t i = j; i < end; ++i) write(t, i, s.product + (i - j) * p_.product_bytes, s);
    }
  }

  // product[point][tile][filter]; `next`: the filters that are read after these
  void add_products(const Part& t, int64_t j, int64_t point, const char* image, const char* filters,
                    char* product, const char* next) const {
    const WinogradPoint& at = p_.points[point];
    const int64_t panel = p_.filters(j), taps = p_.of.taps();
    ConvFilterTile tile{};
    tile.step = 1;
    tile.vectors = static_cast<int>(panel / p_.kernels.lanes);
    tile.offset = offset_ + ((t.rows == p_.rows ? 0 : p_.listed) + at.list) * p_.block;
    for (int64_t b = 0; b < p_.blocks; ++b) {
      const int64_t channel = b * p_.block;
      tile.taps = p_.channels(b) * at.pieces;
      if (tile.taps == 0) continue;
      const char* const here = filters + channel * at.pieces * panel * kElem;
      const int64_t bytes = tile.taps * panel * kElem;
      const char* ahead = b + 1 < p_.blocks ? here + bytes : next;
      const char* const ahead_end = ahead + bytes;
      tile.weight = here;
      tile.first = b == 0;
      const char* const from =
          image + (p_.image_point(point) + channel / taps * p_.channel_step(point)) * kElem;
      for_runs(t, [&](int64_t first, int64_t begin, int64_t pixels, int64_t groups, int64_t apart) {
        tile.x = from + begin * kElem;
        tile.x_group = apart;
        tile.pixels = static_cast<int>(pixels);
        tile.groups = static_cast<int>(groups);
        tile.sum = product + (point * p_.product_point(j) + first * panel) * kElem;
        tile.sum_group = p_.x.tiles * panel;
        tile.ahead = c_.prepared && ahead < ahead_end ? ahead : nullptr;
        ahead += tile.taps * 64;
        p_.kernels.tile(tile);
      });
    }
  }

  // Calls fn(tile of the result, tile of the image, tiles, runs of so many, from run to run in the
  // image) for all tiles of the result.
  template <class F>
  void for_runs(const Part& t, F fn) const {
    const int64_t rows = t.images * p_.phases * t.rows, most = p_.kernels.pixels;
    if (!p_.by_rows()) {
      const int64_t tiles = rows * p_.x.tiles, runs = ceil_div(tiles, most);
      for (int64_t i = 0; i < runs; ++i) {
        const int64_t begin = i * tiles / runs;
        fn(begin, begin, (i + 1) * tiles / runs - begin, 1, 0);
      }
      return;
    }
    const auto place = [&](int64_t row) {
      return row / t.rows * p_.plane_tiles(t.rows) + row % t.rows * (p_.x.tiles + p_.x.extra);
    };
    const int64_t tiles = p_.x.tiles, runs = ceil_div(tiles, most);
    const int64_t together = 2 * tiles <= most ? 2 : 1;
    for (int64_t row = 0; row < rows; row += together) {
      const int64_t groups = std::min(together, rows - row), at = place(row);
      for (int64_t i = 0; i < runs; ++i) {
        const int64_t begin = i * tiles / runs;
        fn(row * tiles + begin, at + begin, (i + 1) * tiles / runs - begin, groups,
           groups > 1 ? place(row + 1) - at : 0);
      }
    }
  }

  void write(const Part& t, int64_t j, const char* product, const Scratch& s) {
    const int64_t panel = p_.filters(j), row = 2 * p_.y.gap * t.row;
    const int64_t rows = std::min(2 * p_.y.gap * t.rows, c_.axis[1].out - row);
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
    ConvWinogradPixels pixels{};
    for (int64_t point = 0; point < kPoints; ++point)
      pixels.at.of[point] = p_.points[point].pieces > 0 ? point * p_.product_point(j) : -1;
    pixels.filters = panel;
    pixels.tiles = p_.x.tiles;
    pixels.dst_row = p_.y.gap * columns * panel;
    pixels.dst_column = p_.x.gap * panel;
    bool finite = true;
    for (int64_t phase = 0; phase < p_.phases; ++phase) {
      const int64_t y = phase / p_.x.gap, x = phase % p_.x.gap;
      pixels.sum = sums + phase * t.rows * p_.x.tiles * panel * kElem;
      pixels.rows = ceil_div(rows - y, p_.y.gap);
      pixels.columns = ceil_div(columns - x, p_.x.gap);
      pixels.dst = dst + (y * columns + x) * panel * kElem;
      finite &= active_conv_kernels().winograd.pixels(pixels);
    }
    return finite;
  }

  const WinogradPlan& p_;
  const Correlation& c_;
  int64_t* offset_;
  char *filters_, *image_, *scratch_;
  std::atomic<bool> finite_{true};
};

// As the formula takes it: filters prepared for Winograd are none for it.
Correlation unprepared(Correlation c) {
  c.prepared = nullptr;
  return c;
}

size_t workspace_of(const WinogradPlan& p) {
  return static_cast<size_t>(p.offset_bytes + p.shared_filters + p.shared_image +
                             p.scratch_each * max_workers());
}

}  // namespace

size_t correlate_winograd_workspace(const Correlation& c) {
  return std::max(workspace_of(WinogradPlan(c)), correlate_filters_workspace(unprepared(c)));
}

void correlate_winograd(const Correlation& c, void* workspace) {
  const WinogradPlan plan(c);
  if (!WinogradRun(plan, workspace).all()) correlate_filters(unprepared(c), workspace);
}

size_t prepared_winograd_bytes(const Correlation& c) {
  return static_cast<size_t>(WinogradPlan(c).all_filters);
}

void prepare_winograd(const Correlation& c, void* dst) {
  Correlation to = c;
  to.prepared = dst;  // no room for them in the workspace
  const WinogradPlan plan(to);
  const Workspace scratch(workspace_of(plan));
  WinogradRun(plan, scratch.data()).transform_all_filters(dst);
}

}  // namespace fastnn
