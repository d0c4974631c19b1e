// TensorBase: the C storage of fastnn.Tensor. Only fields, and the two things that must be quick
// because every op does them: making a tensor around an array, and asking whether it requires a
// gradient. All behaviour is in Python.
#include "bindings/convert.h"
// After Python.h:
#include <structmember.h>

namespace fastnn {

namespace {

// How often a storage was written in place; shared by a tensor, its views and its detached twins.
struct VersionCounter {
  PyObject_HEAD Py_ssize_t value;
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

PyTypeObject* version_type = nullptr;
PyTypeObject* base_type = nullptr;
PyTypeObject* tensor_type = nullptr;  // fastnn.Tensor, once Python has said it
PyObject* sync_view = nullptr;        // Python: brings a stale view's node up to date

TensorObject* as_tensor(PyObject* o) { return reinterpret_cast<TensorObject*>(o); }

int traverse(PyObject* self, visitproc visit, void* arg) {
  TensorObject* t = as_tensor(self);
  Py_VISIT(Py_TYPE(self));
  Py_VISIT(t->data);
  Py_VISIT(t->grad);
  Py_VISIT(t->node);
  Py_VISIT(t->base);
  Py_VISIT(t->view);
  Py_VISIT(t->hooks);
  return 0;
}

int clear(PyObject* self) {
  TensorObject* t = as_tensor(self);
  Py_CLEAR(t->grad);
  Py_CLEAR(t->node);
  Py_CLEAR(t->version);
  Py_CLEAR(t->base);
  Py_CLEAR(t->view);
  Py_CLEAR(t->hooks);
  Py_CLEAR(t->data);
  return 0;
}

void dealloc(PyObject* self) {
  PyObject_GC_UnTrack(self);
  // A long chain of tensors (each kept by the next one's node) must not exhaust the C stack.
  Py_TRASHCAN_BEGIN(self, dealloc);
  if (as_tensor(self)->weakrefs) PyObject_ClearWeakRefs(self);
  clear(self);
  PyTypeObject* type = Py_TYPE(self);
  type->tp_free(self);
  Py_DECREF(type);
  Py_TRASHCAN_END;
}

bool stale(const TensorObject* t) {
  return t->view && t->version &&
         reinterpret_cast<VersionCounter*>(t->version)->value != t->seen_version;
}

bool sync(PyObject* self) {
  if (!stale(as_tensor(self)) || !sync_view) return true;
  PyObject* r = PyObject_CallOneArg(sync_view, self);
  Py_XDECREF(r);
  return r != nullptr;
}

PyObject* get_requires_grad(PyObject* self, void*) {
  if (!sync(self)) return nullptr;
  return PyBool_FromLong(as_tensor(self)->requires_grad);
}

// Assignment has rules (leaves only, floating point only), which are Python's:
// Tensor._set_requires_grad.
int set_requires_grad(PyObject* self, PyObject* value, void*) {
  if (!value) {
    PyErr_SetString(PyExc_AttributeError, "requires_grad cannot be deleted");
    return -1;
  }
  PyObject* r = PyObject_CallMethod(self, "_set_requires_grad", "O", value);
  Py_XDECREF(r);
  return r ? 0 : -1;
}

PyObject* get_node(PyObject* self, void*) {
  if (!sync(self)) return nullptr;
  PyObject* node = as_tensor(self)->node;
  return Py_NewRef(node ? node : Py_None);
}

int set_node(PyObject* self, PyObject* value, void*) {
  Py_XINCREF(value == Py_None ? nullptr : value);
  Py_XSETREF(as_tensor(self)->node, value == Py_None ? nullptr : value);
  return 0;
}

// The current version without making a counter: 0 until the first write in place.
PyObject* get_version(PyObject* self, void*) {
  PyObject* v = as_tensor(self)->version;
  return PyLong_FromSsize_t(v ? reinterpret_cast<VersionCounter*>(v)->value : 0);
}

PyObject* get_counter(PyObject* self, void*) {
  TensorObject* t = as_tensor(self);
  if (!t->version) {
    auto* v = PyObject_New(VersionCounter, version_type);
    if (!v) return nullptr;
    v->value = 0;
    t->version = reinterpret_cast<PyObject*>(v);
  }
  return Py_NewRef(t->version);
}

int set_counter(PyObject* self, PyObject* value, void*) {
  if (!value || !PyObject_TypeCheck(value, version_type)) {
    PyErr_SetString(PyExc_TypeError, "_counter must be a VersionCounter");
    return -1;
  }
  Py_XSETREF(as_tensor(self)->version, Py_NewRef(value));
  return 0;
}

PyMemberDef members[] = {
    {"_data", T_OBJECT, offsetof(TensorObject, data), 0, nullptr},
    {"_grad", T_OBJECT, offsetof(TensorObject, grad), 0, nullptr},
    {"_base", T_OBJECT, offsetof(TensorObject, base), 0, nullptr},
    {"_view", T_OBJECT, offsetof(TensorObject, view), 0, nullptr},
    {"_hooks", T_OBJECT, offsetof(TensorObject, hooks), 0, nullptr},
    {"_index", T_PYSSIZET, offsetof(TensorObject, index), 0, nullptr},
    {"_seen_version", T_PYSSIZET, offsetof(TensorObject, seen_version), 0, nullptr},
    {"_requires_grad", T_BOOL, offsetof(TensorObject, requires_grad), 0, nullptr},
    {"_retains_grad", T_BOOL, offsetof(TensorObject, retains_grad), 0, nullptr},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(TensorObject, weakrefs), READONLY, nullptr},
    {nullptr, 0, 0, 0, nullptr}};

PyGetSetDef getset[] = {{"requires_grad", get_requires_grad, set_requires_grad, nullptr, nullptr},
                        {"_node", get_node, set_node, nullptr, nullptr},
                        {"_version", get_version, nullptr, nullptr, nullptr},
                        {"_counter", get_counter, set_counter, nullptr, nullptr},
                        {nullptr, nullptr, nullptr, nullptr, nullptr}};

PyType_Slot base_slots[] = {{Py_tp_dealloc, reinterpret_cast<void*>(&dealloc)},
                            {Py_tp_traverse, reinterpret_cast<void*>(&traverse)},
                            {Py_tp_clear, reinterpret_cast<void*>(&clear)},
                            {Py_tp_members, members},
                            {Py_tp_getset, getset},
                            {0, nullptr}};
PyType_Spec base_spec = {"fastnn._core.TensorBase", sizeof(TensorObject), 0,
                         Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC, base_slots};

PyMemberDef version_members[] = {{"value", T_PYSSIZET, offsetof(VersionCounter, value), 0, nullptr},
                                 {nullptr, 0, 0, 0, nullptr}};
void version_dealloc(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  type->tp_free(self);
  Py_DECREF(type);
}
PyType_Slot version_slots[] = {{Py_tp_members, version_members},
                               {Py_tp_dealloc, reinterpret_cast<void*>(&version_dealloc)},
                               {0, nullptr}};
PyType_Spec version_spec = {"fastnn._core.VersionCounter", sizeof(VersionCounter), 0,
                            Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, version_slots};

// wrap(array): a Tensor around it, without a check and without history.
PyObject* wrap(PyObject*, PyObject* array) {
  PyTypeObject* type = tensor_type ? tensor_type : base_type;
  PyObject* t = type->tp_alloc(type, 0);
  if (!t) return nullptr;
  as_tensor(t)->data = Py_NewRef(array);
  return t;
}

// wrap_view(x, array, again): a Tensor around a window of x's memory, tied to x's base. `again` (or
// None) makes the same view of another tensor; behind a view of a view stands the pair (how x was
// made, again).
PyObject* wrap_view(PyObject* module, PyObject* const* args, Py_ssize_t count) {
  if (count != 3 || !PyObject_TypeCheck(args[0], base_type)) {
    PyErr_SetString(PyExc_TypeError, "wrap_view(tensor, array, again)");
    return nullptr;
  }
  TensorObject* x = as_tensor(args[0]);
  PyObject* version = get_counter(args[0], nullptr);
  if (!version) return nullptr;
  PyObject* made = wrap(module, args[1]);
  if (!made) {
    Py_DECREF(version);
    return nullptr;
  }
  TensorObject* t = as_tensor(made);
  t->version = version;
  t->base = Py_NewRef(x->base ? x->base : args[0]);
  if (args[2] != Py_None && (!x->base || x->view)) {
    t->view = x->view ? PyTuple_Pack(2, x->view, args[2]) : Py_NewRef(args[2]);
    if (!t->view) {
      Py_DECREF(made);
      return nullptr;
    }
    t->seen_version = reinterpret_cast<VersionCounter*>(version)->value;
  }
  return made;
}

PyMethodDef wrap_view_def = {
    "wrap_view", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(wrap_view)),
    METH_FASTCALL, "wrap_view(tensor, array, again): a Tensor around a window of tensor's memory"};

PyMethodDef wrap_def = {"wrap", wrap, METH_O, "wrap(array): a Tensor around an array, unchecked"};

}  // namespace

void bind_tensor(py::module_& m) {
  version_type = reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&version_spec));
  base_type = reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&base_spec));
  if (!version_type || !base_type) throw py::error_already_set();
  m.attr("TensorBase") = py::handle(reinterpret_cast<PyObject*>(base_type));
  m.attr("wrap") = py::reinterpret_steal<py::object>(PyCFunction_New(&wrap_def, nullptr));
  m.attr("wrap_view") = py::reinterpret_steal<py::object>(PyCFunction_New(&wrap_view_def, nullptr));
  m.def("set_tensor_type", [](py::object type, py::object sync) {
    tensor_type = reinterpret_cast<PyTypeObject*>(type.release().ptr());
    sync_view = sync.release().ptr();
  });
}

}  // namespace fastnn
