#include "bindings/convert.h"

#include <cstdint>
#include <limits>

namespace fastnn {

namespace {

using py::detail::npy_api;

// ---- dtypes
// ------------------------------------------------------------------------------------------------------

constexpr int kBuiltinTypes = 24;  // NumPy's numeric types, float16 (23) included

struct TypeTable {
  int8_t from_numpy[kBuiltinTypes];
  PyObject* descr[10] = {};  // by DType; owned for the life of the process
  int bfloat16_num = -1;
  PyTypeObject* buffer_type = nullptr;
};
TypeTable types;

void add_type(DType t, std::initializer_list<int> numpy_types, int make_from) {
  for (int n : numpy_types) types.from_numpy[n] = static_cast<int8_t>(t);
  types.descr[static_cast<int>(t)] = npy_api::get().PyArray_DescrFromType_(make_from);
}

// ---- the owner of an output's memory: a Python object whose end gives the block back to the pool
// -----------------

struct Buffer {
  PyObject_HEAD void* block;
};

void buffer_dealloc(PyObject* self) {
  pool_free(reinterpret_cast<Buffer*>(self)->block);
  PyTypeObject* type = Py_TYPE(self);
  type->tp_free(self);
  Py_DECREF(type);
}

PyType_Slot buffer_slots[] = {{Py_tp_dealloc, reinterpret_cast<void*>(&buffer_dealloc)},
                              {0, nullptr}};
PyType_Spec buffer_spec = {"fastnn._core.Buffer", sizeof(Buffer), 0,
                           Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, buffer_slots};

// ---- arguments
// ---------------------------------------------------------------------------------------------------

const py::detail::PyArray_Proxy* proxy(py::handle a) { return py::detail::array_proxy(a.ptr()); }

bool native_and_aligned(const py::detail::PyArray_Proxy* a, size_t itemsize) {
  const auto* d = py::detail::array_descriptor_proxy(a->descr);
  if (d->byteorder == '>') return false;
  if (itemsize == 1) return true;
  uintptr_t bits = reinterpret_cast<uintptr_t>(a->data);
  for (int i = 0; i < a->nd; ++i)
    if (a->dimensions[i] > 1) bits |= static_cast<uintptr_t>(a->strides[i]);
  return (bits & (itemsize - 1)) == 0;
}

std::string type_name(py::handle h) { return std::string(Py_TYPE(h.ptr())->tp_name); }

DType dtype_of_descr(PyObject* descr, const char* op, const char* name) {
  const int num = py::detail::array_descriptor_proxy(descr)->type_num;
  if (num >= 0 && num < kBuiltinTypes && types.from_numpy[num] >= 0)
    return static_cast<DType>(types.from_numpy[num]);
  if (num == types.bfloat16_num) return DType::bf16;
  fail(ErrorKind::dtype, op, ": ", name, " has dtype ",
       py::str(py::handle(descr)).cast<std::string>(),
       "; expected one of float32, float64, bfloat16, float16, bool, uint8, int8, int16, int32, "
       "int64");
}

DType dtype_of(const py::detail::PyArray_Proxy* a, const char* op, const char* name) {
  return dtype_of_descr(a->descr, op, name);
}

void fill_view(TensorView& v, const py::detail::PyArray_Proxy* a, DType dtype) {
  const auto itemsize = static_cast<int64_t>(size_of(dtype));
  v.data = a->data;
  v.ndim = a->nd;
  v.dtype = dtype;
  for (int i = 0; i < a->nd; ++i) {
    v.shape[i] = a->dimensions[i];
    v.stride[i] = a->strides[i] / itemsize;  // exact: checked by native_and_aligned
  }
  // The strides of an empty array mean nothing and may be anything: row-major.
  if (v.numel() == 0)
    for (int64_t i = a->nd - 1, step = 1; i >= 0; --i) {
      v.stride[i] = step;
      step *= v.shape[i] > 1 ? v.shape[i] : 1;
    }
}

const py::detail::PyArray_Proxy* check_array(py::handle h, const char* op, const char* name) {
  if (!npy_api::get().PyArray_Check_(h.ptr()))
    fail(ErrorKind::dtype, op, ": ", name, " must be a numpy.ndarray, got ", type_name(h));
  const auto* a = proxy(h);
  if (a->nd > kMaxDims)
    fail(ErrorKind::shape, op, ": ", name, " has ", a->nd, " dimensions; at most ", kMaxDims,
         " are supported");
  return a;
}

}  // namespace

Arg input_arg(py::handle h, const char* op, const char* name) {
  if (!npy_api::get().PyArray_Check_(h.ptr()))
    if (Arg arg = device_arg(h, op, name); arg.keep) return arg;
  set_output_device(0);
  const auto* a = check_array(h, op, name);
  const DType dtype = dtype_of(a, op, name);
  Arg arg;
  arg.keep = py::reinterpret_borrow<py::object>(h);
  if (!native_and_aligned(a, size_of(dtype))) {
    // A byte-swapped or misaligned array: work on a good copy.
    arg.keep = py::module_::import("numpy").attr("array")(
        h, py::handle(types.descr[static_cast<int>(dtype)]));
    a = proxy(arg.keep);
  }
  fill_view(arg.view, a, dtype);
  return arg;
}

Arg optional_arg(py::handle h, const char* op, const char* name) {
  if (h.is_none()) return Arg{};
  return input_arg(h, op, name);
}

Arg output_arg(py::handle h, const char* op, const char* name) {
  if (!npy_api::get().PyArray_Check_(h.ptr()))
    if (Arg arg = device_arg(h, op, name); arg.keep) return arg;
  set_output_device(0);
  const auto* a = check_array(h, op, name);
  const DType dtype = dtype_of(a, op, name);
  if (!(a->flags & npy_api::NPY_ARRAY_WRITEABLE_))
    fail(ErrorKind::value, op, ": ", name,
         " is read-only and cannot be written; pass a writable copy");
  if (!native_and_aligned(a, size_of(dtype)))
    fail(ErrorKind::value, op, ": ", name,
         " is misaligned or byte-swapped and cannot be written; pass a copy");
  Arg arg;
  arg.keep = py::reinterpret_borrow<py::object>(h);
  fill_view(arg.view, a, dtype);
  return arg;
}

namespace {

NewArray new_strided(DType dtype, const int64_t* shape, const int64_t* strides, int ndim) {
  if (output_device()) return new_device_array(dtype, shape, strides, ndim);
  NewArray out;
  TensorView& v = out.view;
  v.ndim = ndim;
  v.dtype = dtype;
  const auto itemsize = static_cast<int64_t>(size_of(dtype));
  int64_t bytes = itemsize;
  for (int d = 0; d < ndim; ++d) bytes = checked_mul(bytes, shape[d], "allocation");
  Py_ssize_t byte_strides[kMaxDims], dims[kMaxDims];
  for (int d = 0; d < ndim; ++d) {
    v.shape[d] = dims[d] = shape[d];
    v.stride[d] = strides[d];
    byte_strides[d] = strides[d] * itemsize;
  }
  auto* owner = PyObject_New(Buffer, types.buffer_type);
  if (!owner) throw py::error_already_set();
  owner->block = nullptr;
  py::object keep = py::reinterpret_steal<py::object>(reinterpret_cast<PyObject*>(owner));
  owner->block = v.data = pool_alloc(static_cast<size_t>(bytes));

  const npy_api& api = npy_api::get();
  PyObject* descr = types.descr[static_cast<int>(dtype)];
  Py_INCREF(descr);
  PyObject* array = api.PyArray_NewFromDescr_(
      api.PyArray_Type_, descr, ndim, dims, byte_strides, v.data,
      npy_api::NPY_ARRAY_WRITEABLE_ | npy_api::NPY_ARRAY_ALIGNED_, nullptr);
  if (!array) throw py::error_already_set();
  out.array = py::reinterpret_steal<py::object>(array);
  if (api.PyArray_SetBaseObject_(array, keep.release().ptr()) != 0) throw py::error_already_set();
  return out;
}

}  // namespace

bool owns_memory(py::handle array, Py_ssize_t references) {
  if (Py_REFCNT(array.ptr()) != references) return false;
  const auto* a = proxy(array);
  if (!a->base) return (a->flags & npy_api::NPY_ARRAY_OWNDATA_) != 0;
  return Py_TYPE(a->base) == types.buffer_type && Py_REFCNT(a->base) == 1;
}

DType dtype_arg(py::handle dtype, const char* op) {
  if (!npy_api::get().PyArrayDescr_Check_(dtype.ptr()))
    fail(ErrorKind::dtype, op, ": dtype must be a numpy.dtype, got ", type_name(dtype));
  return dtype_of_descr(dtype.ptr(), op, "dtype");
}

py::object dtype_object(DType dtype) {
  return py::reinterpret_borrow<py::object>(types.descr[static_cast<int>(dtype)]);
}

NewArray new_array(DType dtype, const int64_t* shape, int ndim) {
  int64_t strides[kMaxDims], step = 1;
  for (int d = ndim - 1; d >= 0; --d) {
    strides[d] = step;
    step *= shape[d] > 1 ? shape[d] : 1;
  }
  return new_strided(dtype, shape, strides, ndim);
}

NewArray new_array_like(const TensorView& like, DType dtype) {
  if (like.contiguous()) return new_array(dtype, like.shape, like.ndim);
  // Dense in another order of axes (transposed, channels-last): the same order again; else
  // row-major.
  int order[kMaxDims];
  for (int d = 0; d < like.ndim; ++d) order[d] = d;
  for (int i = 1; i < like.ndim; ++i)
    for (int j = i; j > 0 && like.stride[order[j - 1]] < like.stride[order[j]]; --j)
      std::swap(order[j - 1], order[j]);
  int64_t strides[kMaxDims], step = 1;
  for (int i = like.ndim - 1; i >= 0; --i) {
    const int d = order[i];
    if (like.shape[d] > 1 && like.stride[d] != step) return new_array(dtype, like.shape, like.ndim);
    strides[d] = step;
    step *= like.shape[d];
  }
  return new_strided(dtype, like.shape, strides, like.ndim);
}

std::vector<int64_t> int_list(py::handle sequence, const char* op, const char* name) {
  if (!PySequence_Check(sequence.ptr()) || PyUnicode_Check(sequence.ptr()))
    fail(ErrorKind::dtype, op, ": ", name, " must be a sequence of integers, got ",
         type_name(sequence));
  std::vector<int64_t> out;
  for (py::handle item : sequence) {
    const int64_t value =
        PyLong_Check(item.ptr()) || PyIndex_Check(item.ptr())
            ? PyNumber_AsSsize_t(item.ptr(), PyExc_OverflowError)
            : (fail(ErrorKind::dtype, op, ": ", name, " must hold integers, got ", type_name(item)),
               0);
    if (value == -1 && PyErr_Occurred()) {
      PyErr_Clear();
      fail(ErrorKind::value, op, ": ", name, " holds an integer that does not fit in 64 bits");
    }
    out.push_back(value);
  }
  return out;
}

void int_or_list(py::handle value, int64_t* out, int n, const char* op, const char* name) {
  if (PyIndex_Check(value.ptr())) {
    const int64_t v = PyNumber_AsSsize_t(value.ptr(), PyExc_OverflowError);
    if (v == -1 && PyErr_Occurred()) {
      PyErr_Clear();
      fail(ErrorKind::value, op, ": ", name, " does not fit in 64 bits");
    }
    for (int i = 0; i < n; ++i) out[i] = v;
    return;
  }
  const std::vector<int64_t> list = int_list(value, op, name);
  if (list.size() == 1) {
    for (int i = 0; i < n; ++i) out[i] = list[0];
    return;
  }
  if (static_cast<int>(list.size()) != n)
    fail(ErrorKind::value, op, ": ", name, " must be an integer or have ", n, " of them, got ",
         list.size());
  for (int i = 0; i < n; ++i) out[i] = list[i];
}

void init_convert(py::module_& m) {
  for (int8_t& t : types.from_numpy) t = -1;
  add_type(DType::b8, {0}, 0);
  add_type(DType::i8, {1}, 1);
  add_type(DType::u8, {2}, 2);
  add_type(DType::i16, {3}, 3);
  add_type(DType::i32, {5}, 5);
  // `long` and `long long` are both 64 bits here; an array of either is an int64 array.
  static_assert(sizeof(long) == 8, "64-bit Linux or macOS");
  add_type(DType::i64, {7, 9}, 7);
  add_type(DType::f32, {11}, 11);
  add_type(DType::f64, {12}, 12);
  add_type(DType::f16, {23}, 23);
  py::object bfloat16 = py::dtype::from_args(py::module_::import("ml_dtypes").attr("bfloat16"));
  types.bfloat16_num = bfloat16.attr("num").cast<int>();
  types.descr[static_cast<int>(DType::bf16)] = bfloat16.release().ptr();
  types.buffer_type = reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&buffer_spec));
  if (!types.buffer_type) throw py::error_already_set();
  m.attr("Buffer") = py::handle(reinterpret_cast<PyObject*>(types.buffer_type));
}

}  // namespace fastnn
