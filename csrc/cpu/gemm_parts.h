// Where the operands, sums and results of a product lie, and the steps that all its tasks share;
// gemm_core.cpp puts them in order.
#pragma once

#include <algorithm>
#include <cstring>
#include <utility>

#include "cpu/gemm_core.h"
#include "cpu/gemm_plan.h"

namespace fastnn {

struct GemmRange {
  int64_t begin, end;
  int64_t size() const { return end - begin; }
};

// A block of the output, on one worker.
struct GemmTask {
  char* scratch;
  GemmRange rows, columns, k;
  int64_t batch, segment;
  int64_t next;  // the task that this worker will probably run next, or -1
  GemmPointers at;
  const void* bias_m;
  const void* bias_n;
  bool first, last;  // k-block of the sum
};

// Memory that is packed next: `runs` of `pieces` of kAheadBytes, `stride` bytes apart.
struct GemmSource {
  const char* base = nullptr;
  int64_t runs = 0, pieces = 0, stride = 0;
  int64_t cells() const { return runs * pieces; }
};

// Caches further away than the second answer slowly, and packing can only wait for them: tiles
// ask before, each in its turn for as many cells as it has steps.
struct GemmAhead {
  GemmSource b, a;
  bool any() const { return b.base || a.base; }

  void aim(GemmTile& tile, int64_t number) const {
    int64_t cell = number * (tile.k / GemmTile::kAheadStep);
    const GemmSource& s = cell < b.cells() ? b : a;
    if (cell >= b.cells()) cell -= b.cells();
    const bool more = cell < s.cells();
    tile.ahead =
        more ? s.base + cell % s.runs * s.stride + cell / s.runs * GemmTile::kAheadBytes : tile.a;
    tile.ahead_step = more ? s.stride : 0;
  }

  // For B that is not packed: along its rows, where the caches' own guesses help.
  void aim_along(GemmTile& tile, int64_t number) const {
    const int64_t cell = number * (tile.k / GemmTile::kAheadStep) * tile.ahead_pieces;
    const int64_t run = cell / b.pieces, piece = cell % b.pieces;
    const char* at = b.base + run * b.stride + piece * GemmTile::kAheadBytes;
    tile.ahead = cell < b.cells() ? at : nullptr;
    tile.ahead_step = b.stride - b.pieces * GemmTile::kAheadBytes;
    tile.ahead_left = b.pieces - piece;
    tile.ahead_run = b.pieces;
  }
};

class GemmParts {
 protected:
  using Range = GemmRange;
  using Task = GemmTask;

  GemmParts(const GemmProblem& problem, bool swapped, const GemmPlan& plan, void* workspace)
      : p_(problem),
        swapped_(swapped),
        plan_(plan),
        f_(*plan.family),
        space_(static_cast<char*>(workspace)),
        sum_type_(problem.dtype == DType::f64 ? DType::f64 : DType::f32),
        in_size_(static_cast<int64_t>(size_of(problem.dtype))),
        out_size_(static_cast<int64_t>(size_of(problem.c.dtype))) {}

  static const char* offset(const void* p, int64_t elements, int64_t size) {
    return static_cast<const char*>(p) + elements * size;
  }
  static char* offset(void* p, int64_t elements, int64_t size) {
    return static_cast<char*>(p) + elements * size;
  }

  // ---- Operands ----

  GemmPointers pointers(int64_t batch) const {
    GemmPointers at{p_.a.data, p_.b.data, p_.c.data, p_.bias_m.data, p_.bias_n.data};
    if (!p_.locate) return at;
    if (swapped_) swap_sides(at);
    p_.locate(p_.locate_context, batch, at);
    if (swapped_) swap_sides(at);
    return at;
  }
  static void swap_sides(GemmPointers& at) {
    std::swap(at.a, at.b);
    std::swap(at.bias_m, at.bias_n);
  }

