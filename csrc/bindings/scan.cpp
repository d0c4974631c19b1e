// Running sums, products and extremes: _core.cumsum(x, dim) and its sisters.
#include "fastnn/ops/scan.h"

#include "bindings/convert.h"

namespace fastnn {

namespace {

template <ScanOp op>
py::object call(py::handle array, int dim) {
  constexpr const char* kNames[] = {"cumsum", "cumprod", "cummax", "cummin", "logcumsumexp"};
  const char* name = kNames[static_cast<int>(op)];
  constexpr bool extreme = op == ScanOp::cummax || op == ScanOp::cummin;
  const Arg x = input_arg(array, name, "x");
  const int limit = x.view.ndim ? x.view.ndim : 1;
  if (dim < -limit || dim >= limit)
    fail(ErrorKind::index, name, ": Dimension out of range (expected to be in range of [", -limit,
         ", ", limit - 1, "], but got ", dim, ")");
  TensorView in = x.view;
  const DType dtype = extreme || is_float(in.dtype) ? in.dtype : DType::i64;
  NewArray out = new_array(dtype, in.shape, in.ndim), index;
  TensorView out_view = out.view;
  if (extreme) index = new_array(DType::i64, in.shape, in.ndim);
  TensorView index_view = index.view;
  if (in.ndim == 0)  // one line of one element
    for (TensorView* v : {&in, &out_view, &index_view}) {
      v->ndim = 1;
      v->shape[0] = v->stride[0] = 1;
    }
  run_op(scan, ScanParams{op, dim < 0 ? dim + limit : dim}, {in, out_view, index_view});
  if constexpr (extreme)
    return py::make_tuple(std::move(out.array), std::move(index.array));
  else
    return std::move(out.array);
}

}  // namespace

void bind_scan(py::module_& m) {
  m.def("cumsum", &call<ScanOp::cumsum>, py::arg("x"), py::arg("dim"));
  m.def("cumprod", &call<ScanOp::cumprod>, py::arg("x"), py::arg("dim"));
  m.def("cummax", &call<ScanOp::cummax>, py::arg("x"), py::arg("dim"));
  m.def("cummin", &call<ScanOp::cummin>, py::arg("x"), py::arg("dim"));
  m.def("logcumsumexp", &call<ScanOp::logcumsumexp>, py::arg("x"), py::arg("dim"));
}

}  // namespace fastnn
