#include "cpu/gemm_core.h"

#include <algorithm>
#include <utility>

#include "cpu/gemm_parts.h"
#include "fastnn/parallel.h"

namespace fastnn {
namespace {

class Run : GemmParts {
  static constexpr int64_t kGroup = 4;  // panels that are packed together

 public:
  Run(const GemmProblem& problem, bool swapped, const GemmPlan& plan, void* workspace)
      : GemmParts(problem, swapped, plan, workspace) {}

  void all() {
    if (!plan_.serial_batches) return batches({0, p_.batch});
    for (int64_t i = 0; i < p_.batch; ++i) batches({i, i + 1});
  }

 private:
  // ---- Passes: pack what is shared, then run the tasks ----

  void batches(Range batch) {
    batch_ = batch;
    for (int64_t n0 = 0; n0 < p_.n; n0 += plan_.n_span) {
      columns_ = {n0, std::min(p_.n, n0 + plan_.n_span)};
      int64_t k0 = 0;
      do {  // once for K = 0, too
        span_ = {k0, std::min(p_.k, k0 + plan_.k_span)};
        pack_shared();
        run_tasks_of_pass();
        k0 += plan_.k_span;
      } while (k0 < p_.k);
    }
    if (plan_.segments > 1) combine_segments();
  }

  void pack_shared() {
    const bool new_k = columns_.begin == 0 || plan_.k_span < p_.k;
    const bool a = plan_.a == GemmMode::shared && new_k, b = plan_.b == GemmMode::shared;
    const int64_t a_groups = a ? ceil_div(ceil_div(p_.m, f_.mr), kGroup) : 0;
    const int64_t b_groups = b ? ceil_div(columns_.size(), f_.nr * kGroup) : 0;
    const int64_t groups = a_groups + b_groups;
    if (span_.size() == 0 || groups == 0) return;
    const int64_t blocks = ceil_div(span_.size(), plan_.kc);
    const GemmPointers at = pointers(batch_.begin);
    // In the order in which the tasks use them, so that a thread packs mostly what it will read:
    // what lies in another core's cache is slow to get. Groups of A come between those of B.
    parallel_for(groups * blocks, [&](int64_t task, int worker) {
      const int64_t group = task / blocks, block = task % blocks;
      const Range k = k_block(span_, block);
      const int64_t b_before = group * b_groups / groups;
      if ((group + 1) * b_groups / groups > b_before)
        pack_b_group(at, b_before, k, block, scratch_of(worker));
      else
        pack_a_group(at, group - b_before, k, block, scratch_of(worker));
    });
  }

  // Neighbouring panels of a matrix with adjacent lanes are packed in turn, some k at a time, so
  // that they all take their part of a row while it is near.
  int64_t piece(const GemmOperand& x, Range k) const {
    return x.pack || x.lane_stride != 1 || cuts_values(f_) ? k.size() : 32;
  }

  void pack_b_group(const GemmPointers& at, int64_t group, Range k, int64_t block,
                    char* scratch) const {
    const int64_t first = group * kGroup;
    const int64_t last = std::min(first + kGroup, ceil_div(columns_.size(), f_.nr));
    const int64_t step = piece(p_.b, k);
    for (int64_t k0 = k.begin; k0 < k.end; k0 += step)
      for (int64_t panel = first; panel < last; ++panel)
        pack_b(at, batch_.begin, columns_.begin + panel * f_.nr, {k0, std::min(k.end, k0 + step)},
               shared_b(panel, block) + (k0 - k.begin) * f_.nr * plan_.elem, scratch);
  }

  void pack_a_group(const GemmPointers& at, int64_t group, Range k, int64_t block,
                    char* scratch) const {
    const int64_t first = group * kGroup;
    const int64_t last = std::min(first + kGroup, ceil_div(p_.m, f_.mr));
    const int64_t step = piece(p_.a, k);
    for (int64_t k0 = k.begin; k0 < k.end; k0 += step)
      for (int64_t panel = first; panel < last; ++panel)
        pack_a(at, batch_.begin, panel * f_.mr, {k0, std::min(k.end, k0 + step)},
               shared_a(panel, block) + (k0 - k.begin) * f_.a_panel * plan_.elem, scratch);
  }

