#include "cpu/gemm_plan.h"

#include <algorithm>

#include "fastnn/parallel.h"

namespace fastnn {
namespace {

constexpr double kSmallestTask =
    2e5;  // multiply-adds of floats: below this a task costs more to hand out than it gains
constexpr int64_t kTasks = 32;      // wanted where there is work enough
constexpr int64_t kOwnTasks = 16;   // where every task packs its columns for itself
constexpr int64_t kTiledTasks = 2;  // for each worker: large ones, so that little is packed twice

// Splits `count` into blocks of at most `limit` units of `unit`, as even as can be.
int64_t even_block(int64_t count, int64_t limit, int64_t unit) {
  if (count == 0) return 0;
  const int64_t units = ceil_div(count, unit);
  const int64_t blocks = ceil_div(units, std::max<int64_t>(1, limit / unit));
  return ceil_div(units, blocks) * unit;
}

bool in_memory(const GemmOperand& x, DType dtype) {
  return !x.pack && (dtype == DType::f32 || dtype == DType::f64);
}

double work_of(int64_t m, int64_t n, int64_t k) {
  return static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k);
}
double work_of(const GemmProblem& p) { return work_of(p.m, p.n, p.k); }

// The kernels that cut floats into parts for a matrix unit, where there is one, and it pays. What
// is shared is packed once for all batches.
const GemmFamily* split_family(const GemmProblem& p) {
  const int64_t m = p.share == GemmShare::b ? p.batch * p.m : p.m;
  const int64_t n = p.share == GemmShare::a ? p.batch * p.n : p.n;
  const bool pays = p.dtype == DType::f32 && gemm_pays_split(m, n, p.k, p.cutting);
  return pays ? active_gemm_split_family() : nullptr;
}

// Packers of others fill panels of float.
const GemmFamily& family_of(const GemmProblem& p) {
  const GemmFamily* bf16 =
      p.dtype == DType::bf16 && !p.a.pack && !p.b.pack ? active_gemm_bf16_family() : nullptr;
  if (bf16) return *bf16;
  const GemmFamily* split = split_family(p);
  return split ? *split : gemm_family(p.dtype);
}

// Rows this far apart fall on one set of the first-level cache: a register tile's rows would evict
// each other.
bool collides(int64_t stride_bytes) { return stride_bytes != 0 && stride_bytes % 4096 == 0; }

// Rows of B that no cache holds, and so far apart that the caches foresee nothing: the pieces that
// a tile asks for in a step, so that all tiles of a task ask for what the next one reads; else 0.
int64_t far_pieces(const GemmProblem& p, const GemmFamily& f, int64_t elem) {
  constexpr int64_t kLeastRow = 2048, kMostPanels = 20;
  const int64_t row = p.b.k_stride * elem, bytes = p.n * p.k * elem * (p.b_same ? 1 : p.batch);
  const int64_t tiles = p.m / f.mr;  // whole ones, one above the other
  if (is_tiled(f) || !in_memory(p.b, p.dtype) || p.b.lane_stride != 1 || row < kLeastRow ||
      collides(row) || tiles < 1 || tiles > kMostPanels)
    return 0;
  // A last cache that is shared, and far from the core, counts as memory: early where several tiles
  // share the asking.
  const CacheSizes cache = cache_sizes();
  if (bytes <= std::max<int64_t>(cache.l2, cache.l3 / 4 / std::min<int64_t>(tiles, 3))) return 0;
  const int64_t lines = ceil_div(f.nr * elem, 64) * GemmTile::kAheadStep;  // that a tile reads
  return ceil_div(64 * lines, tiles * GemmTile::kAheadBytes);
}

void choose_modes(const GemmProblem& p, GemmPlan& plan) {
  const GemmFamily& f = *plan.family;
  if (is_tiled(f)) {
    plan.a = plan.b = GemmMode::own;
    return;
  }
  const int64_t row_panels = ceil_div(p.m, f.mr), column_panels = ceil_div(p.n, f.nr);
  const bool small = work_of(p) <= 1e6;

  // Too short for two rounds of the threads: packing B, then the tasks.
  const bool brief = max_workers() > 1 && work_of(p) <= 2e7 && column_panels >= 4;
  const bool b_direct = in_memory(p.b, p.dtype) && (p.b.lane_stride == 1 || p.n == 1);
  // Packing costs as much as it saves where few tiles read a value again, or it stays in a near
  // cache; and what one core packs for another is slow to read. Tiles of less than two lines a row
  // gain less.
  const int64_t l2 = cache_sizes().l2, b_bytes = p.n * p.k * plan.elem;
  const bool wide = f.nr * plan.elem >= 128, few = row_panels <= 20;
  const int64_t near_bytes = wide && row_panels <= 8 ? 8 * l2 : few ? l2 : l2 / 4;
  const bool near = b_bytes <= near_bytes && ((wide && few) || !collides(p.b.k_stride * plan.elem));
  if (b_direct && (row_panels <= 2 || near || small || plan.far > 0))
    plan.b = GemmMode::direct;
  else if (p.share == GemmShare::b && plan.segments == 1)
    plan.b = GemmMode::shared;
  else if (p.share == GemmShare::a || plan.segments > 1 || row_panels <= 2 || small || brief)
    plan.b = GemmMode::own;
  else if (p.batch > 1 && !p.b_same && work_of(p) < 1e8)
    plan.b = GemmMode::own;
  else
    plan.b = GemmMode::shared;

  const bool runs = p.a.k_stride == 1 || p.a.lane_stride == 1 || p.m == 1;  // not a line per value
  const bool a_direct = in_memory(p.a, p.dtype) && runs;
  // Read again by many tasks, packing it pays all the same.
  const bool often = p.batch * p.n >= 1024 && plan.segments == 1 && (p.batch == 1 || p.a_same);
  const int64_t a_near = plan.b == GemmMode::direct ? l2 / 2 : l2 / 3;
  const bool rows_apart = !collides(p.a.lane_stride * plan.elem);
  const bool stays = rows_apart && (row_panels <= 4 || (p.m * p.k * plan.elem <= a_near && !often));
  if (a_direct && (column_panels <= 4 || stays || small))
    plan.a = GemmMode::direct;
  else if ((p.share == GemmShare::a || often) && plan.segments == 1)
    plan.a = GemmMode::shared;
  else
    plan.a = GemmMode::own;
}

// Whether twice a panel's columns of B, where they lie, stay in the first-level cache while all
// rows pass them. An output that no near cache holds is better written along its rows.
bool keeps_columns(const GemmProblem& p, const GemmPlan& plan) {
  const CacheSizes cache = cache_sizes();
  return plan.a == GemmMode::direct && plan.b == GemmMode::direct &&
         2 * plan.family->nr * plan.kc * plan.elem <= cache.l1d * 3 / 4 &&
         !collides(p.b.k_stride * plan.elem) && p.batch * p.m * p.n * plan.sum <= cache.l2 / 2;
}

// One row of x, and a matrix that can be read in runs; or a few rows, and a matrix whose columns
// can be: no tiles.
bool is_vector_by_matrix(const GemmProblem& p, int64_t m, const GemmOperand& x,
                         const GemmOperand& matrix) {
  if (!in_memory(x, p.dtype) || !in_memory(matrix, p.dtype) || p.run_limit != 0) return false;
  if (m == 1) return matrix.lane_stride == 1 || matrix.k_stride == 1;
  const bool few = m <= gemm_family(p.dtype).mr && p.k >= (m <= 4 ? 64 : m <= 8 ? 128 : 256);
  return few && x.k_stride == 1 && matrix.k_stride == 1 && matrix.lane_stride != 1;
}

constexpr int64_t kVectorTaskBytes = 256 << 10;  // of the matrix, for one row
constexpr int64_t kVectorTasks = 16;

// One row times a matrix whose rows lie in runs: each task reads some whole rows.
void cut_rows(const GemmProblem& p, GemmPlan& plan) {
  const int64_t least = ceil_div(kVectorTaskBytes, std::max<int64_t>(1, p.n * plan.elem));
  plan.seg_k = round_up(std::max(least, ceil_div(p.k, kVectorTasks)), 8);
  plan.segments = std::max<int64_t>(1, ceil_div(p.k, plan.seg_k));
  if (plan.segments == 1) plan.seg_k = p.k;
}

// A long K over a small output leaves too few blocks: K is cut, too.
void choose_segments(const GemmProblem& p, int64_t kc_max, GemmPlan& plan) {
  plan.segments = 1;
  plan.seg_k = p.k;
  if (plan.vector && p.b.lane_stride == 1 && p.batch == 1) return cut_rows(p, plan);
  if (plan.vector || p.batch > 1 || p.k < 2048 || p.m * p.n > (1 << 17) ||
      p.k < 4 * std::max(p.m, p.n))
    return;
  const int64_t wanted = std::min<int64_t>(16, p.k / 1024);
  plan.seg_k = round_up(ceil_div(p.k, wanted), kc_max);
  plan.segments = ceil_div(p.k, plan.seg_k);
}

struct Grid {
  int64_t rows, columns;  // of a task
};

// One task for each worker, so that together they cut little twice: what another core has cut takes
// as long to read as to cut.
Grid task_for_each(const GemmProblem& p, int64_t workers, const GemmFamily& f) {
  int64_t across = 1;
  while (across < workers && (workers % across != 0 || across * across * p.m < workers * p.n))
    ++across;
  return {round_up(ceil_div(p.m, workers / across), f.mr), round_up(ceil_div(p.n, across), f.nr)};
}

// Columns [nb] x rows [mb] of the output. A task's block of B and the sums that wait for the next
// k-block share the second-level cache.
void choose_blocks(const GemmProblem& p, GemmPlan& plan) {
  const GemmFamily& f = *plan.family;
  const int64_t quarter = cache_sizes().l2 / 4 / plan.elem;
  const int64_t kc = std::max<int64_t>(1, plan.kc), k = std::max<int64_t>(1, p.k);
  const int64_t room = f.quarters * quarter;
  const int64_t nb_max = std::max<int64_t>(4 * f.nr, room / kc / f.nr * f.nr);
  const bool sums_wait = plan.staged && plan.k_blocks > 1;  // in scratch
  const bool may_share_a = plan.a == GemmMode::own && plan.segments == 1;
  plan.k_span = p.k;
  plan.n_span = p.n;
  if (plan.b == GemmMode::shared) {
    if (!plan.staged && p.n * k > 2 * quarter) plan.k_span = plan.kc;
    const int64_t columns = cache_sizes().l3 / 2 / plan.elem / std::max<int64_t>(1, plan.k_span);
    plan.n_span = even_block(p.n, std::max<int64_t>(columns, f.nr), f.nr);
  }

  const int64_t batch = plan.serial_batches ? 1 : p.batch * plan.segments;
  const double work = work_of(p) * static_cast<double>(plan.serial_batches ? 1 : p.batch);
  // One worker needs no tasks to share out, and each has its cost.
  const int64_t most = max_workers() == 1        ? 1
                       : is_tiled(f)             ? kTiledTasks * max_workers()
                       : plan.b == GemmMode::own ? kOwnTasks
                                                 : kTasks;
  const auto tasks = static_cast<int64_t>(
      std::clamp(work / (kSmallestTask * f.speed), 1.0, static_cast<double>(most)));
  const int64_t wanted = ceil_div(tasks, batch);
  // Rows beyond whole tiles are no task of their own, unless other threads have nothing to do.
  const bool idle = wanted == 1 && batch == 1 && max_workers() > 1;
  const int64_t all_rows = idle ? p.m : round_up(p.m, f.mr);
  const auto rows_max = [&](int64_t columns) {
    return sums_wait ? std::max<int64_t>(8 * f.mr,
                                         cache_sizes().l2 / 2 / plan.sum / columns / f.mr * f.mr)
                     : all_rows;
  };
  if (cuts_values(f) && batch == 1) {
    const Grid grid = task_for_each(p, std::min<int64_t>(wanted, max_workers()), f);
    if (grid.columns <= nb_max) {
      plan.nb = grid.columns;
      plan.mb = even_block(p.m, std::min(grid.rows, rows_max(plan.nb)), f.mr);
      return;
    }
  }
  if (plan.b == GemmMode::own) {  // as many rows as can be, so that no column is packed often
    plan.nb = even_block(p.n, std::clamp<int64_t>(p.n / wanted, f.nr, nb_max), f.nr);
    plan.mb = even_block(p.m, rows_max(plan.nb), f.mr);
    const int64_t down = ceil_div(wanted, ceil_div(p.n, plan.nb));
    if (is_tiled(f) && down > 1) plan.mb = even_block(p.m, std::min(plan.mb, p.m / down), f.mr);
    // Cutting values takes time: once for all tasks, as long as they stay in some cache.
    const bool fits = p.m * k * plan.elem <= 4 * cache_sizes().l2;
    const bool again = plan.nb < p.n && (p.batch == 1 || p.a_same);
    if (may_share_a && cuts_values(f) && (p.share == GemmShare::a || (fits && again)))
      plan.a = GemmMode::shared;
    return;
  }
  plan.nb = even_block(plan.n_span, nb_max, f.nr);
  if (may_share_a && plan.nb < plan.n_span) plan.a = GemmMode::shared;
  const int64_t across = ceil_div(plan.n_span, plan.nb);
  // Where the columns of B do not stay in the cache from task to task, rows pay for reading them
  // again.
  const int64_t rows_min = plan.nb * plan.k_span > 2 * quarter ? 8 * f.mr : f.mr;
  const int64_t share = wanted <= across ? all_rows : p.m * across / wanted;
  const int64_t rows = std::clamp(share, rows_min, std::max(rows_min, rows_max(plan.nb)));
  plan.mb = even_block(p.m, std::min<int64_t>(rows, 16 * f.mr), f.mr);
  if (ceil_div(p.m, plan.mb) * across * 2 > wanted) return;
  // Too few rows to go round: columns are cut.
  plan.mb = even_block(p.m, rows_max(plan.nb), f.mr);
  const int64_t columns = plan.n_span * ceil_div(p.m, plan.mb) / wanted;
  plan.nb = even_block(plan.n_span, std::clamp<int64_t>(columns, 2 * f.nr, nb_max), f.nr);
  if (may_share_a && p.m * k <= 2 * quarter) plan.a = GemmMode::shared;
}

void cut_matrix(const GemmProblem& p, GemmPlan& plan) {
  choose_modes(p, plan);
  plan.strips = keeps_columns(p, plan);
  // Batches too large to be packed each by its tasks come one after the other.
  plan.serial_batches = p.batch > 1 && plan.b == GemmMode::shared && !p.b_same;
  choose_blocks(p, plan);
  if (plan.a == GemmMode::shared && !p.a_same && p.batch > 1) plan.serial_batches = true;
}

void cut_vector(const GemmProblem& p, GemmPlan& plan) {
  constexpr int64_t kRun = 4096;  // columns of a row that are read in one go
  plan.a = plan.b = GemmMode::direct;
  plan.mb = p.m;
  plan.n_span = p.n;
  plan.k_span = p.k;
  if (plan.segments > 1) {
    plan.nb = even_block(p.n, kRun, plan.family->nr);
    return;
  }
  const int64_t column_bytes = std::max<int64_t>(1, p.k) * plan.elem;
  const int64_t columns =
      std::max<int64_t>(ceil_div(p.n, kVectorTasks), kVectorTaskBytes / (column_bytes * p.m));
  plan.nb = even_block(p.n, std::max<int64_t>(columns, plan.family->nr), plan.family->nr);
}

void lay_out(const GemmProblem& p, GemmPlan& plan) {
  const GemmFamily& f = *plan.family;
  const int64_t blocks = plan.kc ? ceil_div(plan.k_span, plan.kc) : 0;
  const auto bytes = [&](int64_t cells) { return round_up(cells * plan.elem, 64); };
  const auto sums = [&](int64_t cells) { return round_up(cells * plan.sum, 64); };
  int64_t at = 0;
  plan.shared_a = at;
  if (plan.a == GemmMode::shared) at += ceil_div(p.m, f.mr) * panel_bytes(plan, f.a_panel) * blocks;
  plan.shared_b = at;
  if (plan.b == GemmMode::shared)
    at += ceil_div(plan.n_span, f.nr) * panel_bytes(plan, f.nr) * blocks;
  plan.partial = at;
  if (plan.segments > 1) at += sums(plan.segments * p.m * p.n);
  plan.scratch = at;

  // A's panel has room for one more step of k: rows of an odd number of them.
  int64_t each = plan.vector               ? bytes(p.a.k_stride == 1 ? 0 : p.k)
                 : plan.a == GemmMode::own ? bytes(f.a_panel * (plan.kc + f.k_step)) + f.header
                                           : 0;
  plan.scratch_b = each;
  if (plan.b == GemmMode::own) each += ceil_div(plan.nb, f.nr) * panel_bytes(plan, f.nr);
  if (plan.vector) each += sums(p.m * plan.nb);
  plan.scratch_stage = each;
  const int64_t tiles = ceil_div(plan.mb, f.mr) * ceil_div(plan.nb, f.nr);
  const int64_t waiting = !plan.staged                              ? 0
                          : plan.k_blocks > 1 && plan.segments == 1 ? tiles
                          : f.stores_behind                         ? 2
                                                                    : 1;
  each += sums(f.mr * f.nr) * std::max<int64_t>(waiting, plan.segments > 1 || plan.vector ? 2 : 0);
  plan.scratch_bias = each;
  if (p.bias_n.data) each += sums(plan.nb);
  if (p.bias_m.data) each += sums(plan.mb);
  plan.scratch_floats = each;
  if (cuts_values(f) && (p.a.pack || p.b.pack)) each += sums(std::max(f.a_panel, f.nr) * plan.kc);
  plan.scratch_each = each;
  plan.total = at + each * (each ? max_workers() : 0);
}

}  // namespace

