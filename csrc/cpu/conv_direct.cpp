#include "cpu/conv_direct.h"

#include "cpu/conv_band.h"
#include "cpu/gemm_core.h"

namespace fastnn {

namespace {

constexpr int64_t kBandBytes = 192 << 10;
constexpr int64_t kTaskWork = 200000;  // multiply-adds

// How one correlation is cut: filters in blocks, output rows in bands. A task computes some of the
// blocks for a band.
struct RowPlan {
  const Correlation& c;
  const ConvDirect& kernels;
  Bands bands;
  int64_t elem, k, filter_blocks, block_groups, rows, row_bands, per_task;
  bool stencil;   // one channel, one filter, a kernel that has its own code
  bool straight;  // the kernels write the result where it lies
  int64_t weight_bytes, offset_bytes, bias_bytes, band_bytes, stage_bytes, scratch_each;

  explicit RowPlan(const Correlation& correlation)
      : c(correlation),
        kernels(conv_direct_kernels(c.dtype)),
        bands(c, round_up(c.axis[2].out, kernels.lanes) - c.axis[2].out),
        elem(c.dtype == DType::f64 ? 8 : 4) {
    k = c.in * c.taps();
    filter_blocks = (c.out + kernels.max_filters - 1) / kernels.max_filters;
    const int64_t row_bytes = std::max<int64_t>(1, c.in * bands.pitch * elem);
    const int64_t fit = (kBandBytes / row_bytes - bands.span_y) / bands.step_y + 1;
    const int64_t work = std::max<int64_t>(1, c.axis[2].out * c.out * k);
    const int64_t all_rows = std::max<int64_t>(1, c.axis[1].out);
    rows = std::clamp<int64_t>(fit, std::min<int64_t>(4, all_rows), all_rows);
    if (work * rows > 8 * kTaskWork)  // more tasks
      rows = std::clamp<int64_t>(8 * kTaskWork / work, std::min<int64_t>(8, rows), rows);
    const int64_t threads = threads_for(work * all_rows);
    block_groups = rows == all_rows && filter_blocks >= threads ? threads : 1;
    if (block_groups == 1) rows = std::min(rows, (all_rows + threads - 1) / threads);
    row_bands = (c.axis[1].out + rows - 1) / rows;
    if (row_bands > 1) even_out(threads);
    per_task = std::max<int64_t>(1, kTaskWork * block_groups / (work * rows));
    straight = c.elem() == elem && (c.result.axis[2] == 1 || c.axis[2].out == 1) &&
               (c.activation == Activation::none || rectifies(c.activation));
    weight_bytes = round_up(c.groups * c.out * k * elem, 64);
    offset_bytes = round_up(k * 8, 64);
    bias_bytes = round_up(c.groups * c.out * elem, 64);
    band_bytes = round_up(c.in * bands.rows(rows) * bands.pitch * elem + kernels.lanes * elem, 64);
    const ConvAxis &y = c.axis[1], &x = c.axis[2];
    stencil = c.in == 1 && c.out == 1 && y.taps == x.taps && (x.taps == 3 || x.taps == 5) &&
              std::abs(y.tap_step) == 1 && std::abs(x.tap_step) == 1 && y.step == x.step &&
              x.step <= 2;
    const int64_t staged =
        stencil ? rows * x.out : kernels.max_filters * kConvVectors * kernels.lanes;
    stage_bytes = straight ? 0 : round_up(staged * elem, 64);
    scratch_each = band_bytes + stage_bytes;
  }
  // Of an image of few: as far as there is work. Sums are the same for all cuts. Where a band has
  // all rows, threads share the filters: a pool behind this shares whole planes, and finds them in
  // the cache of the core that wrote them.
  int64_t threads_for(int64_t image_work) const {
    const int64_t images = std::max<int64_t>(1, c.batch * c.groups);
    const int64_t most = std::max<int64_t>(1, image_work / (2 * kTaskWork) + 1);
    return std::min(most, (max_workers() + images - 1) / images);
  }
  // Bands as alike as they can be; of few images as many for each thread.
  void even_out(int64_t threads) {
    if (row_bands * threads < c.axis[1].out)
      row_bands = (row_bands + threads - 1) / threads * threads;
    rows = (c.axis[1].out + row_bands - 1) / row_bands;
    row_bands = (c.axis[1].out + rows - 1) / rows;
  }
  int64_t tasks() const { return c.batch * c.groups * row_bands * block_groups; }
  int64_t filters(int64_t block) const {
    return (block + 1) * c.out / filter_blocks - first(block);
  }
  int64_t first(int64_t block) const { return block * c.out / filter_blocks; }
};

class RowRun {
 public:
  RowRun(const RowPlan& plan, void* workspace)
      : p_(plan), c_(plan.c), weight_(static_cast<char*>(workspace)) {
    char* const after = weight_ + p_.weight_bytes;
    offset_ = reinterpret_cast<int64_t*>(after);
    bias_ = after + p_.offset_bytes;
    scratch_ = bias_ + p_.bias_bytes;
    rectifier_ = rectifier_of(c_.activation);
    if (c_.prepared) weight_ = static_cast<char*>(const_cast<void*>(c_.prepared));
  }