  void run_tasks_of_pass() {
    task_rows_ = ceil_div(p_.m, plan_.mb);
    task_columns_ = ceil_div(columns_.size(), plan_.nb);
    const int64_t tasks = batch_.size() * plan_.segments * task_rows_ * task_columns_;
    parallel_for(tasks, [&](int64_t number, int worker) {
      Task t = task_at(number);
      t.scratch = scratch_of(worker);
      if (plan_.vector) return run_vector(t);
      t.next = number + max_workers() < tasks ? number + max_workers() : -1;
      f_.enter();
      run_task(t);
      f_.leave();
    });
  }

  // ---- One task: a block of the output ----

  // Splits off what counts to `count`; small products, one task each, can do without the division.
  static int64_t take(int64_t& number, int64_t count) {
    if (count == 1) return 0;
    const int64_t rest = number % count;
    number /= count;
    return rest;
  }

  // Neighbours share columns, hence the packed block of B in a core's cache.
  Task task_at(int64_t number) const {
    const int64_t i = take(number, task_rows_), j = take(number, task_columns_);
    Task t;
    t.rows = {i * plan_.mb, std::min(p_.m, (i + 1) * plan_.mb)};
    t.columns = {columns_.begin + j * plan_.nb,
                 std::min(columns_.end, columns_.begin + (j + 1) * plan_.nb)};
    t.segment = take(number, plan_.segments);
    t.batch = batch_.begin + number;
    t.at = pointers(t.batch);
    return t;
  }

  // The part of K that a task sums up.
  Range depth(const Task& t) const {
    const int64_t begin = t.segment * plan_.seg_k;
    return plan_.segments == 1 ? span_ : Range{begin, std::min(p_.k, begin + plan_.seg_k)};
  }

  void run_task(Task& t) const {
    const Range whole = depth(t);
    t.bias_m = t.bias_n = nullptr;
    if (plan_.segments == 1) fetch_bias(t);
    const int64_t blocks = whole.size() <= plan_.kc ? 1 : ceil_div(whole.size(), plan_.kc);
    for (int64_t block = 0; block < blocks; ++block) {
      t.k = k_block(whole, block);
      t.first = t.k.begin == (plan_.segments == 1 ? 0 : whole.begin);
      t.last = plan_.segments == 1 ? t.k.end == p_.k : block == blocks - 1;
      if (plan_.b == GemmMode::own) pack_own_b(t);
      run_block(t, block);
    }
  }

  void pack_own_b(const Task& t) const {
    const int64_t step = piece(p_.b, t.k), group = kGroup * f_.nr;
    for (int64_t first = t.columns.begin; first < t.columns.end; first += group)
      for (int64_t k = t.k.begin; k < t.k.end; k += step)
        for (int64_t j = first; j < std::min(first + group, t.columns.end); j += f_.nr)
          pack_b(t.at, t.batch, j, {k, std::min(t.k.end, k + step)},
                 own_b(t, j) + (k - t.k.begin) * f_.nr * plan_.elem, t.scratch);
  }

  bool packed() const { return plan_.a != GemmMode::direct && plan_.b != GemmMode::direct; }

