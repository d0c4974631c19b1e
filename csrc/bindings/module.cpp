// The extension module fastnn._core: one bind_<name> function per op, listed by CMake.
#include "bindings/convert.h"
#include "fastnn/isa.h"

namespace fastnn {
#define FASTNN_BIND(name) void bind_##name(py::module_&);
#include "bind_list.inc"
#undef FASTNN_BIND

namespace {

PyObject* python_class(const char* name) {
  static py::object* errors = new py::object(py::module_::import("fastnn._errors"));
  return py::object(errors->attr(name)).release().ptr();
}

void raise(const Error& e) {
  const char* name = nullptr;
  PyObject* type = nullptr;
  switch (e.kind()) {
    case ErrorKind::shape:
      name = "ShapeError";
      break;
    case ErrorKind::dtype:
      name = "DTypeError";
      break;
    case ErrorKind::value:
      type = PyExc_ValueError;
      break;
    case ErrorKind::index:
      type = PyExc_IndexError;
      break;
    case ErrorKind::memory:
      type = PyExc_MemoryError;
      break;
    case ErrorKind::unsupported:
      type = PyExc_NotImplementedError;
      break;
    case ErrorKind::runtime:
      type = PyExc_RuntimeError;
      break;
  }
  if (name) type = python_class(name);
  PyErr_SetString(type, e.what());
}

}  // namespace

PYBIND11_MODULE(_core, m) {
  py::register_exception_translator([](std::exception_ptr p) {
    try {
      if (p) std::rethrow_exception(p);
    } catch (const Error& e) {
      raise(e);
    }
  });
  m.attr("__version__") = FASTNN_VERSION;
  active_isa();  // a wrong FASTNN_ISA fails here, at import, with a clear text
  init_convert(m);
#define FASTNN_BIND(name) bind_##name(m);
#include "bind_list.inc"
#undef FASTNN_BIND
}

}  // namespace fastnn
