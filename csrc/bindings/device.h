// Arrays on a GPU: CuPy's, which fastnn._cuda makes known here. On a machine where nobody asks for
// CUDA this costs nothing: every function starts from an argument that is no NumPy array.
#pragma once

#include "bindings/convert.h"

namespace fastnn {

// The view of a device array, or an empty Arg when `h` is none.
Arg device_arg(py::handle h, const char* op, const char* name);
bool is_device_array(py::handle h);

// Where new_array makes arrays: where the array lay that was read last (input_arg, output_arg).
void set_output_device(int device);
int output_device();
// `strides` in elements.
NewArray new_device_array(DType dtype, const int64_t* shape, const int64_t* strides, int ndim);

// A window on a's memory, `offset` bytes behind its start; strides in bytes.
py::object device_window(py::handle a, int64_t offset, const int64_t* shape, const int64_t* strides,
                         int ndim);

// 0 when all views lie on the CPU, or the device of all that do not. Runtime error for several.
int device_of(const char* op, const TensorView* views, size_t count);

// Checks, workspace and launch on the current stream of `device`.
void launch_on_device(int device, const char* op, const void* params, size_t params_bytes,
                      const TensorView* views, size_t count);

// Runs an op where its views lie.
template <class Params>
void launch_where(const Op<Params>& op, const Params& params, const TensorView* views,
                  size_t count) {
  if (const int device = device_of(op.name, views, count)) {
    op.check(params, views);
    return launch_on_device(device, op.name, &params, sizeof params, views, count);
  }
  int64_t bytes = 0;
  for (size_t i = 0; i < count; ++i)
    if (views[i]) bytes += views[i].numel() * static_cast<int64_t>(size_of(views[i].dtype));
  if (bytes < kReleaseGilBytes) return launch(op, params, views);
  const ReleasedGil released;
  launch(op, params, views);
}

}  // namespace fastnn
