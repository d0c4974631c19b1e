// Driver of softmax: lines along the axis are taken as they are where they are contiguous, side by
// side where their neighbours are, and gathered otherwise.
#include "fastnn/ops/softmax.h"

#include <algorithm>

#include "cpu/kernels/cast.h"
#include "cpu/kernels/softmax.h"
#include "cpu/loops.h"
#include "cpu/overlap.h"

namespace fastnn {

namespace {

constexpr int64_t kGrain = 16384;  // elements per task
constexpr int64_t kColumns = 64;   // lines side by side
constexpr int64_t kRows = 64;      // or one after the other
constexpr int64_t kGatherColumns = 16;

const char* name_of(const SoftmaxParams& p) { return p.log ? "log_softmax" : "softmax"; }

template <int operands>  // out last
void check(const SoftmaxParams& p, const TensorView* views) {
  const TensorView& x = views[0];
  if (p.axis < 0 || p.axis >= x.ndim)
    fail(ErrorKind::index, name_of(p), ": axis ", p.axis, " is outside of an array of ", x.ndim,
         " dimensions");
  if (!is_float(x.dtype))
    fail(ErrorKind::dtype, name_of(p), ": expected a floating point dtype, got ", name_of(x.dtype));
  for (int k = 1; k < operands; ++k) {
    if (views[k].dtype != x.dtype)
      fail(ErrorKind::dtype, name_of(p), ": the arrays must have one dtype, got ", name_of(x.dtype),
           " and ", name_of(views[k].dtype));
    if (views[k].ndim != x.ndim || !std::equal(x.shape, x.shape + x.ndim, views[k].shape))
      fail(ErrorKind::shape, name_of(p), ": the arrays must have one shape, got ", x.shape_text(),
           " and ", views[k].shape_text());
  }
  const TensorView& out = views[operands - 1];
  for (int d = 0; d < out.ndim; ++d)
    if (out.shape[d] > 1 && out.stride[d] == 0 && out.numel() > 0)
      fail(ErrorKind::runtime, name_of(p),
           ": out has several elements in one place (an expanded array)");
  for (int k = 0; k + 1 < operands; ++k)
    if (clobbers(out, views[k]))
      fail(ErrorKind::value, name_of(p),
           ": out overlaps an input; pass a separate array, or the input itself");
}

enum class Way { rows, columns, gathered_rows, gathered_columns };

// The lines of one launch. Operand 0 is out, then the inputs.
struct Lines {
  const TensorView* view[3];
  int operands;
  Loops loops;         // over everything but the axis
  int64_t n, axis[3];  // length and strides of a line
  int compute;         // 0: float, 1: double
  Way way;
  int64_t width;  // lines per tile

  int64_t buffer_bytes() const {
    if (way == Way::rows || way == Way::columns) return 0;
    return (n * width * (compute ? 8 : 4) + 63) / 64 * 64;
  }
};

Lines plan(const SoftmaxParams& p, const TensorView* views, int operands) {
  Lines l;
  l.operands = operands;
  TensorView without[3];
  for (int k = 0; k < operands; ++k) {
    l.view[k] = &views[(k + operands - 1) % operands];
    without[k] = *l.view[k];
    l.axis[k] = without[k].stride[p.axis];
    without[k].shape[p.axis] = 1;
  }
  l.n = views[0].shape[p.axis];
  l.loops = build_loops(without, operands);
  l.compute = views[0].dtype == DType::f64 ? 1 : 0;
  const bool readable = views[0].dtype == DType::f32 || views[0].dtype == DType::f64;
  bool rows = readable, columns = readable, across = l.loops.cols() > 1;
  for (int k = 0; k < operands; ++k) {
    rows = rows && (l.axis[k] == 1 || l.n == 1);
    columns = columns && l.loops.col_stride(k) == 1;
    across = across && std::abs(l.loops.col_stride(k)) < std::abs(l.axis[k]);
  }
  l.way = rows                ? Way::rows
          : columns && across ? Way::columns
          : across            ? Way::gathered_columns
                              : Way::gathered_rows;
  const int64_t most = l.way == Way::rows
                           ? std::clamp<int64_t>(kGrain / std::max<int64_t>(l.n, 1), 1, kRows)
                       : l.way == Way::columns          ? kColumns
                       : l.way == Way::gathered_columns ? kGatherColumns
                                                        : 1;
  l.width = std::min(l.loops.cols(), most);
  return l;
}

class Runner {
 public:
  Runner(const SoftmaxParams& p, const Lines& lines, char* scratch)
      : p_(p),
        l_(lines),
        kernels_(active_softmax_kernels()),
        cast_(active_cast_kernels()),
        scratch_(scratch) {}

