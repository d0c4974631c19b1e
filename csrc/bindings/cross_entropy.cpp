#include "fastnn/ops/cross_entropy.h"

#include "bindings/classes.h"

namespace fastnn {

namespace {

constexpr const char* kName = "cross_entropy";

// What both directions take, ready for the kernels. Class indices are integers, probabilities
// floating-point.
struct Inputs {
  CrossEntropyParams params;
  TensorView full;  // the logits with all their axes
  Arg logits, target, weight;
  DType wide;

  Inputs(py::handle x, py::handle y, py::handle w, int64_t ignore_index, double smoothing,
         int reduction) {
    logits = classes_arg(x, &full, kName, "input");
    wide = full.dtype == DType::f64 ? DType::f64 : DType::f32;
    target = input_arg(y, kName, "target");
    const bool probabilities = is_float(target.view.dtype);
    if (probabilities) {
      TensorView shape;
      target = classes_arg(y, &shape, kName, "target");
      if (shape.shape_text() != full.shape_text())
        fail(ErrorKind::shape, kName, ": class probabilities must have the input's shape ",
             full.shape_text(), ", got ", shape.shape_text());
    } else {
      target = class_indices_arg(y, full, kName, "target");
    }
    weight = optional_contiguous_arg(w, kName, "weight");
    params = {probabilities, ignore_index, smoothing, static_cast<Reduction>(reduction)};
  }
};

// (loss, saved); reduction: 0 none, 1 mean, 2 sum
py::tuple forward(py::handle x, py::handle y, py::handle w, int64_t ignore_index, double smoothing,
                  int reduction) {
  const Inputs in(x, y, w, ignore_index, smoothing, reduction);
  const TensorView& logits = in.logits.view;
  NewArray loss = reduction ? new_array(in.wide, {}) : positions_array(in.full, in.wide);
  NewArray saved = new_array(in.wide, {2 * logits.shape[0] * logits.shape[2] + 1});
  run_op(cross_entropy_forward, in.params, {logits, in.target, in.weight, loss, saved});
  return py::make_tuple(loss.array, saved.array);
}

py::object backward(py::handle dy, py::handle x, py::handle y, py::handle w, py::handle saved_array,
                    int64_t ignore_index, double smoothing, int reduction) {
  const Inputs in(x, y, w, ignore_index, smoothing, reduction);
  const Arg grad = contiguous_arg(dy, kName, "grad_output"),
            saved = input_arg(saved_array, kName, "saved");
  const int64_t positions = in.logits.view.shape[0] * in.logits.view.shape[2];
  if (grad.view.dtype != in.wide || saved.view.dtype != in.wide)
    fail(ErrorKind::dtype, kName, ": grad_output and saved must be ", name_of(in.wide));
  if (grad.view.numel() != (reduction ? 1 : positions) || saved.view.numel() != 2 * positions + 1)
    fail(ErrorKind::shape, kName, ": grad_output or saved does not fit the input ",
         in.full.shape_text());
  NewArray dx = new_array_like(in.full, in.full.dtype);
  run_op(cross_entropy_backward, in.params,
         {in.logits, in.target, in.weight, saved, grad, merge_inner_axes(dx.view)});
  return dx.array;
}

}  // namespace

void bind_cross_entropy(py::module_& m) {
  m.def("cross_entropy", &forward);
  m.def("cross_entropy_backward", &backward);
}

}  // namespace fastnn
