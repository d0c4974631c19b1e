// Reductions: _core.sum(x, dims=None, keepdim=False) and its sisters.
#include "fastnn/ops/reduce.h"

#include "bindings/fast_function.h"

namespace fastnn {

namespace {

uint32_t axes_of(py::handle dims, int ndim, const char* op) {
  if (!dims || dims.is_none()) return (1u << ndim) - 1;
  const auto axis = [&](py::handle value) {
    const Py_ssize_t d = PyNumber_AsSsize_t(value.ptr(), PyExc_IndexError);
    if (d == -1 && PyErr_Occurred()) throw py::error_already_set();
    const int limit = ndim ? ndim : 1;
    if (d < -limit || d >= limit)
      fail(ErrorKind::index, op, ": Dimension out of range (expected to be in range of [", -limit,
           ", ", limit - 1, "], but got ", d, ")");
    return ndim ? 1u << (d < 0 ? d + ndim : d) : 0u;
  };
  if (PyIndex_Check(dims.ptr())) return axis(dims);
  uint32_t axes = 0;
  const py::object items =
      py::reinterpret_steal<py::object>(PySequence_Fast(dims.ptr(), "dims must be a sequence"));
  if (!items) throw py::error_already_set();
  for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(items.ptr()); ++i) {
    const uint32_t bit = axis(PySequence_Fast_GET_ITEM(items.ptr(), i));
    if (axes & bit) fail(ErrorKind::runtime, op, ": a dim appears several times in dims");
    axes |= bit;
  }
  return axes;
}

// The view of an output without its axes of size 1 that were reduced.
NewArray make_output(const TensorView& x, uint32_t axes, bool keepdim, DType dtype,
                     TensorView& kept_view) {
  int64_t shape[kMaxDims];
  int ndim = 0;
  for (int d = 0; d < x.ndim; ++d)
    if (keepdim || !(axes >> d & 1)) shape[ndim++] = axes >> d & 1 ? 1 : x.shape[d];
  NewArray out = new_array(dtype, shape, ndim);
  kept_view = out.view;
  kept_view.ndim = x.ndim;
  for (int d = x.ndim - 1, k = ndim - 1; d >= 0; --d) {
    const bool reduced = axes >> d & 1;
    kept_view.shape[d] = reduced ? 1 : x.shape[d];
    kept_view.stride[d] = reduced ? 0 : out.view.stride[k];
    if (keepdim || !reduced) --k;
  }
  return out;
}

DType result_dtype(ReduceOp op, DType x) {
  switch (op) {
    case ReduceOp::sum:
    case ReduceOp::prod:
      return is_float(x) ? x : DType::i64;
    case ReduceOp::any:
    case ReduceOp::all:
      return DType::b8;
    case ReduceOp::count_nonzero:
      return DType::i64;
    default:
      return x;
  }
}

bool truth(py::handle value, bool otherwise) { return value ? truth_of(value) : otherwise; }

struct Named {
  const char* name;
  const char* doc;
};
constexpr Named kReductions[] = {
    {"sum", "sum(x, dims=None, keepdim=False)"},
    {"mean", "mean(x, dims=None, keepdim=False)"},
    {"prod", "prod(x, dims=None, keepdim=False)"},
    {"max", "max(x, dims=None, keepdim=False, indices=False) -> (values, indices or None)"},
    {"min", "min(x, dims=None, keepdim=False, indices=False) -> (values, indices or None)"},
    {"any", "any(x, dims=None, keepdim=False)"},
    {"all", "all(x, dims=None, keepdim=False)"},
    {"count_nonzero", "count_nonzero(x, dims=None, keepdim=False)"},
    {"norm", "norm(x, dims=None, keepdim=False, p=2.0)"},
    {"var", "var(x, dims=None, keepdim=False, correction=1.0)"},
    {"std", "std(x, dims=None, keepdim=False, correction=1.0)"},
    {"logsumexp", "logsumexp(x, dims=None, keepdim=False)"},
};

py::object call(int id, const CallArgs& arguments) {
  const auto op = static_cast<ReduceOp>(id);
  const char* name = kReductions[id].name;
  const bool extreme = op == ReduceOp::max || op == ReduceOp::min;
  const bool has_p = op == ReduceOp::norm || op == ReduceOp::var || op == ReduceOp::std_dev;
  const char* const names[] = {"x", "dims", "keepdim",
                               extreme                ? "indices"
                               : op == ReduceOp::norm ? "p"
                                                      : "correction"};
  py::handle args[4];
  arguments.unpack(names, 1, extreme || has_p ? 4 : 3, args);

  const Arg x = input_arg(args[0], name, "x");
  ReduceParams params{op, axes_of(args[1], x.view.ndim, name), op == ReduceOp::norm ? 2.0 : 1.0};
  if (has_p && args[3]) params.p = args[3].cast<double>();
  const bool keepdim = truth(args[2], false);
  TensorView out_view, index_view;
  NewArray out =
      make_output(x.view, params.axes, keepdim, result_dtype(op, x.view.dtype), out_view);
  if (!extreme) {
    run_op(reduce, params, {x.view, out_view, TensorView{}});
    return std::move(out.array);
  }
  py::object index = py::none();
  if (truth(args[3], false)) {
    NewArray found = make_output(x.view, params.axes, keepdim, DType::i64, index_view);
    index = std::move(found.array);
  }
  run_op(reduce, params, {x.view, out_view, index_view});
  return py::make_tuple(std::move(out.array), std::move(index));
}

}  // namespace

void bind_reduce(py::module_& m) {
  for (int id = 0; id < static_cast<int>(std::size(kReductions)); ++id)
    def_fast<call>(m, kReductions[id].name, id, kReductions[id].doc);
}

}  // namespace fastnn
