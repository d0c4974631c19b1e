// Correlations of one tap: rows of the weight where they lie, times strips of pixels that are
// copied to lie side by side, a strip being what a tile takes (conv_pointwise.h); the first tile of
// a strip copies it. A matrix product would pack the weight, too. This turns it where its rows are
// not adjacent channels, as in the gradient of the input.
//
// Pixels beyond an image's whole vectors, one of the 49 of 7x7, would take a vector for each image:
// those of the batch are gathered into strips of their own, and one that is alone is a product of
// vectors.
#include <algorithm>

#include "cpu/conv_band.h"
#include "cpu/conv_direct.h"
#include "cpu/conv_panel.h"
#include "cpu/conv_source.h"
#include "cpu/gemm_core.h"
#include "cpu/gemm_plan.h"
#include "fastnn/isa.h"
#include "fastnn/parallel.h"

namespace fastnn {

namespace {

constexpr int64_t kElem = 4;
constexpr int64_t kTasks = 16;
constexpr int64_t kTurnedRows = 64;           // of the weight, by a task
constexpr int64_t kMaxDepth = 512;            // channels that a tile sums in registers
constexpr int64_t kSets = 4, kSetStrips = 4;  // sets wanted, if each then has so many strips
// Of pixels: with more of them packing the weight costs little.
constexpr int64_t kMostVectors = 16;
constexpr int64_t kLeastVectors = 3;
// Of one image, whose last pixels no other's fill a vector with, more; then their cost counts less.
constexpr int64_t kLeastChannels = 64, kLeastFilters = 64;
constexpr int64_t kLeastChannelsOfOne = 96, kLeastFiltersOfOne = 128;
constexpr int64_t kTurningPixels = 384;  // in the batch, from which on turning the weight pays

// Columns [first, first + columns) of an image, or of what is gathered.
struct Strip {
  int64_t image;                  // -1: gathered
  int64_t first, columns, width;  // width: whole vectors
};

struct TilesPlan {
  const Correlation& c;
  const ConvPointwise& kernels;
  int64_t pixels, rest, whole;                // of an image: all, those gathered, the others
  bool flat;                                  // an image's pixels are adjacent
  bool turned;                                // the weight, so that a row's channels are adjacent
  bool lone;                                  // one pixel is all that is gathered
  int64_t image_strips, rest_strips, strips;  // of an image, of the batch
  int64_t strip_cells;                        // room for a channel of a strip
  int64_t rows;                               // of a tile
  int64_t sets;                               // of neighbouring strips, which share the cache
  int64_t depth;                              // of the channels, at a time
  int64_t panels, down;                       // of rows: tiles, tasks
  int64_t table_bytes, lone_bytes, turned_row, turned_bytes, strip_bytes, bias_bytes, sum_bytes,
      scratch_each;

  explicit TilesPlan(const Correlation& correlation)
      : c(correlation), kernels(active_conv_kernels().pointwise), pixels(c.pixels()) {
    const int64_t lanes = kernels.lanes;
    rest = pixels % lanes;
    flat = c.axis[1].step == 1 && c.axis[2].step == 1 && c.axis[1].out == c.axis[1].size &&
           c.axis[2].out == c.axis[2].size && pixel_stride(c, c.image) == 1;
    lone = c.batch == 1 && rest == 1;
    turned = c.weight.c != 1;
    whole = pixels - rest;
    image_strips = ceil_div(whole, kernels.vectors * lanes);
    const int64_t vectors = ceil_div(whole / lanes, image_strips);
    strip_cells = vectors * lanes;
    rest_strips = lone ? 0 : ceil_div(c.batch * rest, strip_cells);
    strips = c.batch * image_strips + rest_strips;
    depth = round_up(ceil_div(c.in, ceil_div(c.in, kMaxDepth)), 16);
    rows = kernels.rows_beside(vectors);
    panels = ceil_div(c.out, rows);
    cut();
    const int64_t task_rows = ceil_div(panels, down) * rows;
    const int64_t all = c.in * strip_cells * kElem;
    table_bytes = round_up(strips * static_cast<int64_t>(sizeof(Strip)), 64);
    lone_bytes = lone ? round_up(c.groups * c.in * kElem, 64) : 0;
    turned_row = round_up(c.in, 16) + 16;  // neighbours fall on different cache sets
    turned_bytes = turned ? c.groups * c.out * turned_row * kElem : 0;
    strip_bytes = round_up(ceil_div(strips, sets) * all, 64);
    bias_bytes = round_up(task_rows * kElem, 64);
    sum_bytes = round_up(rows * strip_cells * kElem, 64);
    scratch_each = strip_bytes + bias_bytes + sum_bytes + 64;
  }