  // A panel of A stays in the first-level cache while the task's columns of B stream from the
  // second. What the tiles of a block have in common is set once: a tile takes a microsecond.
  void run_block(const Task& t, int64_t block) const {
    GemmTile tile = tile_of_block(t);
    const auto kernel = packed() ? f_.packed : f_.direct;
    const Walk walk = walk_of_block(t, block);
    const bool asks = (packed() && f_.asks) || plan_.far > 0;
    const GemmAhead next = asks ? ahead_of_block(t, block) : GemmAhead{};
    GemmFinish behind{};  // the tile before, if it is not yet stored
    int64_t number = 0;   // of the tile
    char* c_panel = walk.c;
    const int64_t rows = call_rows_, columns = call_columns_;
    for (int64_t i = t.rows.begin; i < t.rows.end; i += rows, c_panel += walk.c_rows) {
      tile.m = static_cast<int>(std::min<int64_t>(rows, t.rows.end - i));
      set_a(t, block, i, tile);
      const char* b = walk.b;
      char* c = c_panel;
      if (t.last && t.bias_m) tile.bias_m = offset(t.bias_m, i - t.rows.begin, plan_.sum);
      const char* bias_n = t.last ? static_cast<const char*>(t.bias_n) : nullptr;
      for (int64_t j = t.columns.begin; j < t.columns.end; j += columns) {
        tile.n = static_cast<int>(std::min<int64_t>(columns, t.columns.end - j));
        tile.b = b;
        tile.below = j == t.columns.begin;
        tile.c = c + number % 2 * walk.c_turn;
        tile.src = tile.c;
        tile.bias_n = bias_n;
        if (next.any()) packed() ? next.aim(tile, number) : next.aim_along(tile, number);
        if (!plan_.staged || plan_.segments > 1)
          kernel(tile);
        else if (!placed_tile(t, tile, kernel, i, j))
          staged_tile(t, tile, kernel, i, j, behind);
        ++number;
        b += walk.b_step;
        c += walk.c_step;
        if (bias_n) bias_n += columns * plan_.sum;
        tile.ahead = static_cast<const char*>(tile.ahead) + walk.ahead;
      }
    }
    if (behind.m > 0) f_.finish(behind);
  }

  GemmTile tile_of_block(const Task& t) const {
    GemmTile tile;  // not zeroed as a whole: that takes a tenth of a small product's time
    tile.ahead = tile.bias_m = tile.bias_n = nullptr;
    tile.behind = nullptr;
    tile.place = nullptr;
    tile.ahead_step = tile.ahead_left = tile.ahead_run = 0;
    tile.ahead_pieces = plan_.far;
    tile.strips = plan_.strips;
    tile.k = t.k.size();
    tile.alpha = plan_.segments > 1 ? 1 : p_.alpha;
    tile.beta = !t.first ? 1 : plan_.segments > 1 ? 0 : p_.beta;
    tile.rectifier = rectifier_of(t.last && plan_.segments == 1 ? p_.activation : Activation::none);
    tile.a_row = plan_.a == GemmMode::direct ? p_.a.lane_stride : 1;
    tile.a_k = plan_.a == GemmMode::direct ? p_.a.k_stride : f_.a_panel;
    tile.b_k = plan_.b == GemmMode::direct ? p_.b.k_stride : f_.nr;
    tile.c_row = tile.src_row = plan_.segments > 1 ? p_.n : plan_.staged ? f_.nr : p_.c.row;
    if (plan_.a == GemmMode::shared)
      tile.ahead_step = 128 * ceil_div(ceil_div(ahead_lines(t), 2),
                                       std::max<int64_t>(1, tile.k / GemmTile::kAheadStep));
    return tile;
  }

  // How the tiles of a block go through B and through the sums, in bytes.
  struct Walk {
    const char* b;
    char* c;
    int64_t b_step, c_step, c_rows;
    int64_t c_turn;  // tiles that wait only to be stored behind take turns in two places
    int64_t ahead;   // a tile's part of the next panel of A
  };

  // Sums go straight to the output, which then holds them until the next k-block; or, where that
  // cannot be, to the worker's scratch.
  Walk walk_of_block(const Task& t, int64_t block) const {
    Walk w{};
    w.b_step = panel_bytes(f_.nr);
    if (plan_.b == GemmMode::direct) {
      w.b = offset(t.at.b, t.columns.begin + t.k.begin * p_.b.k_stride, plan_.elem);
      w.b_step = call_columns_ * plan_.elem;
    } else if (plan_.b == GemmMode::own) {
      w.b = t.scratch + plan_.scratch_b;
    } else {
      w.b = shared_b((t.columns.begin - columns_.begin) / f_.nr, block);
    }
    w.c_step = call_columns_ * plan_.sum;
    if (plan_.segments > 1) {
      w.c = partial_sums(t.segment, t.rows.begin, t.columns.begin);
      w.c_rows = call_rows_ * p_.n * plan_.sum;
    } else if (!plan_.staged) {
      w.c = offset(t.at.c, t.rows.begin * p_.c.row + t.columns.begin * p_.c.col, plan_.sum);
      w.c_rows = call_rows_ * p_.c.row * plan_.sum;
    } else {
      w.c = t.scratch + plan_.scratch_stage;
      const int64_t cells = f_.mr * f_.nr * plan_.sum;
      w.c_step = plan_.k_blocks > 1 ? cells : 0;
      w.c_turn = plan_.k_blocks == 1 && f_.stores_behind ? cells : 0;
      w.c_rows = ceil_div(t.columns.size(), f_.nr) * w.c_step;
    }
    if (packed() && plan_.a == GemmMode::shared) w.ahead = ahead_lines(t) * 64;
    return w;
  }

