// copy_() and zero_(): in C because training loops call them on every parameter and buffer.
#include <cstring>

#include "bindings/in_place.h"
#include "bindings/operands.h"

namespace fastnn {

namespace {

// x.copy_(src) for a tensor of the same shape. state: the Python method for everything else.
py::object copy_from(int, const CallArgs& call) {
  if (call.count != 2 || call.keywords || !is_tensor(call.values[0]) ||
      !is_tensor(call.values[1]) || !is_numpy(call.values[1]) ||
      !free_to_write(call.values[0], call.values[1]))
    return pass_on(call.self, call);
  const Arg to = output_arg(as_tensor(call.values[0])->data, "copy_", "self");
  const Arg from = input_arg(as_tensor(call.values[1])->data, "copy_", "src");
  if (!same_shape(to, from)) return pass_on(call.self, call);
  copy_into(to, from);
  ++version_counter(call.values[0])->value;
  return py::reinterpret_borrow<py::object>(call.values[0]);
}

py::object zero(int, const CallArgs& call) {
  if (call.count != 1 || call.keywords || !is_tensor(call.values[0]) ||
      !free_to_write(call.values[0], Py_None))
    return pass_on(call.self, call);
  const Arg x = output_arg(as_tensor(call.values[0])->data, "zero_", "self");
  if (!x.view.contiguous()) return pass_on(call.self, call);
  std::memset(x.view.data, 0, static_cast<size_t>(x.view.numel()) * size_of(x.view.dtype));
  ++version_counter(call.values[0])->value;
  return py::reinterpret_borrow<py::object>(call.values[0]);
}

}  // namespace

void bind_fill_ops(py::module_& m) {
  const py::str module("fastnn.ops.inplace");
  m.def("make_copy", [module](py::object otherwise) {
    return fast_function<copy_from>(module, "copy_", 0,
                                    "Writes `src` (broadcast, converted) into this tensor.",
                                    "(self, src, non_blocking=False)", std::move(otherwise));
  });
  m.def("make_zero", [module](py::object otherwise) {
    return fast_function<zero>(module, "zero_", 0, "Fills with zeros.", "(self)",
                               std::move(otherwise));
  });
}

}  // namespace fastnn
