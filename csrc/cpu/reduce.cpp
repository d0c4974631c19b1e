// Driver of the reductions: passes, and what becomes of their accumulators.
#include "fastnn/ops/reduce.h"

#include <cmath>

#include "cpu/kernels/cast.h"
#include "cpu/reduce_pass.h"
#include "fastnn/ops/elementwise.h"

namespace fastnn {

namespace {

constexpr const char* kNames[] = {"sum", "mean",          "prod", "max", "min", "any",
                                  "all", "count_nonzero", "norm", "var", "std", "logsumexp"};

const char* name_of(ReduceOp op) { return kNames[static_cast<int>(op)]; }

bool needs_floats(ReduceOp op) {
  return op == ReduceOp::mean || op == ReduceOp::norm || op == ReduceOp::var ||
         op == ReduceOp::std_dev || op == ReduceOp::logsumexp;
}

bool is_extreme(ReduceOp op) { return op == ReduceOp::max || op == ReduceOp::min; }

// A first pass gives every output its shift: the mean, or the maximum.
bool has_shift(const ReduceParams& p) {
  return p.op == ReduceOp::var || p.op == ReduceOp::std_dev || p.op == ReduceOp::logsumexp ||
         p.op == ReduceOp::norm;
}

Fold fold_of(const ReduceParams& p) {
  switch (p.op) {
    case ReduceOp::sum:
    case ReduceOp::mean:
      return Fold::sum;
    case ReduceOp::prod:
      return Fold::prod;
    case ReduceOp::max:
      return Fold::max;
    case ReduceOp::min:
      return Fold::min;
    case ReduceOp::var:
    case ReduceOp::std_dev:
      return Fold::sum_centred;
    case ReduceOp::logsumexp:
      return Fold::sum_exp;
    case ReduceOp::norm:
      return p.p == 2           ? Fold::sum_squares
             : p.p == 1         ? Fold::sum_abs
             : p.p == 0         ? Fold::nonzero
             : p.p == INFINITY  ? Fold::max_abs
             : p.p == -INFINITY ? Fold::min_abs
                                : Fold::sum_power;
    default:
      return Fold::nonzero;
  }
}

void check_shape(const ReduceParams& p, const TensorView& x, const TensorView& out,
                 const char* what) {
  bool fits = out.ndim == x.ndim;
  for (int d = 0; fits && d < x.ndim; ++d)
    fits = out.shape[d] == (p.axes >> d & 1 ? 1 : x.shape[d]);
  if (!fits)
    fail(ErrorKind::shape, name_of(p.op), ": ", what, " has shape ", out.shape_text(),
         ", which is not that of x, ", x.shape_text(), ", with its reduced axes of size 1");
}

void check(const ReduceParams& p, const TensorView* views) {
  const TensorView &x = views[0], &out = views[1], &index = views[2];
  if (p.axes >> x.ndim)
    fail(ErrorKind::value, name_of(p.op), ": an axis is outside of x, which has ", x.ndim);
  check_shape(p, x, out, "out");
  if (needs_floats(p.op) && !is_float(x.dtype))
    fail(ErrorKind::dtype, name_of(p.op), ": expected a floating point dtype, got ",
         fastnn::name_of(x.dtype), "; convert it first");
  if (is_extreme(p.op) && x.numel() == 0 && out.numel() > 0)
    fail(ErrorKind::value, name_of(p.op), ": cannot reduce over an axis of size 0 in shape ",
         x.shape_text(), ", as there is no identity");
  if (index) {
    check_shape(p, x, index, "index");
    if (!is_extreme(p.op) || (p.axes & (p.axes - 1)) != 0 || (p.axes == 0 && x.ndim > 0))
      fail(ErrorKind::value, name_of(p.op), ": an index needs max or min along exactly one axis");
    if (index.dtype != DType::i64)
      fail(ErrorKind::dtype, name_of(p.op), ": index must have dtype int64, got ",
           fastnn::name_of(index.dtype));
  }
}

struct Layout {
  size_t acc, shift, index, parts, total;
};

Layout layout(const ReduceParams& p, const ReducePlan& plan, bool with_index) {
  const size_t each = (static_cast<size_t>(plan.outputs) * 8 + 63) / 64 * 64;
  Layout l{};
  l.shift = l.acc + each;
  l.index = l.shift + (has_shift(p) ? each : 0);
  l.parts = l.index + (with_index ? each : 0);
  l.total = l.parts + part_bytes(plan, with_index);
  return l;
}

size_t workspace(const ReduceParams& p, const TensorView* views) {
  return layout(p, plan_reduction(views[0], p.axes), static_cast<bool>(views[2])).total;
}

// What the sums become.
void finish(const ReduceParams& p, const ReducePlan& plan, const double* shift, double* acc) {
  const auto n = static_cast<double>(plan.count);
  const auto each = [&](auto f) {
    for (int64_t i = 0; i < plan.outputs; ++i) acc[i] = f(acc[i], i);
  };
  const double freedom = n - p.p > 0 ? n - p.p : 0;
  switch (p.op) {
    case ReduceOp::mean:
      return each([&](double a, int64_t) { return a / n; });
    case ReduceOp::any:
      return each([](double a, int64_t) { return a > 0; });
    case ReduceOp::all:
      return each([&](double a, int64_t) { return a == n; });
    case ReduceOp::var:
      return each([&](double a, int64_t) { return a / freedom; });
    case ReduceOp::std_dev:
      return each([&](double a, int64_t) { return std::sqrt(a / freedom); });
    case ReduceOp::logsumexp:
      // Without a finite maximum the shift was 0, and the sum is 0 or infinite, or NaN.
      return each([&](double a, int64_t i) { return std::log(a) + shift[i]; });
    case ReduceOp::norm:
      if (p.p == 2) return each([](double a, int64_t) { return std::sqrt(a); });
      if (p.p == 0 || p.p == 1 || std::isinf(p.p)) return;
      return each([&](double a, int64_t) { return std::pow(a, 1 / p.p); });
    default:
      return;
  }
}

void finish_integers(const ReduceParams& p, const ReducePlan& plan, int64_t* acc) {
  if (p.op != ReduceOp::any && p.op != ReduceOp::all) return;
  for (int64_t i = 0; i < plan.outputs; ++i)
    acc[i] = p.op == ReduceOp::any ? acc[i] > 0 : acc[i] == plan.count;
}

void write_out(const ReducePlan& plan, const TensorView& out, void* acc, DType acc_type) {
  TensorView from = out;
  from.data = acc;
  from.dtype = acc_type;
  for (int d = 0; d < out.ndim; ++d) from.stride[d] = out.shape[d] == 1 ? 0 : plan.output_stride[d];
  bool in_order = true;
  for (int d = 0; d < out.ndim; ++d)
    in_order = in_order && (out.shape[d] == 1 || out.stride[d] == plan.output_stride[d]);
  if (in_order) {
    const int compute = acc_type == DType::f64 ? 1 : 2;
    active_cast_kernels().store[compute][static_cast<int>(out.dtype)](
        out.data, acc, {1, plan.outputs, plan.outputs, 1});
  } else {
    const TensorView views[] = {out, from};
    elementwise.run(ElementwiseParams{MapOp::copy, acc_type, {}}, views, nullptr);
  }
}

void shift_pass(const ReduceParams& p, const ReducePlan& plan, FoldPass pass, double* shift) {
  if (p.op == ReduceOp::norm) {
    for (int64_t i = 0; i < plan.outputs; ++i) shift[i] = p.p;
    return;
  }
  const bool exponential = p.op == ReduceOp::logsumexp;
  pass.fold = exponential ? Fold::max : Fold::sum;
  pass.acc = shift;
  run_pass(pass);
  for (int64_t i = 0; i < plan.outputs; ++i) {
    if (!exponential)
      shift[i] /= static_cast<double>(plan.count);
    else if (std::isinf(shift[i]))
      shift[i] = 0;
  }
}

void run(const ReduceParams& p, const TensorView* views, void* scratch) {
  const TensorView &x = views[0], &out = views[1], &index = views[2];
  const ReducePlan plan = plan_reduction(x, p.axes);
  if (plan.outputs == 0) return;
  const Layout l = layout(p, plan, static_cast<bool>(index));
  char* room = static_cast<char*>(scratch);
  // A mean that is right to a float's ulp only would spoil the variance of values far from 0.
  const bool centred = p.op == ReduceOp::var || p.op == ReduceOp::std_dev;
  const DType compute = centred ? DType::f64 : compute_type(x.dtype);
  auto* acc = reinterpret_cast<double*>(room + l.acc);
  auto* shift = has_shift(p) ? reinterpret_cast<double*>(room + l.shift) : nullptr;
  auto* indices = index ? reinterpret_cast<int64_t*>(room + l.index) : nullptr;

  FoldPass pass{&plan, &x, compute, fold_of(p), acc, nullptr, indices, room + l.parts};
  if (shift) shift_pass(p, plan, pass, shift);
  pass.shift = shift;
  run_pass(pass);
  if (compute == DType::i64)
    finish_integers(p, plan, reinterpret_cast<int64_t*>(acc));
  else
    finish(p, plan, shift, acc);
  write_out(plan, out, acc, compute == DType::i64 ? DType::i64 : DType::f64);
  if (index) write_out(plan, index, indices, DType::i64);
}

}  // namespace

const Op<ReduceParams> reduce = {"reduce", check, workspace, run};

}  // namespace fastnn
