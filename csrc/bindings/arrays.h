// More ways to take arrays: as row-major memory, and as lists that an op visits in one launch.
#pragma once

#include <string>

#include "bindings/convert.h"

namespace fastnn {

inline py::object row_major(py::handle array) {
  if (is_device_array(array)) return array.attr("copy")("C");
  return py::module_::import("numpy").attr("ascontiguousarray")(array);
}

// As input_arg, and a row-major copy when the array is not.
inline Arg contiguous_arg(py::handle array, const char* op, const char* name) {
  Arg arg = input_arg(array, op, name);
  return arg.view.contiguous() ? std::move(arg) : input_arg(row_major(arg.keep), op, name);
}
inline Arg optional_contiguous_arg(py::handle array, const char* op, const char* name) {
  return array.is_none() ? Arg{} : contiguous_arg(array, op, name);
}

// Collects views and keeps their arrays alive for the length of a call.
class ArrayList {
 public:
  // Appends the arrays of a sequence that must hold `count` of them (-1: any number), all written
  // by the op when `written`.
  void add(py::handle sequence, int64_t count, bool written, const char* op, const char* name) {
    const std::string complaint = cat(op, ": ", name, " must be a sequence of arrays");
    const py::object list =
        py::reinterpret_steal<py::object>(PySequence_Fast(sequence.ptr(), complaint.c_str()));
    if (!list) throw py::error_already_set();
    const Py_ssize_t n = PySequence_Fast_GET_SIZE(list.ptr());
    if (count >= 0 && n != count)
      fail(ErrorKind::value, op, ": ", name, " must hold ", count, " arrays, got ", n);
    for (Py_ssize_t i = 0; i < n; ++i) {
      const py::handle item = PySequence_Fast_GET_ITEM(list.ptr(), i);
      Arg arg = written ? output_arg(item, op, name) : input_arg(item, op, name);
      views_.push_back(arg.view);
      keep_.push_back(std::move(arg.keep));
    }
  }
  void add(const TensorView& view) { views_.push_back(view); }
  int64_t size() const { return static_cast<int64_t>(views_.size()); }

  template <class Params>
  void run(const Op<Params>& op, const Params& params) const {
    launch_where(op, params, views_.data(), views_.size());
  }

 private:
  std::vector<TensorView> views_;
  std::vector<py::object> keep_;
};

}  // namespace fastnn
