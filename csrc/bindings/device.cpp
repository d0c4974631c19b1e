#include "bindings/device.h"

#include <cstring>

#include "fastnn/cuda_backend.h"

namespace fastnn {

namespace {

// Set once, by fastnn._cuda. Owned for the life of the process.
struct Cuda {
  PyTypeObject* array_type = nullptr;
  const CudaBackend* backend = nullptr;
  PyObject* make = nullptr;    // (shape, strides in bytes or None, dtype) -> array, on the stream
  PyObject* window = nullptr;  // (array, offset, shape, strides) -> array
  PyObject* stream = nullptr;  // (device) -> address of the current stream; says when it is another
};
Cuda cuda;

thread_local int current_output = 0;

py::tuple int_tuple(const int64_t* values, int n, int64_t factor = 1) {
  py::tuple t(n);
  for (int i = 0; i < n; ++i) t[i] = values[i] * factor;
  return t;
}

// An array of CuPy's that comes before anybody said "cuda": the Python side is loaded now.
bool looks_like_cupy(py::handle h) {
  const char* name = Py_TYPE(h.ptr())->tp_name;
  const char* module = nullptr;
  py::object found;
  if (PyType_HasFeature(Py_TYPE(h.ptr()), Py_TPFLAGS_HEAPTYPE)) {
    found = py::reinterpret_steal<py::object>(
        PyObject_GetAttrString(reinterpret_cast<PyObject*>(Py_TYPE(h.ptr())), "__module__"));
    if (!found) PyErr_Clear();
    if (found && PyUnicode_Check(found.ptr())) module = PyUnicode_AsUTF8(found.ptr());
  }
  return std::strncmp(module ? module : name, "cupy", 4) == 0;
}

[[noreturn]] void raise(const BackendError& error) { throw Error(error.kind, error.text); }

void set_cuda(py::handle array_type, py::handle backend, py::handle make, py::handle window,
              py::handle stream) {
  const auto* b =
      static_cast<const CudaBackend*>(PyCapsule_GetPointer(backend.ptr(), kCudaBackendName));
  if (!b) throw py::error_already_set();
  if (std::strcmp(b->version, FASTNN_VERSION) != 0 || b->view_bytes != sizeof(TensorView))
    fail(ErrorKind::runtime, "the CUDA plugin is of version ", b->version, " and fastnn of ",
         FASTNN_VERSION, "; install the same version of both");
  cuda = {reinterpret_cast<PyTypeObject*>(array_type.inc_ref().ptr()), b, make.inc_ref().ptr(),
          window.inc_ref().ptr(), stream.inc_ref().ptr()};
}

}  // namespace

bool is_device_array(py::handle h) {
  if (cuda.array_type) return PyObject_TypeCheck(h.ptr(), cuda.array_type);
  if (!looks_like_cupy(h)) return false;
  py::module_::import("fastnn._cuda").attr("load")();
  return cuda.array_type && PyObject_TypeCheck(h.ptr(), cuda.array_type);
}

Arg device_arg(py::handle h, const char* op, const char* name) {
  if (!is_device_array(h)) return {};
  const py::object memory = h.attr("data"), shape = h.attr("shape"), strides = h.attr("strides");
  Arg arg;
  TensorView& v = arg.view;
  v.ndim = static_cast<int>(PyTuple_GET_SIZE(shape.ptr()));
  if (v.ndim > kMaxDims)
    fail(ErrorKind::shape, op, ": ", name, " has ", v.ndim, " dimensions; at most ", kMaxDims,
         " are supported");
  v.dtype = dtype_arg(h.attr("dtype"), op);
  v.data = reinterpret_cast<void*>(memory.attr("ptr").cast<uintptr_t>());
  v.device = static_cast<int16_t>(1 + memory.attr("device_id").cast<int>());
  const auto itemsize = static_cast<int64_t>(size_of(v.dtype));
  for (int d = 0; d < v.ndim; ++d) {
    v.shape[d] = PyLong_AsLongLong(PyTuple_GET_ITEM(shape.ptr(), d));
    const int64_t step = PyLong_AsLongLong(PyTuple_GET_ITEM(strides.ptr(), d));
    if (step % itemsize && v.shape[d] > 1)
      fail(ErrorKind::value, op, ": ", name, " has strides that are no multiple of its item size");
    v.stride[d] = step / itemsize;
  }
  if (v.numel() == 0) {  // the strides of an empty array mean nothing
    for (int64_t d = v.ndim - 1, step = 1; d >= 0; --d) {
      v.stride[d] = step;
      step *= v.shape[d] > 1 ? v.shape[d] : 1;
    }
    // CuPy gives empty arrays no memory; a null view would mean an absent argument.
    if (!v.data) v.data = reinterpret_cast<void*>(uintptr_t{256});
  }
  arg.keep = py::reinterpret_borrow<py::object>(h);
  set_output_device(v.device);
  return arg;
}

void set_output_device(int device) { current_output = device; }
int output_device() { return current_output; }

NewArray new_device_array(DType dtype, const int64_t* shape, const int64_t* strides, int ndim) {
  const auto itemsize = static_cast<int64_t>(size_of(dtype));
  const int device = current_output;
  NewArray out;
  out.array = py::handle(cuda.make)(int_tuple(shape, ndim), int_tuple(strides, ndim, itemsize),
                                    dtype_object(dtype));
  out.view = device_arg(out.array, "allocation", "out").view;
  if (out.view.device != device)
    fail(ErrorKind::runtime, "the input is on cuda:", device - 1,
         ", but the current device is cuda:", out.view.device - 1,
         "; enter `with fastnn.cuda.device(", device - 1, "):` first");
  return out;
}

py::object device_window(py::handle a, int64_t offset, const int64_t* shape, const int64_t* strides,
                         int ndim) {
  return py::handle(cuda.window)(a, offset, int_tuple(shape, ndim), int_tuple(strides, ndim));
}

int device_of(const char* op, const TensorView* views, size_t count) {
  int device = 0;
  for (size_t i = 0; i < count; ++i) {
    if (!views[i] || views[i].device == 0) continue;
    if (device && device != views[i].device)
      fail(ErrorKind::runtime, op,
           ": expected all tensors to be on the same device, but found cuda:", device - 1,
           " and cuda:", views[i].device - 1, "; move one with .to()");
    device = views[i].device;
  }
  return device;
}

void launch_on_device(int device, const char* name, const void* params, size_t params_bytes,
                      const TensorView* views, size_t count) {
  const CudaBackend& b = *cuda.backend;
  const void* op = b.find(name, params_bytes);
  if (!op)
    fail(ErrorKind::unsupported, name,
         ": there are no CUDA kernels for it yet; move the tensors to "
         "the CPU with .cpu()");
  for (size_t i = 0; i < count; ++i)
    if (views[i] && views[i].device == 0 && !(views[i].numel() == 1 && b.takes_host_scalars(op)))
      fail(ErrorKind::runtime, name,
           ": expected all tensors to be on the same device, but found "
           "cuda:",
           device - 1, " and cpu; move one with .to()");
  BackendError error;
  size_t bytes = 0;
  if (!b.prepare(op, params, views, &bytes, &error)) raise(error);
  const uintptr_t stream = py::handle(cuda.stream)(device - 1).cast<uintptr_t>();
  py::object workspace;
  void* scratch = nullptr;
  if (bytes) {
    const auto size = static_cast<int64_t>(bytes);
    workspace = py::handle(cuda.make)(py::make_tuple(size), py::none(), dtype_object(DType::u8));
    scratch = reinterpret_cast<void*>(workspace.attr("data").attr("ptr").cast<uintptr_t>());
  }
  const ReleasedGil released;
  if (!b.launch(op, params, views, scratch, reinterpret_cast<void*>(stream), &error)) raise(error);
}

void bind_device(py::module_& m) {
  m.def("set_cuda", &set_cuda);
  m.def("is_device_array", &is_device_array);
}

}  // namespace fastnn
