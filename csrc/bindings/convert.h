// NumPy arrays to TensorViews and back, without copies. The only header that knows both worlds.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <vector>

#include "bindings/gil.h"
#include "fastnn/memory.h"
#include "fastnn/op.h"
#include "fastnn/tensor_view.h"

namespace fastnn {

namespace py = pybind11;

// An array argument: the view, and the array that keeps its memory alive (an aligned, native-endian
// copy of the caller's array where that one is neither).
struct Arg {
  TensorView view;
  py::object keep;
  operator const TensorView&() const { return view; }
};

// `op` and `name` are for error texts. None is refused here; optional_arg gives a null view for it.
Arg input_arg(py::handle array, const char* op, const char* name);
Arg optional_arg(py::handle array, const char* op, const char* name);
// An array that the op writes: must be writable, aligned, native-endian; never copied.
Arg output_arg(py::handle array, const char* op, const char* name);

// A new array on pool memory, uninitialised, row-major.
struct NewArray {
  TensorView view;
  py::object array;
  operator const TensorView&() const { return view; }
};
NewArray new_array(DType dtype, const int64_t* shape, int ndim);
inline NewArray new_array(DType dtype, std::initializer_list<int64_t> shape) {
  return new_array(dtype, shape.begin(), static_cast<int>(shape.size()));
}
// The same shape as `like`; keeps its memory order when `like` is dense (channels-last stays
// channels-last).
NewArray new_array_like(const TensorView& like, DType dtype);

// Whether nobody can reach a NumPy array's memory but through this array, of which there are
// `references`.
bool owns_memory(py::handle array, Py_ssize_t references);

// A numpy.dtype that is one of ours, and back.
DType dtype_arg(py::handle dtype, const char* op);
py::object dtype_object(DType dtype);

// Python's truth of a value; what asking for it raises goes on.
inline bool truth_of(py::handle value) {
  const int truth = PyObject_IsTrue(value.ptr());
  if (truth < 0) throw py::error_already_set();
  return truth == 1;
}

std::vector<int64_t> int_list(py::handle sequence, const char* op, const char* name);
// An int or a sequence of `n` ints, as PyTorch's kernel_size, stride, padding, ...
void int_or_list(py::handle value, int64_t* out, int n, const char* op, const char* name);

// Above this many bytes the GIL is released: below, releasing costs more than it gives.
constexpr int64_t kReleaseGilBytes = 64 << 10;

void init_convert(py::module_& m);  // looks up bfloat16's type number, makes the memory type

}  // namespace fastnn

#include "bindings/device.h"

namespace fastnn {

template <class Params>
void run_op(const Op<Params>& op, const Params& params, std::initializer_list<TensorView> views) {
  launch_where(op, params, views.begin(), views.size());
}

}  // namespace fastnn
