#include "fastnn/ops/pointwise_loss.h"

#include "bindings/arrays.h"

namespace fastnn {

namespace {

constexpr const char* kKinds[kLossKinds] = {"mse", "l1",         "huber", "smooth_l1",
                                            "bce", "bce_logits", "kl",    "kl_log"};

LossKind kind_from(const std::string& name) {
  for (int i = 0; i < kLossKinds; ++i)
    if (name == kKinds[i]) return static_cast<LossKind>(i);
  fail(ErrorKind::value, "pointwise_loss: unknown kind '", name, "'");
}

struct Inputs {
  PointwiseLossParams params;
  Arg x, t, weight, positive;

  Inputs(const std::string& kind, py::handle input, py::handle target, py::handle w, py::handle p,
         double a, int reduction)
      : params{kind_from(kind), a, static_cast<Reduction>(reduction)} {
    const char* op = kKinds[static_cast<int>(params.kind)];
    x = contiguous_arg(input, op, "input");
    t = contiguous_arg(target, op, "target");
    weight = optional_contiguous_arg(w, op, "weight");
    positive = optional_contiguous_arg(p, op, "pos_weight");
  }
};

// reduction: 0 none, 1 mean, 2 sum
py::object forward(const std::string& kind, py::handle x, py::handle t, py::handle weight,
                   py::handle positive, double a, int reduction) {
  const Inputs in(kind, x, t, weight, positive, a, reduction);
  const TensorView& v = in.x.view;
  NewArray out = reduction ? new_array(v.dtype, {}) : new_array(v.dtype, v.shape, v.ndim);
  run_op(pointwise_loss_forward, in.params, {in.x, in.t, in.weight, in.positive, out});
  return out.array;
}

py::object backward(const std::string& kind, py::handle dy, py::handle x, py::handle t,
                    py::handle weight, py::handle positive, double a, int reduction) {
  const Inputs in(kind, x, t, weight, positive, a, reduction);
  const TensorView& v = in.x.view;
  const Arg grad = contiguous_arg(dy, kKinds[static_cast<int>(in.params.kind)], "grad_output");
  if (grad.view.dtype != v.dtype || grad.view.numel() != (reduction ? 1 : v.numel()))
    fail(ErrorKind::shape, kind, ": grad_output must be ", name_of(v.dtype), " of ",
         reduction ? 1 : v.numel(), " elements, got ", name_of(grad.view.dtype), " of shape ",
         grad.view.shape_text());
  NewArray dx = new_array(v.dtype, v.shape, v.ndim);
  run_op(pointwise_loss_backward, in.params, {in.x, in.t, in.weight, in.positive, grad, dx});
  return dx.array;
}

}  // namespace

void bind_pointwise_loss(py::module_& m) {
  m.def("pointwise_loss", &forward);
  m.def("pointwise_loss_backward", &backward);
}

}  // namespace fastnn