  void all() {
    if (!c_.prepared) pack_weights();
    fill_offsets();
    fetch_bias();
    parallel_blocks(p_.tasks(), p_.per_task, [&](int64_t begin, int64_t end, int worker) {
      char* scratch = scratch_ + worker * p_.scratch_each;
      for (int64_t i = begin; i < end; ++i) {
        const int64_t part = i % p_.block_groups, b = i / p_.block_groups;
        band(b / p_.row_bands / c_.groups, b / p_.row_bands % c_.groups, b % p_.row_bands, part,
             scratch);
      }
    });
  }

  // As [group][block][k][filter].
  void pack_weights() const {
    const ConvKernels& kernels = active_conv_kernels();
    const ConvPackers& pack = p_.elem == 8 ? kernels.f64 : kernels.f32;
    for (int64_t g = 0; g < c_.groups; ++g)
      for (int64_t b = 0; b < p_.filter_blocks; ++b) {
        const ConvFilter f{c_.weight.data + g * c_.weight.group * c_.elem(),
                           c_.dtype,
                           c_.weight.o,
                           c_.weight.c,
                           {c_.weight.axis[0], c_.weight.axis[1], c_.weight.axis[2]},
                           c_.in,
                           {c_.axis[0].taps, c_.axis[1].taps, c_.axis[2].taps},
                           false};
        if (p_.stencil) {
          stencil_weights(f, weights(g, b), pack);
          continue;
        }
        const int width = static_cast<int>(p_.filters(b));
        pack.filter(f, {weights(g, b), width, width, p_.first(b), 0, p_.k, 0});
      }
  }

 private:
  // Where the taps are.
  void fill_offsets() {
    int64_t at = 0;
    for (int64_t i = 0; i < c_.in; ++i)
      for (int64_t y = 0; y < c_.axis[1].taps; ++y)
        for (int64_t x = 0; x < c_.axis[2].taps; ++x)
          offset_[at++] = i * plane() + p_.bands.tap(c_, y, x);
  }
  // In the type of sums.
  void fetch_bias() const {
    if (!c_.bias) return;
    const GemmFamily& family = gemm_family(c_.dtype);
    family.pack(
        {bias_, 1, c_.bias.data, c_.bias.dtype, 0, c_.bias.stride[0], 1, c_.groups * c_.out});
  }
  // In the order of the band's columns and rows, which taps with a negative step run against.
  void stencil_weights(ConvFilter f, char* dst, const ConvPackers& pack) const {
    for (int a = 1; a < 3; ++a)
      if (c_.axis[a].tap_step < 0) {
        f.data = static_cast<const char*>(f.data) + (f.taps[a] - 1) * f.stride[a] * c_.elem();
        f.stride[a] = -f.stride[a];
      }
    pack.filter(f, {dst, 1, 1, 0, 0, p_.k, 0});
  }
  char* weights(int64_t g, int64_t block) const {
    return weight_ + (g * c_.out + p_.first(block)) * p_.k * p_.elem;
  }
  int64_t plane() const { return p_.bands.rows(p_.rows) * p_.bands.pitch; }

  // Part `part` of the filters for a band.
  void band(int64_t n, int64_t g, int64_t number, int64_t part, char* scratch) const {
    const int64_t row0 = number * p_.rows, rows = std::min(p_.rows, c_.axis[1].out - row0);
    for (int64_t i = 0; i < c_.in; ++i)
      p_.kernels.band(
          p_.bands.band(c_, n, g * c_.in + i, row0, rows, scratch + i * plane() * p_.elem));
    if (p_.stencil) return plane(n, g, row0, rows, scratch);
    const int64_t per_row = (c_.axis[2].out + p_.kernels.lanes - 1) / p_.kernels.lanes;
    const int64_t last = (part + 1) * p_.filter_blocks / p_.block_groups;
    for (int64_t b = part * p_.filter_blocks / p_.block_groups; b < last; ++b) {
      ConvRowTile t;
      t.weight = weights(g, b);
      t.offset = offset_;
      t.k = p_.k;
      t.filters = static_cast<int>(p_.filters(b));
      const int64_t o = g * c_.out + p_.first(b);
      t.bias = c_.bias ? bias_ + o * p_.elem : nullptr;
      t.rectifier = rectifier_;
      const int64_t total = rows * per_row, most = p_.kernels.vectors(t.filters);
      const int64_t tiles = (total + most - 1) / most;  // of nearly the same size
      for (int64_t i = 0; i < tiles; ++i)
        tile(t, n, o, row0, i * total / tiles, (i + 1) * total / tiles, per_row, scratch);
    }
  }

