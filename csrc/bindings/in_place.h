// When a write to a tensor is the kernel and nothing else. Whatever these functions do not allow,
// errors included, is Python's (ops/inplace.py).
#pragma once

#include <algorithm>

#include "bindings/fast_function.h"
#include "bindings/node.h"

namespace fastnn {

// No history to rewrite, and memory that may be written. `other` is what is read: anything.
inline bool free_to_write(py::handle x, py::handle other) {
  const TensorObject* t = as_tensor(x);
  if (grad_enabled() && (requires_grad(x) || (is_tensor(other) && requires_grad(other)) ||
                         (t->base && requires_grad(t->base))))
    return false;
  return py::detail::npy_api::get().PyArray_Check_(t->data) &&
         (py::detail::array_proxy(t->data)->flags & py::detail::npy_api::NPY_ARRAY_WRITEABLE_);
}

inline bool is_number(py::handle x) {
  return PyFloat_CheckExact(x.ptr()) || PyLong_CheckExact(x.ptr()) || PyBool_Check(x.ptr());
}

inline bool same_shape(const TensorView& a, const TensorView& b) {
  return a.ndim == b.ndim && std::equal(a.shape, a.shape + a.ndim, b.shape);
}

// An array of the tensor's device that C can read.
inline bool is_numpy(py::handle tensor) {
  return py::detail::npy_api::get().PyArray_Check_(as_tensor(tensor)->data);
}

// Calls the Python function that stands behind a C one, with the same arguments.
inline py::object pass_on(const FastFunction* self, const CallArgs& call) {
  PyObject* r =
      PyObject_Vectorcall(self->state, call.values, static_cast<size_t>(call.count), call.keywords);
  if (!r) throw py::error_already_set();
  return py::reinterpret_steal<py::object>(r);
}

}  // namespace fastnn
