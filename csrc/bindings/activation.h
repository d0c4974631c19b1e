// An activation that an op applies to its output: a name or a number.
#pragma once

#include "bindings/convert.h"
#include "fastnn/activation.h"

namespace fastnn {

inline Activation activation_arg(py::handle h, const char* op) {
  if (PyLong_Check(h.ptr())) {
    const long number = PyLong_AsLong(h.ptr());
    if (number >= 0 && number < kActivations) return static_cast<Activation>(number);
    PyErr_Clear();
  } else if (PyUnicode_Check(h.ptr())) {
    for (int i = 0; i < kActivations; ++i)
      if (PyUnicode_CompareWithASCIIString(h.ptr(), name_of(static_cast<Activation>(i))) == 0)
        return static_cast<Activation>(i);
  }
  std::string known;
  for (int i = 0; i < kActivations; ++i)
    known += cat(i ? ", " : "", name_of(static_cast<Activation>(i)));
  fail(ErrorKind::value, op, ": unknown activation ", py::repr(h).cast<std::string>(),
       "; expected one of ", known);
}

}  // namespace fastnn
