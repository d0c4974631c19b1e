// Scans: several lines side by side where the axis is not the innermost one.
#include "fastnn/ops/scan.h"

#include <algorithm>
#include <cmath>

#include "cpu/kernels/cast.h"
#include "cpu/loops.h"

namespace fastnn {

namespace {

constexpr const char* kNames[] = {"cumsum", "cumprod", "cummax", "cummin", "logcumsumexp"};
constexpr int64_t kRoom = 2048;                // elements of a tile
constexpr int64_t kLines = 32, kRowLines = 8;  // side by side: across the axis, along it
constexpr int64_t kGrain = 32768;

bool is_extreme(ScanOp op) { return op == ScanOp::cummax || op == ScanOp::cummin; }

void check(const ScanParams& p, const TensorView* views) {
  const char* name = kNames[static_cast<int>(p.op)];
  const TensorView& x = views[0];
  if (p.axis < 0 || p.axis >= x.ndim)
    fail(ErrorKind::index, name, ": axis ", p.axis, " is outside of an array of ", x.ndim,
         " dimensions");
  for (int k = 1; k < 3; ++k) {
    if (!views[k]) continue;
    if (views[k].ndim != x.ndim || !std::equal(x.shape, x.shape + x.ndim, views[k].shape))
      fail(ErrorKind::shape, name, ": an output has shape ", views[k].shape_text(), " and x has ",
           x.shape_text());
  }
  if (p.op == ScanOp::logcumsumexp && !is_float(x.dtype))
    fail(ErrorKind::dtype, name, ": expected a floating point dtype, got ", name_of(x.dtype));
  if (views[2] && (!is_extreme(p.op) || views[2].dtype != DType::i64))
    fail(ErrorKind::dtype, name, ": index needs cummax or cummin, and dtype int64");
}

double log_add(double a, double b) {
  const double high = a > b ? a : b, low = a > b ? b : a;
  if (std::isinf(high) && high == low) return high;
  return a != a || b != b ? a + b : high + std::log1p(std::exp(low - high));
}

template <ScanOp op, class A>
A step(A acc, A x) {
  if constexpr (std::is_same_v<A, int64_t>) {  // wraps
    const auto a = static_cast<uint64_t>(acc), b = static_cast<uint64_t>(x);
    return static_cast<int64_t>(op == ScanOp::cumprod ? a * b : a + b);
  } else {
    return op == ScanOp::cumprod ? acc * x : op == ScanOp::cumsum ? acc + x : log_add(acc, x);
  }
}

// A piece of some lines, dense in either order.
template <class A>
struct Piece {
  A* tile;
  int64_t rows, lines;          // steps along the axis, and lines
  int64_t row_step, line_step;  // in the tile
};

// Four lines at a time, so that one need not wait for the other's addition.
template <ScanOp op, class A>
void accumulate(const Piece<A>& p, A* acc) {
  int64_t c = 0;
  for (; c + 4 <= p.lines; c += 4) {
    A sum[4] = {acc[c], acc[c + 1], acc[c + 2], acc[c + 3]};
    A* at = p.tile + c * p.line_step;
    for (int64_t r = 0; r < p.rows; ++r, at += p.row_step)
      for (int64_t k = 0; k < 4; ++k)
        at[k * p.line_step] = sum[k] = step<op>(sum[k], at[k * p.line_step]);
    for (int64_t k = 0; k < 4; ++k) acc[c + k] = sum[k];
  }
  for (; c < p.lines; ++c) {
    A sum = acc[c];
    A* at = p.tile + c * p.line_step;
    for (int64_t r = 0; r < p.rows; ++r, at += p.row_step) *at = sum = step<op>(sum, *at);
    acc[c] = sum;
  }
}

template <class A>
void extremes(const Piece<A>& p, ScanOp op, int64_t first, int64_t* where, A* acc, int64_t* best) {
  for (int64_t r = 0; r < p.rows; ++r)
    for (int64_t c = 0; c < p.lines; ++c) {
      const int64_t at = r * p.row_step + c * p.line_step;
      const A value = p.tile[at];
      const bool nan = acc[c] != acc[c];
      const bool wins = op == ScanOp::cummax ? value >= acc[c] : value <= acc[c];
      if (first + r == 0 || value != value || (!nan && wins)) {
        acc[c] = value;
        best[c] = first + r;
      }
      p.tile[at] = acc[c];
      where[at] = best[c];
    }
}

template <class A>
struct Scan {
  ScanOp op;
  const TensorView *x, *out, *index;
  int64_t n, x_stride, out_stride, index_stride;  // along the axis
  int64_t x_line, out_line, index_line;           // from line to line
  bool lines_outside;                             // the axis is the inner one of a tile