  Range k_block(Range whole, int64_t block) const {
    const int64_t begin = whole.begin + block * plan_.kc;
    return {begin, std::min(whole.end, begin + plan_.kc)};
  }

  int64_t panel_bytes(int lanes) const { return fastnn::panel_bytes(plan_, lanes); }
  char* shared_a(int64_t panel, int64_t block) const {
    const int64_t panels = ceil_div(p_.m, f_.mr);
    return space_ + plan_.shared_a + (block * panels + panel) * panel_bytes(f_.a_panel);
  }
  char* shared_b(int64_t panel, int64_t block) const {
    const int64_t panels = ceil_div(columns_.size(), f_.nr);
    return space_ + plan_.shared_b + (block * panels + panel) * panel_bytes(f_.nr);
  }
  char* own_b(const Task& t, int64_t j) const {
    return t.scratch + plan_.scratch_b + (j - t.columns.begin) / f_.nr * panel_bytes(f_.nr);
  }

  char* scratch_of(int worker) const {
    return space_ + plan_.scratch + worker * plan_.scratch_each;
  }

  // `scratch`: the worker's.
  void pack_a(const GemmPointers& at, int64_t batch, int64_t i, Range k, void* dst,
              char* scratch) const {
    pack(f_.pack_a, p_.a, at.a, batch, i, std::min<int64_t>(f_.mr, p_.m - i), f_.a_panel, k, dst,
         scratch);
  }
  void pack_b(const GemmPointers& at, int64_t batch, int64_t j, Range k, void* dst,
              char* scratch) const {
    pack(f_.pack_b, p_.b, at.b, batch, j, std::min<int64_t>(f_.nr, p_.n - j), f_.nr, k, dst,
         scratch);
  }
  void pack(void (*kernel)(const GemmPack&), const GemmOperand& x, const void* data, int64_t batch,
            int64_t lane, int64_t width, int panel, Range k, void* dst, char* scratch) const {
    const int lanes = static_cast<int>(width);
    if (x.pack && cuts_values(f_)) {
      char* const floats = scratch + plan_.scratch_floats;
      if (x.source) return kernel(pack_of_runs(x, lane, lanes, panel, k, dst, floats));
      x.pack(x.context, {floats, panel, lanes, batch, lane, k.begin, k.size()});
      return kernel({dst, panel, floats, sum_type_, 1, panel, lanes, k.size()});
    }
    if (x.pack) return x.pack(x.context, {dst, panel, lanes, batch, lane, k.begin, k.size()});
    kernel({dst, panel, offset(data, lane * x.lane_stride + k.begin * x.k_stride, in_size_),
            p_.dtype, x.lane_stride, x.k_stride, lanes, k.size()});
  }

  // Lanes in one run each are packed from where they are, others from `room`, where their runs are
  // put together.
  GemmPack pack_of_runs(const GemmOperand& x, int64_t lane, int lanes, int panel, Range k,
                        void* dst, char* room) const {
    int64_t run;
    const void* at = x.source(x.context, lane, k.begin, &run);
    if (run >= k.size()) return {dst, panel, at, p_.dtype, x.lane_stride, 1, lanes, k.size()};
    for (int64_t i = k.begin; i < k.end; i += run) {
      const auto* from = static_cast<const char*>(x.source(x.context, lane, i, &run));
      const auto bytes = static_cast<size_t>(std::min(run, k.end - i) * in_size_);
      for (int64_t j = 0; j < lanes; ++j)
        memcpy(room + (j * k.size() + i - k.begin) * in_size_, from + j * x.lane_stride * in_size_,
               bytes);
    }
    return {dst, panel, room, p_.dtype, k.size(), 1, lanes, k.size()};
  }

