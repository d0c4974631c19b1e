#include "fastnn/ops/pad.h"

#include "bindings/image.h"

namespace fastnn {

namespace {

PadMode mode_from(const std::string& name) {
  if (name == "constant") return PadMode::constant;
  if (name == "reflect") return PadMode::reflect;
  if (name == "replicate") return PadMode::replicate;
  if (name == "circular") return PadMode::circular;
  fail(ErrorKind::value, "pad: mode must be constant, reflect, replicate or circular, got '", name,
       "'");
}

// `padding` in PyTorch's order: (before, after) of the last axis, then of the one before it, ...
PadParams params_from(py::handle padding, const std::string& mode, double value) {
  const auto list = int_list(padding, "pad", "pad");
  if (list.empty() || list.size() % 2 || list.size() > 6)
    fail(ErrorKind::value, "pad: pad must hold 2, 4 or 6 integers (two for each padded axis), got ",
         list.size());
  PadParams p;
  p.dims = static_cast<int>(list.size() / 2);
  p.mode = mode_from(mode);
  p.value = value;
  for (int i = 0; i < p.dims; ++i) {
    p.before[p.dims - 1 - i] = list[2 * i];
    p.after[p.dims - 1 - i] = list[2 * i + 1];
  }
  return p;
}

// Axes of size 1 in front, so that there are dims + 2.
TensorView with_planes(const TensorView& v, int dims, const char* name) {
  if (v.ndim < dims || v.ndim > dims + 2)
    fail(ErrorKind::shape, "pad: ", name, " must have ", dims, " to ", dims + 2, " dimensions for ",
         2 * dims, " padding sizes, got shape ", v.shape_text());
  TensorView w = v;
  const int more = dims + 2 - v.ndim;
  w.ndim = dims + 2;
  for (int d = w.ndim - 1; d >= 0; --d) {
    w.shape[d] = d < more ? 1 : v.shape[d - more];
    w.stride[d] = d < more ? 0 : v.stride[d - more];
  }
  return w;
}

// `sign` 1: padded, -1: the padding taken off again.
py::object padded(const Op<PadParams>& op, const PadParams& p, py::handle array, const char* name,
                  int sign) {
  const Arg x = input_arg(array, "pad", name);
  const TensorView xv = with_planes(x.view, p.dims, name);
  int64_t out[3];
  for (int i = 0; i < p.dims; ++i) {
    const int64_t more = checked_add(p.before[i], p.after[i], "pad");
    out[i] = checked_add(xv.shape[2 + i], sign * more, "pad");
    if (out[i] < 0)
      fail(ErrorKind::shape, "pad: padding (", p.before[i], ", ", p.after[i], ") does not fit ",
           name, " of shape ", x.view.shape_text());
  }
  const NewArray y = x.view.ndim > p.dims ? new_image(x.view, x.view.dtype, out, p.dims)
                                          : new_array(x.view.dtype, out, p.dims);
  run_op(op, p, {xv, with_planes(y.view, p.dims, "the result")});
  return y.array;
}

}  // namespace

void bind_pad(py::module_& m) {
  m.def("pad", [](py::handle input, py::handle padding, const std::string& mode, double value) {
    return padded(pad_forward, params_from(padding, mode, value), input, "input", 1);
  });
  m.def("pad_backward", [](py::handle grad, py::handle padding, const std::string& mode) {
    return padded(pad_backward, params_from(padding, mode, 0), grad, "grad_output", -1);
  });
}

}  // namespace fastnn