  Tile shape(int64_t rows, int64_t lines, int64_t stride, int64_t line) const {
    return lines_outside ? Tile{lines, rows, line, stride} : Tile{rows, lines, stride, line};
  }

  void run(int64_t x_at, int64_t out_at, int64_t index_at, int64_t lines) const {
    constexpr int compute = std::is_same_v<A, double> ? 1 : 2;
    const CastKernels& cast = active_cast_kernels();
    A tile[kRoom], acc[kLines];
    int64_t where[kRoom], best[kLines] = {};
    const A start = op == ScanOp::cumprod ? A(1) : op == ScanOp::logcumsumexp ? A(-INFINITY) : A(0);
    std::fill(acc, acc + lines, start);
    const auto at = [](const TensorView& v, int64_t offset) {
      return v.ptr<char>() + offset * static_cast<int64_t>(size_of(v.dtype));
    };
    const int64_t fit = kRoom / lines;
    for (int64_t first = 0; first < n; first += fit) {
      const int64_t rows = std::min(fit, n - first);
      const Piece<A> piece{tile, rows, lines, lines_outside ? 1 : lines, lines_outside ? rows : 1};
      cast.load[compute][static_cast<int>(x->dtype)](tile, at(*x, x_at + first * x_stride),
                                                     shape(rows, lines, x_stride, x_line));
      if (is_extreme(op)) {
        extremes(piece, op, first, where, acc, best);
        if (*index)
          cast.store[2][static_cast<int>(DType::i64)](at(*index, index_at + first * index_stride),
                                                      where,
                                                      shape(rows, lines, index_stride, index_line));
      } else if (op == ScanOp::cumsum) {
        accumulate<ScanOp::cumsum>(piece, acc);
      } else if (op == ScanOp::cumprod) {
        accumulate<ScanOp::cumprod>(piece, acc);
      } else {
        accumulate<ScanOp::logcumsumexp>(piece, acc);
      }
      cast.store[compute][static_cast<int>(out->dtype)](at(*out, out_at + first * out_stride), tile,
                                                        shape(rows, lines, out_stride, out_line));
    }
  }
};

template <class A>
void run_typed(const ScanParams& p, const TensorView* views) {
  TensorView without[] = {views[1], views[0], views[2] ? views[2] : views[1]};
  for (TensorView& v : without) v.shape[p.axis] = 1;
  const Loops loops = build_loops(without, 3);
  const int64_t n = views[0].shape[p.axis];
  const auto stride = [&](int k) { return views[k] ? views[k].stride[p.axis] : 0; };
  const bool along = stride(1) == 1;
  const Scan<A> job{p.op,
                    &views[0],
                    &views[1],
                    &views[2],
                    n,
                    stride(0),
                    stride(1),
                    stride(2),
                    loops.col_stride(1),
                    loops.col_stride(0),
                    loops.col_stride(2),
                    along};
  const int64_t lines = std::min(loops.cols(), along ? kRowLines : kLines);
  const int64_t tiles = TileWalk(loops, 1, lines).tiles();
  parallel_blocks(tiles, std::max<int64_t>(1, kGrain / (n * lines)),
                  [&](int64_t begin, int64_t end, int) {
                    TileWalk walk(loops, 1, lines);
                    walk.seek(begin);
                    for (int64_t t = begin; t < end; ++t, walk.next())
                      job.run(walk.offset(1), walk.offset(0), walk.offset(2), walk.cols());
                  });
}

void run(const ScanParams& p, const TensorView* views, void*) {
  if (views[0].numel() == 0) return;
  if (is_float(views[0].dtype))
    run_typed<double>(p, views);
  else
    run_typed<int64_t>(p, views);
}

}  // namespace

const Op<ScanParams> scan = {"scan", check, nullptr, run};

}  // namespace fastnn