bool gemm_wants_swap(const GemmProblem& p) {
  if (p.c.place) return false;
  if (is_vector_by_matrix(p, p.m, p.a, p.b)) return false;
  if (is_vector_by_matrix(p, p.n, p.b, p.a)) return true;
  // The register tile writes rows of adjacent columns.
  if (p.c.col != 1 && p.n != 1 && (p.c.row == 1 || p.m == 1)) return true;
  if (!in_memory(p.a, p.dtype) || !in_memory(p.b, p.dtype) || p.k < 32 || split_family(p))
    return false;
  // Few rows times a transposed matrix (a layer's weight): the large operand is then read where it
  // is, not packed, and the tiles are turned as they are written.
  if (p.b.k_stride == 1 && p.b.lane_stride != 1 && p.m <= 96 && 2 * p.m <= p.n) return true;
  // A large transposed matrix times few columns: as B, its rows are read in longer runs.
  return p.a.lane_stride == 1 && p.a.k_stride != 1 && p.n <= 256 && 2 * p.n <= p.m &&
         p.m * p.k * static_cast<int64_t>(size_of(p.dtype)) > cache_sizes().l2 / 4;
}

bool gemm_pays_split(int64_t m, int64_t n, int64_t k, int64_t cutting) {
  constexpr int64_t kRows = 16, kDepth = 32;  // of a tile of the unit
  constexpr int64_t kStoring = 16;            // products that a sum takes to be stored
  const int64_t whole_m = round_up(m, kRows), whole_n = round_up(n, kRows);
  const int64_t whole_k = round_up(k, kDepth);
  const double cut =
      static_cast<double>(whole_k) * static_cast<double>((whole_m + whole_n) * cutting);
  return active_gemm_split_family() &&
         work_of(m, n, k) >
             work_of(whole_m, whole_n, whole_k) * 2 / 3 + work_of(m, n, kStoring) + cut;
}