  // The bias of the task's rows and columns, adjacent and in the type of the sums.
  void fetch_bias(Task& t) const {
    char* room = t.scratch + plan_.scratch_bias;
    t.bias_n = fetch(p_.bias_n, t.at.bias_n, t.columns, room);
    if (p_.bias_n.data) room += round_up(plan_.nb * plan_.sum, 64);
    t.bias_m = fetch(p_.bias_m, t.at.bias_m, t.rows, room);
  }
  const void* fetch(const GemmBias& bias, const void* data, Range lanes, void* room) const {
    if (!bias.data) return nullptr;
    const void* from =
        offset(data, lanes.begin * bias.stride, static_cast<int64_t>(size_of(bias.dtype)));
    if (bias.stride == 1 && bias.dtype == sum_type_) return from;
    // As a panel of one lane: k runs over the values.
    f_.pack({room, 1, from, bias.dtype, 0, bias.stride, 1, lanes.size()});
    return room;
  }

  // What a task reads of an operand, as memory to fetch.
  GemmSource source_of(const GemmOperand& x, const void* data, Range lanes, Range k) const {
    const int64_t lane = x.lane_stride * in_size_, row = x.k_stride * in_size_;
    const int64_t k_pieces = ceil_div(k.size() * in_size_, GemmTile::kAheadBytes);
    if (x.source) {
      int64_t run;
      const auto* base = static_cast<const char*>(x.source(x.context, lanes.begin, k.begin, &run));
      return {base, lanes.size(), k_pieces, lane};
    }
    if (x.pack) return {};
    const char* base = static_cast<const char*>(data) + lanes.begin * lane + k.begin * row;
    if (x.lane_stride == 1)
      return {base, k.size(), ceil_div(lanes.size() * in_size_, GemmTile::kAheadBytes), row};
    if (x.k_stride == 1) return {base, lanes.size(), k_pieces, lane};
    return {};
  }

  // ---- Results ----

  // Sums are the result.
  bool is_plain() const {
    return p_.alpha == 1 && p_.beta == 0 && !p_.bias_m.data && !p_.bias_n.data && !plan_.staged &&
           p_.activation == Activation::none && p_.c.col == 1;
  }

  void gather_output(const void* out, int m, int n, void* tile) const {
    f_.pack({tile, f_.nr, out, p_.c.dtype, p_.c.col, p_.c.row, n, m});
  }

  // Whether the next tile may store this one.
  bool can_wait(const GemmTile& tile) const {
    return f_.stores_behind && tile.n == f_.nr && p_.c.dtype == DType::bf16 && p_.c.col == 1 &&
           !p_.c.place && (p_.activation == Activation::none || rectifies(p_.activation));
  }

  GemmFinish finish_of(const GemmTile& tile, void* out) const {
    const bool done = rectifies(p_.activation);
    return {tile.c, tile.c_row, tile.m,   tile.n,  done ? Activation::none : p_.activation,
            out,    p_.c.dtype, p_.c.row, p_.c.col};
  }

  void finish(const GemmTile& tile, void* out, int64_t i, int64_t j) const {
    GemmFinish f = finish_of(tile, out);
    if (!p_.c.place) return f_.finish(f);
    for (int at = 0; at < tile.n; at += f.n) {
      int64_t run;
      const int64_t column = p_.c.place(p_.c.place_context, j + at, &run);
      f.tile = offset(tile.c, at, plan_.sum);
      f.n = static_cast<int>(std::min<int64_t>(run, tile.n - at));
      f.out = offset(p_.c.data, i * p_.c.row + column, out_size_);
      f_.finish(f);
    }
  }

  char* partial_sums(int64_t segment, int64_t i, int64_t j) const {
    return space_ + plan_.partial + ((segment * p_.m + i) * p_.n + j) * plan_.sum;
  }

  // A tile in scratch for sums that were made elsewhere.
  GemmTile waiting_tile(const Task& t, int64_t j) const {
    GemmTile tile{};
    tile.m = static_cast<int>(t.rows.size());
    tile.n = static_cast<int>(std::min<int64_t>(f_.nr, t.columns.end - j));
    tile.c = t.scratch + plan_.scratch_stage;
    tile.c_row = f_.nr;
    return tile;
  }

