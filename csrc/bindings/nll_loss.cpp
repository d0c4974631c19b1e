#include "fastnn/ops/nll_loss.h"

#include "bindings/classes.h"

namespace fastnn {

namespace {

constexpr const char* kName = "nll_loss";

struct Inputs {
  NllParams params;
  TensorView full;  // the log-probabilities with all their axes
  Arg x, target, weight;
  DType wide;

  Inputs(py::handle input, py::handle labels, py::handle w, int64_t ignore_index, int reduction)
      : params{ignore_index, static_cast<Reduction>(reduction)} {
    x = classes_arg(input, &full, kName, "input");
    wide = full.dtype == DType::f64 ? DType::f64 : DType::f32;
    target = class_indices_arg(labels, full, kName, "target");
    weight = optional_contiguous_arg(w, kName, "weight");
  }
};

// (loss, divisor); reduction: 0 none, 1 mean, 2 sum
py::tuple forward(py::handle x, py::handle y, py::handle w, int64_t ignore_index, int reduction) {
  const Inputs in(x, y, w, ignore_index, reduction);
  NewArray loss = reduction ? new_array(in.wide, {}) : positions_array(in.full, in.wide);
  NewArray divisor = new_array(in.wide, {});
  run_op(nll_loss_forward, in.params, {in.x, in.target, in.weight, loss, divisor});
  return py::make_tuple(loss.array, divisor.array);
}

py::object backward(py::handle dy, py::handle x, py::handle y, py::handle w, double divisor,
                    int64_t ignore_index, int reduction) {
  const Inputs in(x, y, w, ignore_index, reduction);
  const Arg grad = contiguous_arg(dy, kName, "grad_output");
  const int64_t positions = in.x.view.shape[0] * in.x.view.shape[2];
  if (grad.view.dtype != in.wide || grad.view.numel() != (reduction ? 1 : positions))
    fail(ErrorKind::shape, kName, ": grad_output must be ", name_of(in.wide), " of ",
         reduction ? 1 : positions, " elements, got ", name_of(grad.view.dtype), " of shape ",
         grad.view.shape_text());
  NewArray scale = new_array(in.wide, {}), dx = new_array_like(in.full, in.full.dtype);
  if (in.wide == DType::f64)
    *scale.view.ptr<double>() = divisor;
  else
    *scale.view.ptr<float>() = static_cast<float>(divisor);
  run_op(nll_loss_backward, in.params,
         {in.x, in.target, in.weight, scale, grad, merge_inner_axes(dx.view)});
  return dx.array;
}

}  // namespace

void bind_nll_loss(py::module_& m) {
  m.def("nll_loss", &forward);
  m.def("nll_loss_backward", &backward);
}

}  // namespace fastnn