  // Half of the second-level cache holds what a set has of `depth` channels.
  void cut() {
    const int64_t room = cache_sizes().l2 / 2 / (strip_cells * std::min(depth, c.in) * kElem);
    sets = std::max(ceil_div(strips, std::max<int64_t>(room, 1)),
                    std::min(kSets, strips / kSetStrips));
    down = std::min(panels, ceil_div(kTasks, c.groups * sets));
  }

  int64_t tasks() const { return c.groups * sets * down; }
  int64_t first_row(int64_t panel) const { return panel * c.out / panels; }
  int64_t first_strip(int64_t set) const { return set * strips / sets; }
};

class TilesRun {
 public:
  TilesRun(const TilesPlan& plan, void* workspace)
      : p_(plan),
        c_(plan.c),
        table_(static_cast<Strip*>(workspace)),
        lone_(reinterpret_cast<float*>(static_cast<char*>(workspace) + p_.table_bytes)),
        weight_(c_.weight),
        scratch_(static_cast<char*>(workspace) + p_.table_bytes + p_.lone_bytes + p_.turned_bytes) {
    if (p_.turned) {
      weight_.data = static_cast<char*>(workspace) + p_.table_bytes + p_.lone_bytes;
      weight_.o = p_.turned_row;
      weight_.group = c_.out * p_.turned_row;
    }
    for (int64_t i = 0; i < p_.strips; ++i) table_[i] = strip_at(i);
    for (int i = 0; i < max_workers(); ++i) held(i) = -1;
  }

  void all() const {
    if (p_.turned) turn_weight();
    if (p_.lone) {
      const float* from = pixel(0, 0, p_.whole);
      for (int64_t i = 0; i < c_.groups * c_.in; ++i) lone_[i] = from[i * c_.image.c];
    }
    parallel_for(p_.tasks(), [&](int64_t i, int worker) {
      const Task t = task_at(i, worker);
      const bool fresh = held(worker) != i / p_.down;
      if (fresh) pack_set(t);
      held(worker) = i / p_.down;
      run(t, fresh);
    });
  }

 private:
  struct Task {
    int64_t group, strip0, strip1, panel0, panel1, row0;
    char* strips;
    float *bias, *sum;
  };

  // Neighbours have the same strips.
  Task task_at(int64_t number, int worker) const {
    const int64_t part = number % p_.down, set = number / p_.down % p_.sets;
    Task t;
    t.group = number / p_.down / p_.sets;
    t.strip0 = p_.first_strip(set);
    t.strip1 = p_.first_strip(set + 1);
    t.panel0 = part * p_.panels / p_.down;
    t.panel1 = (part + 1) * p_.panels / p_.down;
    t.row0 = p_.first_row(t.panel0);
    char* const mine = scratch_ + worker * p_.scratch_each;
    t.strips = mine;
    t.bias = reinterpret_cast<float*>(mine + p_.strip_bytes);
    t.sum = reinterpret_cast<float*>(mine + p_.strip_bytes + p_.bias_bytes);
    return t;
  }

  // The set whose strips a worker has copied, one after the other for the same worker mostly: what
  // another one copied would be slow to get.
  int64_t& held(int worker) const {
    return *reinterpret_cast<int64_t*>(scratch_ + (worker + 1) * p_.scratch_each - 64);
  }

  // ---- Pixels ----

  Strip strip_at(int64_t number) const {
    const int64_t lanes = p_.kernels.lanes, own = c_.batch * p_.image_strips;
    const bool gathered = number >= own;
    const int64_t all = gathered ? c_.batch * p_.rest : p_.whole, vectors = ceil_div(all, lanes);
    const int64_t count = gathered ? p_.rest_strips : p_.image_strips;
    const int64_t i = gathered ? number - own : number % count;
    const int64_t first = i * vectors / count * lanes;
    return {gathered ? -1 : number / count, first,
            std::min(all, (i + 1) * vectors / count * lanes) - first,
            (i + 1) * vectors / count * lanes - first};
  }

