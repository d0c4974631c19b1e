// grads_norm(arrays, p) -> float64 array of every norm and the total; grads_scale_, grads_clamp_,
// grads_zero_
#include "fastnn/ops/grads.h"

#include "bindings/arrays.h"

namespace fastnn {

namespace {

py::object norm(py::handle arrays, double p) {
  ArrayList list;
  list.add(arrays, -1, false, "grads_norm", "arrays");
  const GradParams params{GradKind::norm, list.size(), p};
  NewArray out = new_array(DType::f64, {params.count + 1});
  list.add(out.view);
  list.run(grads_apply, params);
  return out.array;
}

void in_place(GradKind kind, const char* name, py::handle arrays, double value) {
  ArrayList list;
  list.add(arrays, -1, true, name, "arrays");
  list.run(grads_apply, GradParams{kind, list.size(), value});
}

}  // namespace

void bind_grads(py::module_& m) {
  m.def("grads_norm", &norm);
  m.def("grads_scale_",
        [](py::handle a, double v) { in_place(GradKind::scale, "grads_scale_", a, v); });
  m.def("grads_clamp_",
        [](py::handle a, double v) { in_place(GradKind::clamp, "grads_clamp_", a, v); });
  m.def("grads_zero_", [](py::handle a) { in_place(GradKind::zero, "grads_zero_", a, 0); });
}

}  // namespace fastnn