  GemmAhead ahead_of_block(const Task& t, int64_t block) const {
    const Range whole = depth(t);
    if (t.k.end < whole.end) return sources(t, k_block(whole, block + 1));
    if (t.next < 0) return {};
    const Task next = task_at(t.next);
    return sources(next, k_block(depth(next), 0));
  }

  GemmAhead sources(const Task& t, Range k) const {
    GemmAhead ahead;
    if (plan_.b == GemmMode::own || plan_.far > 0) ahead.b = source_of(p_.b, t.at.b, t.columns, k);
    if (plan_.a == GemmMode::own) ahead.a = source_of(p_.a, t.at.a, t.rows, k);
    return ahead;
  }

  // While the tiles of a row are summed, they fetch the next panel of A, each its share.
  int64_t ahead_lines(const Task& t) const {
    return ceil_div(f_.a_panel * t.k.size() * plan_.elem, 64 * ceil_div(t.columns.size(), f_.nr));
  }

  void set_a(const Task& t, int64_t block, int64_t i, GemmTile& tile) const {
    if (plan_.a == GemmMode::direct) {
      tile.a = offset(t.at.a, i * p_.a.lane_stride + t.k.begin * p_.a.k_stride, plan_.elem);
    } else if (rows_in_place(t, tile.m)) {
      tile.a = offset(t.at.a, i * p_.a.lane_stride + t.k.begin, plan_.elem);
      tile.a_row = p_.a.lane_stride;
    } else if (plan_.a == GemmMode::own) {
      tile.a_row = 1;
      pack_a(t.at, t.batch, i, t.k, t.scratch, t.scratch);
      tile.a = t.scratch;
    } else {
      tile.a = shared_a(i / f_.mr, block);
    }
    tile.ahead = packed() ? tile.a : nullptr;
    if (packed() && plan_.a == GemmMode::shared)
      tile.ahead = static_cast<const char*>(tile.a) + panel_bytes(f_.a_panel);
  }

  // Tiles of a matrix unit hold rows of A as they lie in memory: no need to pack those.
  bool rows_in_place(const Task& t, int rows) const {
    return plan_.a == GemmMode::own && f_.row_group != 0 && rows % f_.row_group == 0 &&
           !p_.a.pack && p_.a.k_stride == 1 && p_.a.lane_stride != 1 && t.k.size() % f_.k_step == 0;
  }

  // A tile whose columns are placed side by side is summed up there.
  bool placed_tile(const Task& t, GemmTile& tile, void (*kernel)(const GemmTile&), int64_t i,
                   int64_t j) const {
    if (!places_sums_) return false;
    int64_t run;
    const int64_t column = p_.c.place(p_.c.place_context, j, &run);
    if (run < tile.n) return false;
    const int64_t row = tile.c_row;
    tile.c = offset(t.at.c, i * p_.c.row + column, plan_.sum);
    tile.src = tile.c;
    tile.c_row = tile.src_row = p_.c.row;
    kernel(tile);
    tile.c_row = tile.src_row = row;
    return true;
  }