GemmPlan make_gemm_plan(const GemmProblem& p) {
  GemmPlan plan{};
  plan.family = &family_of(p);
  plan.sum = p.dtype == DType::f64 ? 8 : 4;
  plan.elem = plan.family->elem;
  const DType sum_type = p.dtype == DType::f64 ? DType::f64 : DType::f32;
  plan.staged = p.c.place || p.c.dtype != sum_type || (p.c.col != 1 && p.n != 1) ||
                (p.activation != Activation::none && !rectifies(p.activation));
  // A panel of A and the stream of B share the first-level cache.
  const int64_t l1_k = cache_sizes().l1d * 2 / 3 / (plan.family->a_panel * plan.elem);
  int64_t kc_max = plan.family->depth;
  if (kc_max == 0) kc_max = std::clamp<int64_t>(l1_k / 64 * 64, 128, 512);
  plan.far = far_pieces(p, *plan.family, plan.elem);
  if (plan.far > 0) kc_max = GemmTile::kFarDepth;
  // A matrix unit adds 32 products to a sum at once.
  if (p.run_limit > 0 && !cuts_values(*plan.family)) kc_max = std::min(kc_max, p.run_limit);
  plan.vector = !p.c.place && is_vector_by_matrix(p, p.m, p.a, p.b);
  choose_segments(p, kc_max, plan);
  plan.kc = even_block(plan.seg_k, kc_max, std::max(8, plan.family->k_step));
  plan.k_blocks = plan.kc ? ceil_div(plan.seg_k, plan.kc) : 1;
  if (plan.vector)
    cut_vector(p, plan);
  else
    cut_matrix(p, plan);
  lay_out(p, plan);
  return plan;
}

}  // namespace fastnn