  void tile(const TileWalk& walk, int worker) const {
    const int64_t width = walk.cols();
    void* at[3] = {};
    for (int k = 0; k < l_.operands; ++k)
      at[k] = l_.view[k]->ptr<char>() +
              walk.offset(k) * static_cast<int64_t>(size_of(l_.view[k]->dtype));
    const SoftmaxStrides direct{l_.axis[1], l_.operands > 2 ? l_.axis[2] : 0, l_.axis[0]};
    if (l_.way == Way::rows) {
      const Loops& across = l_.loops;
      return rows(
          at, width,
          {across.col_stride(1), l_.operands > 2 ? across.col_stride(2) : 0, across.col_stride(0)});
    }
    if (l_.way == Way::columns) return columns(at, width, direct);

    void* buffer[3] = {};
    const int dtype = static_cast<int>(l_.view[0]->dtype);
    for (int k = 0; k < l_.operands; ++k) {
      buffer[k] = scratch_ + (worker * l_.operands + k) * l_.buffer_bytes();
      if (k > 0) cast_.load[l_.compute][dtype](buffer[k], at[k], shape(k, width));
    }
    if (l_.way == Way::gathered_rows)
      rows(buffer, 1, {});
    else
      columns(buffer, width, {width, width, width});
    cast_.store[l_.compute][dtype](at[0], buffer[0], shape(0, width));
  }

 private:
  Tile shape(int k, int64_t width) const {
    if (l_.way == Way::gathered_rows) return {1, l_.n, 0, l_.axis[k]};
    return {l_.n, width, l_.axis[k], l_.loops.col_stride(k)};
  }
  void rows(void* const* at, int64_t lines, const SoftmaxStrides& s) const {
    if (l_.operands == 2)
      kernels_.rows[l_.compute](at[0], at[1], l_.n, lines, s, p_.log);
    else
      kernels_.rows_backward[l_.compute](at[0], at[1], at[2], l_.n, lines, s, p_.log);
  }
  void columns(void* const* at, int64_t width, const SoftmaxStrides& s) const {
    if (l_.operands == 2)
      kernels_.cols[l_.compute](at[0], at[1], l_.n, width, s, p_.log);
    else
      kernels_.cols_backward[l_.compute](at[0], at[1], at[2], l_.n, width, s, p_.log);
  }

  const SoftmaxParams& p_;
  const Lines& l_;
  const SoftmaxKernels& kernels_;
  const CastKernels& cast_;
  char* scratch_;
};

template <int operands>
size_t workspace(const SoftmaxParams& p, const TensorView* views) {
  return static_cast<size_t>(plan(p, views, operands).buffer_bytes() * operands * max_workers());
}

template <int operands>
void run(const SoftmaxParams& p, const TensorView* views, void* scratch) {
  if (views[0].numel() == 0) return;
  const Lines lines = plan(p, views, operands);
  const Runner runner(p, lines, static_cast<char*>(scratch));
  const int64_t tiles = TileWalk(lines.loops, 1, lines.width).tiles();
  const int64_t per_task = std::max<int64_t>(1, kGrain / (lines.n * lines.width));
  parallel_blocks(tiles, per_task, [&](int64_t begin, int64_t end, int worker) {
    TileWalk walk(lines.loops, 1, lines.width);
    walk.seek(begin);
    for (int64_t t = begin; t < end; ++t, walk.next()) runner.tile(walk, worker);
  });
}

}  // namespace

const Op<SoftmaxParams> softmax_forward = {"softmax", check<2>, workspace<2>, run<2>};
const Op<SoftmaxParams> softmax_backward = {"softmax_backward", check<3>, workspace<3>, run<3>};

}  // namespace fastnn