  // Alpha, beta, bias, activation and store for a waiting tile: the kernels' last steps, with no K.
  void complete(const Task& t, GemmTile& tile, int64_t j) const {
    const int64_t i = t.rows.begin, cells = f_.mr * f_.nr;
    void* sum = tile.c;
    char* out = offset(t.at.c, i * p_.c.row + j * p_.c.col, out_size_);
    tile.src = sum;
    tile.src_row = f_.nr;
    tile.beta = p_.alpha;
    if (p_.beta != 0) {
      f_.packed(tile);  // alpha * sum
      char* old = offset(sum, cells, plan_.sum);
      gather_output(out, tile.m, tile.n, old);
      tile.c = old;
      tile.src = old;
      tile.beta = p_.beta;
      f_.packed(tile);  // beta * c
      f_.sum({sum, sum, cells, 2, cells});
      tile.c = sum;
      tile.src = sum;
      tile.beta = 1;
    }
    tile.bias_n = t.bias_n ? offset(t.bias_n, j - t.columns.begin, plan_.sum) : nullptr;
    tile.bias_m = t.bias_m;
    tile.rectifier = rectifier_of(p_.activation);
    f_.packed(tile);
    finish(tile, out, i, j);
  }

  // ---- Segments of K: their sums are added in order ----

  void add_segments(int64_t row, int64_t column, int64_t n, void* out) const {
    f_.sum({out, partial_sums(0, row, column), p_.m * p_.n, plan_.segments, n});
  }

  void combine_tile(const Task& t, int64_t j) const {
    const int64_t i = t.rows.begin;
    GemmTile tile = waiting_tile(t, j);
    for (int r = 0; r < tile.m; ++r)
      add_segments(i + r, j, tile.n, offset(tile.c, r * f_.nr, plan_.sum));
    complete(t, tile, j);
  }

  // ---- One row, or a few, times a matrix ----

  void run_vector(const Task& t) const {
    const int64_t k0 = t.segment * plan_.seg_k, k = std::min(p_.k - k0, plan_.seg_k);
    const void* x = offset(t.at.a, k0 * p_.a.k_stride, plan_.elem);
    if (p_.a.k_stride != 1) {
      f_.pack({t.scratch, 1, x, p_.dtype, 0, p_.a.k_stride, 1, k});
      x = t.scratch;
    }
    const int64_t first = t.columns.begin * p_.b.lane_stride + k0 * p_.b.k_stride;
    GemmVector v{x,
                 offset(t.at.b, first, plan_.elem),
                 p_.b.lane_stride,
                 p_.b.k_stride,
                 k,
                 t.columns.size(),
                 t.scratch + plan_.scratch_b,
                 p_.m,
                 p_.a.lane_stride,
                 plan_.nb};
    const bool partial = plan_.segments > 1, done = !partial && is_plain();
    if (partial) v.y = partial_sums(t.segment, 0, t.columns.begin);
    if (done) {
      v.y = offset(t.at.c, t.columns.begin, plan_.sum);
      v.y_row = p_.c.row;
    }
    f_.vector(v);
    if (!partial && !done) complete_vector(t, static_cast<const char*>(v.y));
  }

  void complete_vector(Task t, const char* y) const {
    fetch_bias(t);
    for (int64_t j = t.columns.begin; j < t.columns.end; j += f_.nr) {
      GemmTile tile = waiting_tile(t, j);
      for (int64_t i = 0; i < tile.m; ++i)
        memcpy(offset(tile.c, i * f_.nr, plan_.sum),
               y + (i * plan_.nb + j - t.columns.begin) * plan_.sum,
               static_cast<size_t>(tile.n * plan_.sum));
      complete(t, tile, j);
    }
  }

  const GemmProblem& p_;
  const bool swapped_;
  const GemmPlan& plan_;
  const GemmFamily& f_;
  char* const space_;
  const DType sum_type_;
  const int64_t in_size_, out_size_;
  Range columns_{};  // of the pass
};

}  // namespace fastnn
