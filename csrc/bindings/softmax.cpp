// _core.softmax(x, dim, out=None), log_softmax, and their gradients (grad, output, dim, out=None).
#include "fastnn/ops/softmax.h"

#include "bindings/fast_function.h"

namespace fastnn {

namespace {

constexpr const char* kFunctions[] = {"softmax", "log_softmax", "softmax_backward",
                                      "log_softmax_backward"};

// A 0-d array is one line of one element.
void as_line(TensorView& v) {
  if (v.ndim) return;
  v.ndim = 1;
  v.shape[0] = v.stride[0] = 1;
}

int axis_of(py::handle dim, int ndim, const char* op) {
  const Py_ssize_t d = PyNumber_AsSsize_t(dim.ptr(), PyExc_IndexError);
  if (d == -1 && PyErr_Occurred()) throw py::error_already_set();
  if (d < -ndim || d >= ndim)
    fail(ErrorKind::index, op, ": Dimension out of range (expected to be in range of [", -ndim,
         ", ", ndim - 1, "], but got ", d, ")");
  return static_cast<int>(d < 0 ? d + ndim : d);
}

// id: bit 0 log, bit 1 backward
py::object call(int id, const CallArgs& arguments) {
  const char* name = kFunctions[id];
  const bool backward = id & 2;
  static constexpr const char* kForward[] = {"x", "dim", "out"};
  static constexpr const char* kBackward[] = {"grad", "output", "dim", "out"};
  py::handle args[4];
  const int inputs = backward ? 2 : 1;
  arguments.unpack(backward ? kBackward : kForward, inputs + 1, inputs + 2, args);

  Arg in[2];
  for (int k = 0; k < inputs; ++k)
    in[k] = input_arg(args[k], name, backward ? kBackward[k] : kForward[k]);
  const py::handle out_arg = args[inputs + 1];
  py::object result;
  TensorView out;
  if (out_arg && !out_arg.is_none()) {
    Arg given = output_arg(out_arg, name, "out");
    out = given.view;
    result = std::move(given.keep);
  } else {
    NewArray made = new_array_like(in[inputs - 1].view, in[0].view.dtype);
    out = made.view;
    result = std::move(made.array);
  }
  as_line(in[0].view);
  as_line(in[1].view);
  as_line(out);
  const SoftmaxParams params{axis_of(args[inputs], in[0].view.ndim, name), (id & 1) != 0};
  if (backward)
    run_op(softmax_backward, params, {in[0].view, in[1].view, out});
  else
    run_op(softmax_forward, params, {in[0].view, out});
  return result;
}

}  // namespace

void bind_softmax(py::module_& m) {
  for (int id = 0; id < 4; ++id) def_fast<call>(m, kFunctions[id], id, nullptr);
}

}  // namespace fastnn
