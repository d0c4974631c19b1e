// row_norm, batch_norm, group_norm and their backward passes. Gradients that are not wanted are
// None.
#include "fastnn/ops/norm.h"

#include "bindings/activation.h"
#include "bindings/classes.h"

namespace fastnn {

namespace {

// ---- Rows: the last axes of x, as many as their product `length` covers
// ----------------------------------------------

TensorView as_rows(const TensorView& x, int64_t length) {
  TensorView v = x;
  v.ndim = 2;
  v.shape[0] = length ? x.numel() / length : 0;
  v.shape[1] = length;
  v.stride[0] = length;
  v.stride[1] = 1;
  return v;
}

int64_t row_length(const TensorView& x, int axes, const char* op) {
  if (axes < 1 || axes > x.ndim)
    fail(ErrorKind::shape, op, ": cannot normalise the last ", axes, " axes of an input of shape ",
         x.shape_text());
  int64_t length = 1;
  for (int d = x.ndim - axes; d < x.ndim; ++d) length *= x.shape[d];
  return length;
}

// (y, mean, rstd)
py::tuple row_forward(py::handle x, int axes, py::handle weight, py::handle bias, double eps,
                      bool centered) {
  const char* op = centered ? "layer_norm" : "rms_norm";
  const Arg in = contiguous_arg(x, op, "input");
  const Arg w = optional_contiguous_arg(weight, op, "weight"),
            b = optional_contiguous_arg(bias, op, "bias");
  const TensorView rows = as_rows(in.view, row_length(in.view, axes, op));
  NewArray y = new_array(in.view.dtype, in.view.shape, in.view.ndim);
  NewArray mean = new_array(in.view.dtype, {centered ? rows.shape[0] : 0});
  NewArray rstd = new_array(in.view.dtype, {rows.shape[0]});
  run_op(row_norm_forward, RowNormParams{centered, eps},
         {rows, w, b, as_rows(y.view, rows.shape[1]), centered ? mean.view : TensorView{}, rstd});
  return py::make_tuple(y.array, centered ? mean.array : py::none(), rstd.array);
}

struct Wanted {
  bool dx, dweight, dbias;
};

NewArray wanted_vector(bool wanted, DType dtype, int64_t n) {
  NewArray a;
  if (wanted) return new_array(dtype, {n});
  a.array = py::none();
  return a;
}

py::tuple row_backward(py::handle dy, py::handle x, int axes, py::handle weight, py::handle mean,
                       py::handle rstd, bool want_dx, bool want_dweight, bool want_dbias) {
  const char* op = mean.is_none() ? "rms_norm" : "layer_norm";
  const Arg in = contiguous_arg(x, op, "input"), g = contiguous_arg(dy, op, "grad_output");
  const Arg w = optional_contiguous_arg(weight, op, "weight");
  const Arg m = optional_arg(mean, op, "mean"), r = input_arg(rstd, op, "rstd");
  const int64_t length = row_length(in.view, axes, op);
  const DType dtype = in.view.dtype;
  NewArray dx;
  dx.array = py::none();
  if (want_dx) dx = new_array(dtype, in.view.shape, in.view.ndim);
  NewArray dweight = wanted_vector(want_dweight, dtype, length),
           dbias = wanted_vector(want_dbias, dtype, length);
  run_op(row_norm_backward, RowNormParams{!mean.is_none(), 0},
         {as_rows(g.view, length), as_rows(in.view, length), w, m, r,
          want_dx ? as_rows(dx.view, length) : TensorView{}, dweight, dbias});
  return py::make_tuple(dx.array, dweight.array, dbias.array);
}

// ---- Channels: x as [N, C, S], row-major or channels-last
// --------------------------------------------------------------

bool channels_last(const TensorView& v) {
  if (v.ndim < 3 || v.shape[1] == 1 || v.stride[1] != 1) return false;
  const TensorView m = merge_inner_axes(v);
  return inner_axes_merge(v) && (m.shape[2] == 1 || m.stride[2] == m.shape[1]) &&
         (m.shape[0] == 1 || m.stride[0] == m.shape[1] * m.shape[2]);
}

Arg channels_arg(py::handle x, const char* op, const char* name) {
  Arg arg = input_arg(x, op, name);
  if (arg.view.ndim < 2)
    fail(ErrorKind::shape, op, ": ", name,
         " must have at least 2 dimensions (batch and channels), got shape ",
         arg.view.shape_text());
  return arg.view.contiguous() || channels_last(arg.view) ? std::move(arg)
                                                          : contiguous_arg(x, op, name);
}

// `a` in the memory layout of `like`.
Arg same_layout_arg(py::handle a, const TensorView& like, const char* op, const char* name) {
  Arg arg = input_arg(a, op, name);
  if (arg.view.shape_text() != like.shape_text())
    fail(ErrorKind::shape, op, ": ", name, " must have shape ", like.shape_text(), ", got ",
         arg.view.shape_text());
  bool same = true;
  for (int d = 0; d < like.ndim; ++d)
    same = same && (like.shape[d] == 1 || like.stride[d] == arg.view.stride[d]);
  if (same) return arg;
  NewArray copy = new_array_like(like, arg.view.dtype);
  copy.array.attr("__setitem__")(py::ellipsis(), arg.keep);
  return Arg{copy.view, copy.array};
}

py::tuple batch_forward(py::handle x, py::handle weight, py::handle bias, py::handle running_mean,
                        py::handle running_var, bool training, double momentum, double eps,
                        py::handle activation) {
  const char* op = "batch_norm";
  const Arg in = channels_arg(x, op, "input");
  const Arg w = optional_contiguous_arg(weight, op, "weight"),
            b = optional_contiguous_arg(bias, op, "bias");
  Arg mean_arg, var_arg;
  if (training && !running_mean.is_none()) {
    mean_arg = output_arg(running_mean, op, "running_mean");
    var_arg = output_arg(running_var, op, "running_var");
  } else {
    mean_arg = optional_contiguous_arg(running_mean, op, "running_mean");
    var_arg = optional_contiguous_arg(running_var, op, "running_var");
  }
  const DType dtype = in.view.dtype;
  NewArray y = new_array_like(in.view, dtype);
  NewArray mean = new_array(dtype, {in.view.shape[1]}), rstd = new_array(dtype, {in.view.shape[1]});
  run_op(
      batch_norm_forward, BatchNormParams{training, momentum, eps, activation_arg(activation, op)},
      {merge_inner_axes(in.view), w, b, mean_arg, var_arg, merge_inner_axes(y.view), mean, rstd});
  return py::make_tuple(y.array, mean.array, rstd.array);
}

// The gradients of x, weight and bias, from saved statistics.
template <class Params>
py::tuple channel_backward(const Op<Params>& backward, const Params& params, const char* op,
                           py::handle dy, py::handle x, py::handle weight, py::handle mean,
                           py::handle rstd, Wanted wanted, py::handle y = py::none()) {
  const Arg in = channels_arg(x, op, "input"), g = same_layout_arg(dy, in.view, op, "grad_output");
  const Arg w = optional_contiguous_arg(weight, op, "weight");
  const Arg out = y.is_none() ? Arg{} : same_layout_arg(y, in.view, op, "output");
  const Arg m = contiguous_arg(mean, op, "mean"), r = contiguous_arg(rstd, op, "rstd");
  const DType dtype = in.view.dtype;
  NewArray dx;
  dx.array = py::none();
  if (wanted.dx) dx = new_array_like(in.view, dtype);
  NewArray dweight = wanted_vector(wanted.dweight, dtype, in.view.shape[1]);
  NewArray dbias = wanted_vector(wanted.dbias, dtype, in.view.shape[1]);
  run_op(backward, params,
         {merge_inner_axes(g.view), merge_inner_axes(in.view), w, m, r,
          wanted.dx ? merge_inner_axes(dx.view) : TensorView{}, dweight, dbias,
          out.view ? merge_inner_axes(out.view) : TensorView{}});
  return py::make_tuple(dx.array, dweight.array, dbias.array);
}

py::tuple group_forward(py::handle x, int64_t groups, py::handle weight, py::handle bias,
                        double eps) {
  const char* op = "group_norm";
  const Arg in = channels_arg(x, op, "input");
  const Arg w = optional_contiguous_arg(weight, op, "weight"),
            b = optional_contiguous_arg(bias, op, "bias");
  const DType dtype = in.view.dtype;
  NewArray y = new_array_like(in.view, dtype);
  const int64_t rows = in.view.shape[0] * std::max<int64_t>(groups, 0);
  NewArray mean = new_array(dtype, {rows}), rstd = new_array(dtype, {rows});
  run_op(group_norm_forward, GroupNormParams{groups, eps},
         {merge_inner_axes(in.view), w, b, merge_inner_axes(y.view), mean, rstd});
  return py::make_tuple(y.array, mean.array, rstd.array);
}

}  // namespace

void bind_norm(py::module_& m) {
  m.def("row_norm", &row_forward);
  m.def("row_norm_backward", &row_backward);
  m.def("batch_norm", &batch_forward);
  m.def("batch_norm_backward",
        [](py::handle dy, py::handle x, py::handle weight, py::handle mean, py::handle rstd,
           bool training, bool dx, bool dweight, bool dbias, py::handle activation, py::handle y) {
          const BatchNormParams params{training, 0, 0, activation_arg(activation, "batch_norm")};
          return channel_backward(batch_norm_backward, params, "batch_norm", dy, x, weight, mean,
                                  rstd, Wanted{dx, dweight, dbias}, y);
        });
  m.def("group_norm", &group_forward);
  m.def("group_norm_backward",
        [](py::handle dy, py::handle x, int64_t groups, py::handle weight, py::handle mean,
           py::handle rstd, bool dx, bool dweight, bool dbias) {
          return channel_backward(group_norm_backward, GroupNormParams{groups, 0}, "group_norm", dy,
                                  x, weight, mean, rstd, Wanted{dx, dweight, dbias});
        });
}

}  // namespace fastnn