  // `behind`: the tile before, which this one stores meanwhile where it can; then this one.
  void staged_tile(const Task& t, GemmTile& tile, void (*kernel)(const GemmTile&), int64_t i,
                   int64_t j, GemmFinish& behind) const {
    char* out = offset(t.at.c, i * p_.c.row + j * p_.c.col, out_size_);
    if (t.first && tile.beta != 0) gather_output(out, tile.m, tile.n, tile.c);
    tile.behind = behind.m > 0 ? &behind : nullptr;
    if (f_.stores_behind) {
      tile.place = t.last && can_wait(tile) ? out : nullptr;
      tile.place_row = p_.c.row * out_size_;
    }
    kernel(tile);
    if (!t.last) return;
    if (behind.m > 0) f_.finish(behind);
    if (can_wait(tile))
      behind = finish_of(tile, out);
    else
      finish(tile, out, i, j);
  }

  // ---- Segments of K: their sums are added in order ----

  void combine_segments() const {
    const int64_t rows = ceil_div(p_.m, f_.mr);
    parallel_for(rows, [&](int64_t panel, int worker) {
      Task t;
      t.scratch = scratch_of(worker);
      t.at = pointers(0);
      t.rows = {panel * f_.mr, std::min(p_.m, (panel + 1) * f_.mr)};
      if (is_plain()) {
        for (int64_t i = t.rows.begin; i < t.rows.end; ++i)
          add_segments(i, 0, p_.n, offset(t.at.c, i * p_.c.row, plan_.sum));
        return;
      }
      for (int64_t j = 0; j < p_.n; j += plan_.nb) {
        t.columns = {j, std::min(p_.n, j + plan_.nb)};
        fetch_bias(t);
        for (int64_t jj = j; jj < t.columns.end; jj += f_.nr) combine_tile(t, jj);
      }
    });
  }

  // What is not packed needs no panels: the kernel is called for more than a tile, unless tiles
  // have their own work besides.
  static constexpr int64_t kLargestCall = 1 << 20;  // rows or columns, which are counted as int
  const bool lone_tiles_ = packed() || plan_.far > 0 || (plan_.staged && plan_.segments == 1);
  const int64_t call_rows_ = lone_tiles_ || plan_.a != GemmMode::direct ? f_.mr : kLargestCall;
  const int64_t call_columns_ = lone_tiles_ || plan_.b != GemmMode::direct ? f_.nr : kLargestCall;

  Range batch_{}, span_{};  // of the pass
  int64_t task_rows_ = 1, task_columns_ = 1;
  // What is staged only because not all columns have one stride.
  const bool places_sums_ = p_.c.place && p_.c.col == 1 && p_.c.dtype == sum_type_ &&
                            (p_.activation == Activation::none || rectifies(p_.activation));
};

// Calls fn(problem, swapped) with the problem, or with rows and columns exchanged.
template <class F>
auto with_orientation(const GemmProblem& p, F fn) {
  if (!gemm_wants_swap(p)) return fn(p, false);
  GemmProblem q = p;
  std::swap(q.m, q.n);
  std::swap(q.a, q.b);
  std::swap(q.c.row, q.c.col);
  std::swap(q.bias_m, q.bias_n);
  std::swap(q.a_same, q.b_same);
  if (p.share != GemmShare::automatic)
    q.share = p.share == GemmShare::a ? GemmShare::b : GemmShare::a;
  return fn(q, true);
}

bool empty(const GemmProblem& p) { return p.m == 0 || p.n == 0 || p.batch == 0; }

}  // namespace

const GemmFamily& gemm_family(DType dtype) {
  const GemmKernels& kernels = active_gemm_kernels();
  return dtype == DType::f64 ? *kernels.f64 : *kernels.f32;
}

size_t gemm_workspace(const GemmProblem& problem) {
  if (empty(problem)) return 0;
  return with_orientation(problem, [](const GemmProblem& p, bool) {
    return static_cast<size_t>(make_gemm_plan(p).total);
  });
}

void gemm_run(const GemmProblem& problem, void* workspace) {
  if (empty(problem)) return;
  with_orientation(problem, [&](const GemmProblem& p, bool swapped) {
    const GemmPlan plan = make_gemm_plan(p);
    Run(p, swapped, plan, workspace).all();
  });
}

}  // namespace fastnn
