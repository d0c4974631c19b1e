// Matrix products of tensors: checks, the kernel, recording. In C because a small product is done
// sooner than Python has checked its operands. Gradients are Python's (ops/linalg.py), which makes
// these functions.
#include "bindings/fast_function.h"
#include "bindings/gemm.h"
#include "bindings/node.h"
#include "bindings/operands.h"

namespace fastnn {

namespace {

std::string sizes_text(const TensorView& v) {
  std::string s = "[";
  for (int d = 0; d < v.ndim; ++d) s += (d ? ", " : "") + std::to_string(v.shape[d]);
  return s + "]";
}

void same_dtype(const TensorView& a, const TensorView& b, const char* op) {
  if (a.dtype != b.dtype)
    fail(ErrorKind::dtype, op, ": expected operands to have the same dtype, got ", name_of(a.dtype),
         " and ", name_of(b.dtype), "; convert one with .to()");
}

// a @ b for tensors of two or more dimensions, batches broadcast.
py::object product_of(py::handle a, py::handle b, const char* op, py::handle backward) {
  const Arg x = input_arg(as_tensor(a)->data, op, "input");
  const Arg y = input_arg(as_tensor(b)->data, op, "other");
  same_dtype(x.view, y.view, op);
  const int n = x.view.ndim, m = y.view.ndim;
  if (n >= 2 && m >= 2 && x.view.shape[n - 1] != y.view.shape[m - 2])
    fail(ErrorKind::shape, op, ": mat1 and mat2 shapes cannot be multiplied (", sizes_text(x.view),
         " and ", sizes_text(y.view), "): the inner sizes ", x.view.shape[n - 1], " and ",
         y.view.shape[m - 2], " differ");
  if (!is_float(x.view.dtype))
    return wrap_array(py::module_::import("numpy").attr("matmul")(x.keep, y.keep));
  py::object result = wrap_array(gemm_new(x, y).array);
  if (grad_enabled() && (requires_grad(a) || requires_grad(b)))
    record_call(result, backward, {a.ptr(), b.ptr()}, {a.ptr(), b.ptr()});
  return result;
}

// product(a, b, op); state: its backward.
py::object product(int, const CallArgs& call) {
  static constexpr const char* kNames[] = {"a", "b", "op"};
  py::handle args[3];
  call.unpack(kNames, 3, 3, args);
  const std::string op = args[2].cast<std::string>();
  tensor_arg(args[0], op.c_str(), "input");
  tensor_arg(args[1], op.c_str(), "other");
  return product_of(args[0], args[1], op.c_str(), call.self->state);
}

// matmul(input, other, *, out=None); state: (backward of the product, the Python function for
// vectors and folded batches).
py::object matmul(int, const CallArgs& call) {
  PyObject* const state = call.self->state;
  if (call.count == 2 && !call.keywords) {
    const py::handle a = call.values[0], b = call.values[1];
    tensor_arg(a, "matmul", "input");
    tensor_arg(b, "matmul", "other");
    const auto& api = py::detail::npy_api::get();
    const auto rank = [&](py::handle t) {
      PyObject* array = as_tensor(t)->data;
      return api.PyArray_Check_(array) ? py::detail::array_proxy(array)->nd : 0;
    };
    if (rank(a) == 2 && rank(b) == 2) return product_of(a, b, "matmul", PyTuple_GET_ITEM(state, 0));
  }
  PyObject* r = PyObject_Vectorcall(PyTuple_GET_ITEM(state, 1), call.values,
                                    static_cast<size_t>(call.count), call.keywords);
  if (!r) throw py::error_already_set();
  return py::reinterpret_steal<py::object>(r);
}

// ---- linear -------------------------------------------------------------------------------------

// x with all axes but the last as one; `keep` holds a row-major copy where they do not merge.
TensorView rows_of(const TensorView& x, NewArray& keep) {
  if (x.ndim == 2) return x;
  TensorView rows = x;
  if (!x.contiguous()) {
    keep = new_array(x.dtype, x.shape, x.ndim);
    copy_into(keep.view, x);
    rows = keep.view;
  }
  const int64_t last = x.shape[x.ndim - 1];
  rows.ndim = 2;
  rows.shape[0] = 1;
  for (int d = 0; d + 1 < x.ndim; ++d) rows.shape[0] *= x.shape[d];
  rows.shape[1] = rows.stride[0] = last;
  rows.stride[1] = 1;
  return rows;
}

void check_linear(const TensorView& x, const TensorView& w, const TensorView& b) {
  if (w.ndim != 2 || x.ndim == 0 || x.shape[x.ndim - 1] != w.shape[1])
    fail(ErrorKind::shape, "linear: input of shape ", sizes_text(x),
         " does not fit weight of shape ", sizes_text(w), ": the last size of input must be ",
         w.ndim ? w.shape[w.ndim - 1] : 0, " (in_features)");
  same_dtype(x, w, "linear");
  if (!b) return;
  same_dtype(x, b, "linear");
  if (b.ndim != 1 || b.shape[0] != w.shape[0])
    fail(ErrorKind::shape, "linear: bias of shape ", sizes_text(b),
         " does not fit weight of shape ", sizes_text(w), ": expected (", w.shape[0], ",)");
}

py::object checked(PyObject* result) {
  if (!result) throw py::error_already_set();
  return py::reinterpret_steal<py::object>(result);
}

// linear(input, weight, bias=None); state: its backward.
py::object linear(int, const CallArgs& call) {
  static constexpr const char* kNames[] = {"input", "weight", "bias"};
  py::handle args[3];
  call.unpack(kNames, 2, 3, args);
  if (!args[2]) args[2] = Py_None;
  const bool biased = !args[2].is_none();
  const Arg x = input_arg(tensor_arg(args[0], "linear", "input")->data, "linear", "input");
  const Arg w = input_arg(tensor_arg(args[1], "linear", "weight")->data, "linear", "weight");
  const Arg b =
      biased ? input_arg(tensor_arg(args[2], "linear", "bias")->data, "linear", "bias") : Arg{};
  if (w.view.ndim == 1) {
    py::object out = checked(PyNumber_MatrixMultiply(args[0].ptr(), args[1].ptr()));
    return biased ? checked(PyNumber_Add(out.ptr(), args[2].ptr())) : out;
  }
  check_linear(x, w, b);
  int64_t shape[kMaxDims];
  std::copy(x.view.shape, x.view.shape + x.view.ndim, shape);
  shape[x.view.ndim - 1] = w.view.shape[0];
  const NewArray out = new_array(x.view.dtype, shape, x.view.ndim);
  NewArray keep_in, keep_out;
  gemm_linear(rows_of(x, keep_in), w, b, rows_of(out.view, keep_out));
  py::object result = wrap_array(out.array);
  if (grad_enabled() &&
      (requires_grad(args[0]) || requires_grad(args[1]) || (biased && requires_grad(args[2]))))
    record_call(result, call.self->state, {args[0].ptr(), args[1].ptr(), args[2].ptr()},
                {args[0].ptr(), args[1].ptr()});
  return result;
}

}  // namespace

void bind_products(py::module_& m) {
  const py::str module("fastnn.ops.linalg");
  m.def("make_product", [module](py::object backward) {
    return fast_function<product>(module, "product", 0, nullptr, "(a, b, op)", std::move(backward));
  });
  m.def("make_matmul", [module](py::object backward, py::object otherwise) {
    return fast_function<matmul>(
        module, "matmul", 0,
        "The matrix product, with vectors (1-D) and batches (3-D and more, broadcast) as in NumPy.",
        "(input, other, *, out=None)", py::make_tuple(backward, otherwise));
  });
  m.def("make_linear", [module](py::object backward) {
    return fast_function<linear>(
        module, "linear", 0,
        "``input @ weight.T + bias``: (…, in) with weight (out, in) and bias (out,) gives (…, "
        "out). One kernel call.",
        "(input, weight, bias=None)", std::move(backward));
  });
}

}  // namespace fastnn
