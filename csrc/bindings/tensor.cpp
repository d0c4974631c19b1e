// TensorBase: the C storage of fastnn.Tensor. Fields, and what must be quick because every op does
// it: making a tensor around an array, and asking whether it requires a gradient. Behaviour is in
// Python.
#include "bindings/tensor.h"

#include "bindings/fast_function.h"
// After Python.h:
#include <structmember.h>

namespace fastnn {

TensorTypes tensor_types;

namespace {

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

}  // namespace

bool sync(PyObject* self) {
  if (!stale(as_tensor(self)) || !tensor_types.sync_view) return true;
  PyObject* r = PyObject_CallOneArg(tensor_types.sync_view, self);
  Py_XDECREF(r);
  return r != nullptr;
}

VersionCounter* version_counter(py::handle tensor) {
  TensorObject* t = as_tensor(tensor);
  if (!t->version) {
    auto* v = PyObject_New(VersionCounter, tensor_types.version);
    if (!v) throw py::error_already_set();
    v->value = v->exports = 0;
    t->version = reinterpret_cast<PyObject*>(v);
  }
  return reinterpret_cast<VersionCounter*>(t->version);
}

py::object wrap_array(py::handle array) {
  PyTypeObject* type = tensor_types.tensor ? tensor_types.tensor : tensor_types.base;
  PyObject* t = type->tp_alloc(type, 0);
  if (!t) throw py::error_already_set();
  as_tensor(t)->data = Py_NewRef(array.ptr());
  return py::reinterpret_steal<py::object>(t);
}

// Behind a view of a view stands the pair (how x was made, again).
py::object wrap_window(py::handle x_in, py::handle array, py::handle again) {
  TensorObject* x = as_tensor(x_in);
  const VersionCounter* version = version_counter(x_in);
  py::object made = wrap_array(array);
  TensorObject* t = as_tensor(made);
  t->version = Py_NewRef(x->version);
  t->base = Py_NewRef(x->base ? x->base : x_in.ptr());
  if (!again.is_none() && (!x->base || x->view)) {
    t->view = x->view ? PyTuple_Pack(2, x->view, again.ptr()) : Py_NewRef(again.ptr());
    if (!t->view) throw py::error_already_set();
    t->seen_version = version->value;
  }
  return made;
}

TensorObject* tensor_arg(py::handle o, const char* op, const char* name) {
  if (!is_tensor(o))
    throw py::type_error(
        cat(op, "(): argument '", name, "' must be a Tensor, not ", Py_TYPE(o.ptr())->tp_name));
  return as_tensor(o);
}

namespace {

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
  try {
    return Py_NewRef(reinterpret_cast<PyObject*>(version_counter(self)));
  } catch (py::error_already_set& e) {
    e.restore();
    return nullptr;
  }
}

int set_counter(PyObject* self, PyObject* value, void*) {
  if (!value || !PyObject_TypeCheck(value, tensor_types.version)) {
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

PyMemberDef version_members[] = {
    {"value", T_PYSSIZET, offsetof(VersionCounter, value), 0, nullptr},
    {"exports", T_PYSSIZET, offsetof(VersionCounter, exports), 0, nullptr},
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

py::object wrap(int, const CallArgs& call) {
  if (call.count != 1 || call.keywords) throw py::type_error("wrap: expected one array");
  return wrap_array(call.values[0]);
}

// item(tensor): the only element as a Python number.
py::object item(int, const CallArgs& call) {
  if (call.count != 1 || call.keywords) throw py::type_error("item() takes no arguments");
  const Arg x = input_arg(tensor_arg(call.values[0], "item", "self")->data, "item", "self");
  const int64_t n = x.view.numel();
  if (n != 1)
    fail(ErrorKind::runtime, "a Tensor with ", n, " elements cannot be converted to Scalar");
  switch (x.view.device ? DType::i32 : x.view.dtype) {  // device arrays: by their own method
    case DType::f32:
      return py::float_(*x.view.ptr<float>());
    case DType::f64:
      return py::float_(*x.view.ptr<double>());
    case DType::i64:
      return py::int_(*x.view.ptr<int64_t>());
    case DType::b8:
      return py::bool_(*x.view.ptr<bool>());
    default: {
      py::object value = x.keep.attr("item")();
      return is_float(x.view.dtype) ? py::object(py::float_(value)) : value;
    }
  }
}

}  // namespace

void bind_tensor(py::module_& m) {
  tensor_types.version = reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&version_spec));
  tensor_types.base = reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&base_spec));
  if (!tensor_types.version || !tensor_types.base) throw py::error_already_set();
  m.attr("TensorBase") = py::handle(reinterpret_cast<PyObject*>(tensor_types.base));
  def_fast<wrap>(m, "wrap", 0, "wrap(array): a Tensor around an array, unchecked");
  def_fast<item>(m, "item", 0, "The only element as a Python number.", "(self)");
  m.def("set_tensor_type", [](py::object type, py::object sync) {
    tensor_types.tensor = reinterpret_cast<PyTypeObject*>(type.release().ptr());
    tensor_types.sync_view = sync.release().ptr();
  });
}

}  // namespace fastnn
