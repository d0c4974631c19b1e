// Functions without pybind11's argument dispatch (about 0.1 microseconds less a call): for ops on
// which a program spends its time in calls rather than in kernels. They bind as methods when they
// stand in a class, as Python's own functions do and C's do not. One C++ body serves a family of
// functions, told apart by id.
#pragma once

#include "bindings/convert.h"

namespace fastnn {

struct FastFunction {
  PyObject_HEAD vectorcallfunc call;
  const char* name;
  const char* doc;        // may be null
  const char* signature;  // "(a, b=None)" for inspect; may be null
  int id;
  PyObject* module;
  PyObject* state;  // what the body keeps with this function; null for none
};

// The arguments of one call, as in CPython's vectorcall: `count` positional ones, then the keyword
// ones.
struct CallArgs {
  const char* function;
  PyObject* const* values;
  Py_ssize_t count;
  PyObject* keywords;  // tuple of names, or null
  const FastFunction* self = nullptr;

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

// What a body throws becomes Python's error.
template <class Body>
PyObject* guarded(const Body& body) noexcept {
  try {
    return body().release().ptr();
  } catch (py::error_already_set& e) {
    e.restore();
  } catch (...) {
    py::detail::try_translate_exceptions();
  }
  return nullptr;
}

template <py::object (*body)(int id, const CallArgs&)>
PyObject* fast_entry(PyObject* self, PyObject* const* args, size_t count,
                     PyObject* keywords) noexcept {
  const auto* f = reinterpret_cast<const FastFunction*>(self);
  return guarded(
      [&] { return body(f->id, CallArgs{f->name, args, PyVectorcall_NARGS(count), keywords, f}); });
}

py::object make_fast_function(vectorcallfunc call, const char* name, int id, const char* doc,
                              const char* signature, py::handle module, py::object state);

}  // namespace detail

// name, doc and signature must live for ever.
template <py::object (*body)(int id, const CallArgs&)>
py::object fast_function(py::handle module, const char* name, int id, const char* doc,
                         const char* signature = nullptr, py::object state = {}) {
  return detail::make_fast_function(&detail::fast_entry<body>, name, id, doc, signature, module,
                                    std::move(state));
}

template <py::object (*body)(int id, const CallArgs&)>
void def_fast(py::module_& m, const char* name, int id, const char* doc,
              const char* signature = nullptr) {
  m.add_object(name, fast_function<body>(m.attr("__name__"), name, id, doc, signature));
}

}  // namespace fastnn
