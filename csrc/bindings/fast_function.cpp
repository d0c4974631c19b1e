// The type of our functions: callable through vectorcall, and a method descriptor.
#include "bindings/fast_function.h"

// After Python.h:
#include <structmember.h>

namespace fastnn {

namespace {

FastFunction* as_function(PyObject* o) { return reinterpret_cast<FastFunction*>(o); }

PyObject* text(const char* s) { return s ? PyUnicode_FromString(s) : Py_NewRef(Py_None); }
PyObject* get_name(PyObject* self, void*) { return text(as_function(self)->name); }
PyObject* get_doc(PyObject* self, void*) { return text(as_function(self)->doc); }
PyObject* get_signature(PyObject* self, void*) { return text(as_function(self)->signature); }

PyObject* repr(PyObject* self) {
  return PyUnicode_FromFormat("<built-in function %s>", as_function(self)->name);
}

// A global name: copying gives the function itself.
PyObject* reduce(PyObject* self, PyObject*) { return get_name(self, nullptr); }

PyObject* bind(PyObject* self, PyObject* instance, PyObject*) {
  return instance && instance != Py_None ? PyMethod_New(self, instance) : Py_NewRef(self);
}

void dealloc(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  Py_XDECREF(as_function(self)->module);
  Py_XDECREF(as_function(self)->state);
  type->tp_free(self);
  Py_DECREF(type);
}

PyMemberDef members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(FastFunction, call), READONLY, nullptr},
    {"__module__", T_OBJECT, offsetof(FastFunction, module), 0, nullptr},
    {nullptr, 0, 0, 0, nullptr}};
PyGetSetDef getset[] = {{"__name__", get_name, nullptr, nullptr, nullptr},
                        {"__qualname__", get_name, nullptr, nullptr, nullptr},
                        {"__doc__", get_doc, nullptr, nullptr, nullptr},
                        {"__text_signature__", get_signature, nullptr, nullptr, nullptr},
                        {nullptr, nullptr, nullptr, nullptr, nullptr}};
PyMethodDef methods[] = {{"__reduce__", reduce, METH_NOARGS, nullptr},
                         {nullptr, nullptr, 0, nullptr}};
PyType_Slot slots[] = {{Py_tp_dealloc, reinterpret_cast<void*>(&dealloc)},
                       {Py_tp_repr, reinterpret_cast<void*>(&repr)},
                       {Py_tp_call, reinterpret_cast<void*>(&PyVectorcall_Call)},
                       {Py_tp_descr_get, reinterpret_cast<void*>(&bind)},
                       {Py_tp_members, members},
                       {Py_tp_getset, getset},
                       {Py_tp_methods, methods},
                       {0, nullptr}};
PyType_Spec spec = {"fastnn._core.Function", sizeof(FastFunction), 0,
                    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_METHOD_DESCRIPTOR |
                        Py_TPFLAGS_DISALLOW_INSTANTIATION,
                    slots};

}  // namespace

py::object detail::make_fast_function(vectorcallfunc call, const char* name, int id,
                                      const char* doc, const char* signature, py::handle module,
                                      py::object state) {
  static PyTypeObject* const type = reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&spec));
  if (!type) throw py::error_already_set();
  auto* f = PyObject_New(FastFunction, type);
  if (!f) throw py::error_already_set();
  f->call = call;
  f->name = name;
  f->doc = doc;
  f->signature = signature;
  f->id = id;
  f->module = Py_NewRef(module.ptr());
  f->state = state.release().ptr();
  return py::reinterpret_steal<py::object>(reinterpret_cast<PyObject*>(f));
}

}  // namespace fastnn
