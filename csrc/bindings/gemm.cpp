// gemm(a, b, bias=None, out=None, alpha=1.0, beta=0.0, activation=0)
#include "fastnn/ops/gemm.h"

#include "bindings/activation.h"
#include "bindings/convert.h"
#include "bindings/gemm.h"

namespace fastnn {

namespace {

// A vector is a matrix of one row (a) or one column (b), as in matmul; the axis leaves the result
// again.
bool promote(TensorView& v, bool is_row) {
  if (v.ndim != 1) return false;
  v.shape[1] = is_row ? v.shape[0] : 1;
  v.stride[1] = is_row ? v.stride[0] : 0;
  if (is_row) {
    v.shape[0] = 1;
    v.stride[0] = 0;
  }
  v.ndim = 2;
  return true;
}

void drop_axis(TensorView& v, int axis) {
  for (int d = axis; d + 1 < v.ndim; ++d) {
    v.shape[d] = v.shape[d + 1];
    v.stride[d] = v.stride[d + 1];
  }
  --v.ndim;
}

void insert_axis(TensorView& v, int axis) {
  for (int d = v.ndim; d > axis; --d) {
    v.shape[d] = v.shape[d - 1];
    v.stride[d] = v.stride[d - 1];
  }
  v.shape[axis] = 1;
  v.stride[axis] = 0;
  ++v.ndim;
}

// Shape of the product, before the axes of promoted vectors are dropped.
TensorView product_shape(const TensorView& a, const TensorView& b) {
  if (a.ndim < 2 || b.ndim < 2)
    fail(ErrorKind::shape, "matmul: ", a.ndim < 2 ? "a" : "b",
         " has 0 dimensions; expected at least 1");
  TensorView c;
  c.ndim = a.ndim > b.ndim ? a.ndim : b.ndim;
  for (int e = 3; e <= c.ndim; ++e) {
    const int64_t x = e <= a.ndim ? a.shape[a.ndim - e] : 1,
                  y = e <= b.ndim ? b.shape[b.ndim - e] : 1;
    if (x != y && x != 1 && y != 1)
      fail(ErrorKind::shape, "matmul: batch axes of a with shape ", a.shape_text(),
           " and of b with shape ", b.shape_text(), " do not broadcast: sizes ", x, " and ", y);
    c.shape[c.ndim - e] = x == 1 ? y : x;
  }
  c.shape[c.ndim - 2] = a.shape[a.ndim - 2];
  c.shape[c.ndim - 1] = b.shape[b.ndim - 1];
  return c;
}

py::object gemm(py::handle a_in, py::handle b_in, py::handle bias_in, py::handle out, double alpha,
                double beta, py::handle activation) {
  Arg a = input_arg(a_in, "matmul", "a"), b = input_arg(b_in, "matmul", "b");
  const Arg bias = optional_arg(bias_in, "matmul", "bias");
  const bool row = promote(a.view, true), column = promote(b.view, false);
  const TensorView shape = product_shape(a.view, b.view);
  GemmParams params;
  params.alpha = alpha;
  params.beta = beta;
  params.activation = activation_arg(activation, "matmul");

  if (!out.is_none()) {
    Arg c = output_arg(out, "matmul", "out");
    if (column) insert_axis(c.view, c.view.ndim);
    if (row) insert_axis(c.view, c.view.ndim - 1);
    run_op(gemm_forward, params, {a, b, c, bias});
    return c.keep;
  }
  if (beta != 0)
    fail(ErrorKind::value, "matmul: beta is ", beta,
         " but there is no out to scale and add; pass out");
  TensorView dims = shape;
  if (column) drop_axis(dims, dims.ndim - 1);
  if (row) drop_axis(dims, dims.ndim - (column ? 1 : 2));
  NewArray c = new_array(a.view.dtype, dims.shape, dims.ndim);
  if (column) insert_axis(c.view, c.view.ndim);
  if (row) insert_axis(c.view, c.view.ndim - 1);
  run_op(gemm_forward, params, {a, b, c, bias});
  return c.array;
}

}  // namespace

NewArray gemm_new(const TensorView& a, const TensorView& b) {
  const TensorView shape = product_shape(a, b);
  NewArray c = new_array(a.dtype, shape.shape, shape.ndim);
  run_op(gemm_forward, GemmParams{}, {a, b, c, TensorView{}});
  return c;
}

void gemm_linear(const TensorView& x, const TensorView& w, const TensorView& bias,
                 const TensorView& out, Activation activation) {
  TensorView columns = w;
  std::swap(columns.shape[0], columns.shape[1]);
  std::swap(columns.stride[0], columns.stride[1]);
  run_op(gemm_forward, GemmParams{.activation = activation}, {x, columns, out, bias});
}

void bind_gemm(py::module_& m) {
  m.def("gemm", &gemm, py::arg("a"), py::arg("b"), py::arg("bias") = py::none(),
        py::arg("out") = py::none(), py::arg("alpha") = 1.0, py::arg("beta") = 0.0,
        py::arg("activation") = 0,
        "act(alpha * a @ b + beta * out + bias), with the rules of matmul for ranks and batch "
        "axes; returns out, or a "
        "new array of the inputs' dtype.");
}

}  // namespace fastnn
