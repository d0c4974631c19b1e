// Module functions without pybind11's argument dispatch (about 0.1 microseconds less a call): for
// ops on which a program spends its time in calls rather than in kernels. One C++ body serves a
// family of functions, told apart by id.
#pragma once

#include "bindings/convert.h"

namespace fastnn {

// The arguments of one call, as in CPython's vectorcall: `count` positional ones, then the keyword
// ones.
struct CallArgs {
  const char* function;
  PyObject* const* values;
  Py_ssize_t count;
  PyObject* keywords;  // tuple of names, or null

  // Moves keyword arguments to the places of `names` (null where absent). Errors as Python's own.
  void unpack(const char* const* names, int required, int total, py::handle* out) const {
    if (count > total)
      throw py::type_error(
          cat(function, "() takes at most ", total, " arguments (", count, " given)"));
    for (int i = 0; i < total; ++i) out[i] = i < count ? py::handle(values[i]) : py::handle();
    const Py_ssize_t named = keywords ? PyTuple_GET_SIZE(keywords) : 0;
    for (Py_ssize_t k = 0; k < named; ++k) {
      PyObject* key = PyTuple_GET_ITEM(keywords, k);
      int i = 0;
      while (i < total && PyUnicode_CompareWithASCIIString(key, names[i]) != 0) ++i;
      if (i == total)
        throw py::type_error(cat(function, "() got an unexpected keyword argument '",
                                 py::handle(key).cast<std::string>(), "'"));
      if (out[i])
        throw py::type_error(cat(function, "() got multiple values for argument '", names[i], "'"));
      out[i] = values[count + k];
    }
    for (int i = 0; i < required; ++i)
      if (!out[i])
        throw py::type_error(cat(function, "() missing required argument '", names[i], "'"));
  }
};

namespace detail {

struct FastDef {
  PyMethodDef method;
  int id;
};

template <py::object (*body)(int id, const CallArgs&)>
PyObject* fast_entry(PyObject* self, PyObject* const* args, Py_ssize_t count,
                     PyObject* keywords) noexcept {
  const auto* def = static_cast<const FastDef*>(PyCapsule_GetPointer(self, nullptr));
  try {
    return body(def->id, CallArgs{def->method.ml_name, args, count, keywords}).release().ptr();
  } catch (py::error_already_set& e) {
    e.restore();
  } catch (...) {
    py::detail::try_translate_exceptions();
  }
  return nullptr;
}

}  // namespace detail

// name and doc must live for ever.
template <py::object (*body)(int id, const CallArgs&)>
void def_fast(py::module_& m, const char* name, int id, const char* doc) {
  auto* def = new detail::FastDef{
      {name, reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(&detail::fast_entry<body>)),
       METH_FASTCALL | METH_KEYWORDS, doc},
      id};  // kept for the life of the process, as the function is
  py::object self = py::reinterpret_steal<py::object>(PyCapsule_New(def, nullptr, nullptr));
  if (!self) throw py::error_already_set();
  py::object module_name = m.attr("__name__");
  PyObject* f = PyCFunction_NewEx(&def->method, self.ptr(), module_name.ptr());
  if (!f) throw py::error_already_set();
  m.add_object(name, py::reinterpret_steal<py::object>(f));
}

}  // namespace fastnn