  // One channel under one filter.
  void plane(int64_t n, int64_t g, int64_t row0, int64_t rows, char* scratch) const {
    ConvPlane t;
    t.kernel = static_cast<int>(c_.axis[1].taps);
    t.step = static_cast<int>(c_.axis[1].step);
    t.weight = weights(g, 0);
    for (int64_t i = 0; i < t.kernel; ++i)
      t.column[i] = i % p_.bands.phases * p_.bands.width + i / p_.bands.phases;
    t.src = scratch;
    t.pitch = p_.bands.pitch;
    t.rows = rows;
    t.pixels = c_.axis[2].out;
    t.bias = c_.bias ? bias_ + g * p_.elem : nullptr;
    t.rectifier = rectifier_;
    char* out =
        c_.result.data + (n * c_.result.n + g * c_.result.c + row0 * c_.result.axis[1]) * c_.elem();
    t.dst = p_.straight ? out : scratch + p_.band_bytes;
    t.dst_row = p_.straight ? c_.result.axis[1] : t.pixels;
    p_.kernels.plane(t);
    if (p_.straight) return;
    const GemmFamily& family = gemm_family(c_.dtype);
    for (int64_t r = 0; r < rows; ++r)
      family.finish({static_cast<char*>(t.dst) + r * t.pixels * p_.elem, t.dst_row, 1,
                     static_cast<int>(t.pixels), activation_left(),
                     out + r * c_.result.axis[1] * c_.elem(), c_.dtype, c_.result.axis[1],
                     c_.result.axis[2]});
  }
  Activation activation_left() const { return rectifier_.on ? Activation::none : c_.activation; }

  // Vectors [begin, end) of a band, numbered row by row.
  void tile(ConvRowTile& t, int64_t n, int64_t o, int64_t row0, int64_t begin, int64_t end,
            int64_t per_row, char* scratch) const {
    char* stage = scratch + p_.band_bytes;
    char* out[kConvVectors];
    const int lanes = p_.kernels.lanes;
    t.vectors = static_cast<int>(end - begin);
    t.dst_filter = p_.straight ? c_.result.c : t.vectors * lanes;
    int64_t row = begin / per_row, x = begin % per_row * lanes;
    char* const first =
        c_.result.data + (n * c_.result.n + o * c_.result.c + row0 * c_.result.axis[1]) * c_.elem();
    for (int v = 0; v < t.vectors; ++v) {
      out[v] = first + (row * c_.result.axis[1] + x * c_.result.axis[2]) * c_.elem();
      t.src[v] = scratch + (row * p_.bands.step_y * p_.bands.pitch + x) * p_.elem;
      t.lanes[v] = static_cast<int>(std::min<int64_t>(lanes, c_.axis[2].out - x));
      t.dst[v] = p_.straight ? out[v] : stage + v * lanes * p_.elem;
      x += lanes;
      if (x >= c_.axis[2].out) {
        x = 0;
        ++row;
      }
    }
    p_.kernels.rows(t);
    if (p_.straight) return;
    for (int v = 0; v < t.vectors; ++v)
      gemm_family(c_.dtype).finish({stage + v * lanes * p_.elem, t.dst_filter, t.filters,
                                    t.lanes[v], activation_left(), out[v], c_.dtype, c_.result.c,
                                    c_.result.axis[2]});
  }

  const RowPlan& p_;
  const Correlation& c_;
  char* weight_;
  int64_t* offset_;
  char *bias_, *scratch_;
  Rectifier rectifier_;
};

}  // namespace

bool is_first_layer(const Correlation& c) {
  const int64_t lanes = conv_direct_kernels(c.dtype).lanes, x = c.axis[2].out;
  constexpr int64_t kManyLanes = 16;  // and many registers: with fewer, filters side by side win
  return lanes >= kManyLanes && two_axes(c) && c.in <= 3 && c.groups == 1 && c.taps() > 1 &&
         c.in * c.taps() <= 147 && c.axis[2].step <= 2 && c.result.axis[2] == 1 &&
         10 * x >= 9 * round_up(x, lanes);
}

bool prefers_direct(const Correlation& c) {
  if (is_first_layer(c)) return true;
  if (!two_axes(c) || c.taps() == 0 || c.in == 0 || c.axis[2].step > 4) return false;
  const int64_t k = c.in * c.taps();
  if (k > 640 || c.out > 16) return false;
  if (c.taps() == 1 && c.groups == 1 && c.out > 4) return false;
  const int64_t lanes = conv_direct_kernels(c.dtype).lanes, x = c.axis[2].out;
  const bool filled = 2 * x > (x + lanes - 1) / lanes * lanes;
  return filled || c.groups >= 4 || c.out <= 8;
}

size_t correlate_direct_workspace(const Correlation& c) {
  const RowPlan p(c);
  return static_cast<size_t>(p.weight_bytes + p.offset_bytes + p.bias_bytes +
                             p.scratch_each * max_workers());
}

void correlate_direct(const Correlation& c, void* workspace) {
  if (c.batch == 0 || c.out == 0 || c.pixels() == 0) return;
  const RowPlan plan(c);
  RowRun(plan, workspace).all();
}

size_t prepared_direct_bytes(const Correlation& c) {
  return static_cast<size_t>(RowPlan(c).weight_bytes);
}

void prepare_direct(const Correlation& c, void* dst) {
  const RowPlan plan(c);
  RowRun(plan, dst).pack_weights();
}

}  // namespace fastnn