  float* strip(const Task& t, int64_t number) const {
    return reinterpret_cast<float*>(t.strips) + (number - t.strip0) * c_.in * p_.strip_cells;
  }

  const float* pixel(int64_t image, int64_t channel, int64_t number) const {
    const ConvImageView& v = c_.image;
    const int64_t x = c_.axis[2].out, row = number / x;
    return reinterpret_cast<const float*>(v.data) + image * v.n + channel * v.c +
           row * c_.axis[1].step * v.axis[1] + number % x * c_.axis[2].step * v.axis[2];
  }

  void pack_set(const Task& t) const {
    ConvSource source = conv_source(c_);
    source.data = c_.image.data + t.group * c_.in * c_.image.c * kElem;
    for (int64_t i = t.strip0; i < t.strip1; ++i) {
      const Strip& s = table_[i];
      float* dst = strip(t, i);
      if (s.image < 0)
        gather(t.group, s, dst);
      else if (!p_.flat)
        active_conv_kernels().f32.pixels(
            source, {dst, static_cast<int>(s.width), static_cast<int>(s.columns), s.first, 0, c_.in,
                     s.image * p_.pixels});
    }
  }

  // The last pixels of an image are adjacent: what one of them brings near, the others find.
  void gather(int64_t group, const Strip& s, float* dst) const {
    int64_t run;
    for (int64_t i = 0; i < s.columns; i += run) {
      const int64_t image = (s.first + i) / p_.rest, first = (s.first + i) % p_.rest;
      run = p_.flat ? std::min(p_.rest - first, s.columns - i) : 1;
      const float* from = pixel(image, group * c_.in, p_.whole + first);
      for (int64_t k = 0; k < c_.in; ++k)
        std::copy_n(from + k * c_.image.c, run, dst + k * s.width + i);
    }
    for (int64_t k = 0; k < c_.in; ++k)
      std::fill(dst + k * s.width + s.columns, dst + (k + 1) * s.width, 0.0f);
  }

  // ---- Rows ----

  void turn_weight() const {
    const int64_t blocks = ceil_div(c_.out, kTurnedRows);
    parallel_for(c_.groups * blocks, [&](int64_t i, int) {
      const int64_t group = i / blocks, row = i % blocks * kTurnedRows;
      const ConvWeightView& w = c_.weight;
      gemm_family(c_.dtype).pack({weights(weight_, group, row), static_cast<int>(p_.turned_row),
                                  weights(w, group, row), c_.dtype, w.c, w.o,
                                  static_cast<int>(c_.in), std::min(kTurnedRows, c_.out - row)});
    });
  }

  // Fresh: the first panel copies the strips.
  void run(const Task& t, bool fresh) const {
    const int64_t rows = p_.first_row(t.panel1) - t.row0;
    if (c_.bias) fetch_bias(c_, t.group, t.row0, rows, reinterpret_cast<char*>(t.bias));
    for (int64_t k = 0; k < c_.in; k += p_.depth)
      for (int64_t i = t.panel0; i < t.panel1; ++i)
        run_panel(t, i, k, fresh && i == t.panel0 && p_.flat);
  }

  static float* weights(const ConvWeightView& w, int64_t group, int64_t row) {
    return reinterpret_cast<float*>(w.data) + group * w.group + row * w.o;
  }
  const float* filters(const Task& t, int64_t row) const { return weights(weight_, t.group, row); }
  float* result(const Task& t, int64_t image, int64_t row, int64_t column) const {
    return reinterpret_cast<float*>(c_.result.data) + image * c_.result.n +
           (t.group * c_.out + row) * c_.result.c + column;
  }

  void run_panel(const Task& t, int64_t panel, int64_t k, bool copies) const {
    const int64_t row = p_.first_row(panel);
    ConvPointwiseTile tile{};
    tile.rows = static_cast<int>(p_.first_row(panel + 1) - row);
    tile.k = std::min(p_.depth, c_.in - k);
    tile.first = k == 0;
    if (p_.lone && k == 0 && t.strip0 == 0) lone_pixel(t, row, tile.rows);
    if (k + p_.depth >= c_.in) {
      tile.bias = c_.bias ? t.bias + (row - t.row0) : nullptr;
      tile.rectifier = rectifier_of(c_.activation);
    }
    set_rows(t, tile, row, k);
    for (int64_t i = t.strip0; i < t.strip1; ++i) {
      const Strip& s = table_[i];
      tile.columns = static_cast<int>(s.columns);
      tile.b = strip(t, i) + k * s.width;
      if (s.image < 0) {
        gathered_tile(t, tile, s, row);
      } else {
        tile.out = result(t, s.image, row, s.first);
        tile.out_row = c_.result.c;
        tile.from = copies ? pixel(s.image, t.group * c_.in + k, s.first) : nullptr;
        tile.from_k = c_.image.c;
        p_.kernels.tile(tile);
      }
      tile.ahead = tile.a;
    }
  }

