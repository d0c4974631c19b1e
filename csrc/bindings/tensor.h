// The fields of fastnn.Tensor as C sees them, for the parts of the tensor layer that run on every
// op: recording, views, the backward pass.
#pragma once

#include "bindings/convert.h"

namespace fastnn {

// How often a storage was written in place; shared by a tensor, its views and its detached twins.
struct VersionCounter {
  PyObject_HEAD Py_ssize_t value;
  Py_ssize_t exports;  // how often the array was handed out, to be written where nobody counts
};

struct TensorObject {
  PyObject_HEAD PyObject* data;  // numpy.ndarray (CPU) or cupy.ndarray (CUDA)
  PyObject* grad;                // Tensor
  PyObject* node;                // autograd.Node that made this tensor; null for leaves
  PyObject* version;             // VersionCounter; null until somebody needs it
  PyObject* base;                // Tensor this is a view of
  PyObject* view;   // callable that makes this view of its base again; null when not differentiable
                    // as a view
  PyObject* hooks;  // dict of hooks, or null
  PyObject* weakrefs;
  Py_ssize_t index;         // which output of `node`
  Py_ssize_t seen_version;  // value of `version` for which `node` is right (views only)
  char requires_grad;
  char retains_grad;
};

struct TensorTypes {
  PyTypeObject* version = nullptr;
  PyTypeObject* base = nullptr;
  PyTypeObject* tensor = nullptr;  // fastnn.Tensor, once Python has said it
  PyObject* sync_view = nullptr;   // Python: brings a stale view's node up to date
};
extern TensorTypes tensor_types;

inline bool is_tensor(py::handle o) { return PyObject_TypeCheck(o.ptr(), tensor_types.base); }
inline TensorObject* as_tensor(py::handle o) { return reinterpret_cast<TensorObject*>(o.ptr()); }

// TypeError unless o is a tensor.
TensorObject* tensor_arg(py::handle o, const char* op, const char* name);

// A view's history is looked up again when its storage was written since. False: a Python error is
// set.
bool sync(PyObject* tensor);
inline bool requires_grad(py::handle tensor) {
  if (!sync(tensor.ptr())) throw py::error_already_set();
  return as_tensor(tensor)->requires_grad;
}

// A tensor of the class fastnn.Tensor around the array, without history.
py::object wrap_array(py::handle array);
// A tensor around a window of x's memory, tied to x's base; `again` (or None) makes the same view
// of another tensor.
py::object wrap_window(py::handle x, py::handle array, py::handle again);

// Made on demand: most tensors are never written.
VersionCounter* version_counter(py::handle tensor);
inline Py_ssize_t version_of(const TensorObject* t) {
  return t->version ? reinterpret_cast<VersionCounter*>(t->version)->value : 0;
}

// How a tensor's memory was when something was made of it, as far as it was written to through
// tensors or handed out. (Another counter for the same array may come to the same numbers.)
struct MemoryState {
  py::object counter;
  Py_ssize_t version = 0, exports = 0;

  MemoryState() = default;
  explicit MemoryState(py::handle tensor) {
    VersionCounter* c = version_counter(tensor);
    counter = py::reinterpret_borrow<py::object>(reinterpret_cast<PyObject*>(c));
    version = c->value;
    exports = c->exports;
  }
  bool operator==(const MemoryState& other) const {
    return counter.is(other.counter) && version == other.version && exports == other.exports;
  }
};

}  // namespace fastnn