  void set_rows(const Task& t, ConvPointwiseTile& tile, int64_t row, int64_t k) const {
    tile.a = filters(t, row) + k;
    tile.a_row = tile.ahead_row = weight_.o;
    tile.ahead = tile.a;
    if (row + 2 * tile.rows <= c_.out) tile.ahead += tile.rows * tile.a_row;
  }

  // All channels at once: this reads the weight in long runs, before the tiles want it.
  void lone_pixel(const Task& t, int64_t row, int rows) const {
    GemmVector v{};
    v.x = lone_ + t.group * c_.in;
    v.b = filters(t, row);
    v.lane_stride = weight_.o;
    v.k_stride = 1;
    v.k = c_.in;
    v.n = rows;
    v.y = t.sum;
    v.m = 1;
    gemm_family(c_.dtype).vector(v);
    const Rectifier rectifier = rectifier_of(c_.activation);
    for (int64_t r = 0; r < rows; ++r) {
      const float y = t.sum[r] + (c_.bias ? t.bias[row - t.row0 + r] : 0.0f);
      *result(t, 0, row + r, p_.whole) = rectifier.on ? rectified(rectifier, y) : y;
    }
  }

  // A tile whose sums go to the ends of images.
  void gathered_tile(const Task& t, ConvPointwiseTile& tile, const Strip& s, int64_t row) const {
    const auto each = [&](auto move) {
      int64_t image = s.first / p_.rest, i = s.first % p_.rest;
      for (int64_t column = 0; column < s.columns; ++column) {
        float* at = result(t, image, row, p_.whole + i);
        for (int64_t r = 0; r < tile.rows; ++r)
          move(at[r * c_.result.c], t.sum[r * p_.strip_cells + column]);
        if (++i == p_.rest) ++image, i = 0;
      }
    };
    tile.out = t.sum;
    tile.out_row = p_.strip_cells;
    tile.from = nullptr;
    if (!tile.first) each([](float& result, float& sum) { sum = result; });
    p_.kernels.tile(tile);
    each([](float& result, float& sum) { result = sum; });
  }

  const TilesPlan& p_;
  const Correlation& c_;
  Strip* const table_;
  float* const lone_;
  ConvWeightView weight_;  // whose rows are adjacent channels
  char* const scratch_;
};

}  // namespace

bool prefers_pointwise_tiles(const Correlation& c) {
  const bool plain = c.activation == Activation::none || rectifies(c.activation);
  const ConvPointwise& kernels = active_conv_kernels().pointwise;
  const int64_t pixels = c.pixels(), channels = c.batch == 1 ? kLeastChannelsOfOne : kLeastChannels;
  const int64_t filters = c.batch == 1 ? kLeastFiltersOfOne : kLeastFilters;
  // Turned, it should stay in the second-level cache.
  const bool turns = c.weight.o == 1 && c.batch * pixels >= kTurningPixels &&
                     c.in * c.out * kElem <= cache_sizes().l2;
  return reads_pixels(c) && plain && !c.prepared && c.dtype == DType::f32 && two_axes(c) &&
         (c.weight.c == 1 || turns) && pixel_stride(c, c.result) == 1 && c.batch > 0 &&
         c.groups > 0 && c.image.c != 1 && pixels >= kLeastVectors * kernels.lanes &&
         pixels <= kMostVectors * kernels.lanes && c.in >= channels && c.out >= filters;
}

size_t correlate_pointwise_tiles_workspace(const Correlation& c) {
  const TilesPlan p(c);
  return static_cast<size_t>(p.table_bytes + p.lone_bytes + p.turned_bytes +
                             p.scratch_each * max_workers());
}

void correlate_pointwise_tiles(const Correlation& c, void* workspace) {
  const TilesPlan plan(c);
  TilesRun(plan, workspace).all();
}

}  // namespace fastnn
