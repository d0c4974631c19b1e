// Elementwise maps: _core.add(a, b, out=None, dtype=None) and its many sisters, casts and copies.
#include "fastnn/ops/elementwise.h"

#include <string_view>
#include <unordered_map>

#include "bindings/fast_function.h"
#include "bindings/operands.h"

namespace fastnn {

// ---- Operands ---------------------------------------------------------------------------------

namespace {

int category(DType t) { return is_float(t) ? 2 : t == DType::b8 ? 0 : 1; }

// PyTorch's rule: operands of lower priority count only where their category is higher.
DType combine(bool has_higher, DType higher, bool has_lower, DType lower) {
  if (!has_higher) return lower;
  if (!has_lower || category(higher) >= category(lower)) return higher;
  return promote(higher, lower);
}

int64_t integer_at(const TensorView& v) {
  switch (v.dtype) {
    case DType::i64:
      return *v.ptr<int64_t>();
    case DType::i32:
      return *v.ptr<int32_t>();
    case DType::i16:
      return *v.ptr<int16_t>();
    case DType::i8:
      return *v.ptr<int8_t>();
    default:
      return *v.ptr<uint8_t>();
  }
}

int64_t low_bits(int64_t value, DType type) {
  switch (type) {
    case DType::i32:
      return static_cast<int32_t>(value);
    case DType::i16:
      return static_cast<int16_t>(value);
    case DType::i8:
      return static_cast<int8_t>(value);
    default:
      return static_cast<uint8_t>(value);
  }
}

}  // namespace

void Operands::add(py::handle value, const char* op, const char* name) {
  const int k = count_;
  TensorView& v = views_[k];
  is_number_[k] = false;
  PyObject* o = value.ptr();
  const auto number = [&](DType dtype, void* where) {
    v.data = where;
    v.ndim = 0;
    v.dtype = dtype;
    is_number_[k] = true;
  };
  if (PyFloat_Check(o)) {
    numbers_[k].real = PyFloat_AS_DOUBLE(o);
    number(DType::f64, &numbers_[k].real);
  } else if (PyBool_Check(o)) {
    numbers_[k].integer = o == Py_True;
    number(DType::b8, &numbers_[k].integer);
  } else if (PyLong_Check(o)) {
    int overflow = 0;
    numbers_[k].integer = PyLong_AsLongLongAndOverflow(o, &overflow);
    if (overflow) fail(ErrorKind::value, op, ": ", name, " does not fit in 64 bits");
    number(DType::i64, &numbers_[k].integer);
  } else if (py::detail::npy_api::get().PyArray_Check_(o)) {
    Arg arg = input_arg(value, op, name);
    v = arg.view;
    keep_[k] = std::move(arg.keep);
  } else {  // a NumPy scalar is an array of rank 0; anything else has no place here
    py::object array = !is_device_array(value) && PyObject_HasAttrString(o, "__array_interface__")
                           ? py::module_::import("numpy").attr("asarray")(value)
                           : py::reinterpret_borrow<py::object>(value);
    Arg arg = input_arg(array, op, name);
    v = arg.view;
    keep_[k] = std::move(arg.keep);
  }
  ++count_;
}

DType Operands::result_type(int first, DType real) const {
  bool has[3] = {};  // arrays, 0-d arrays, numbers
  DType type[3] = {};
  for (int k = first; k < count_; ++k) {
    const int rank = is_number_[k] ? 2 : views_[k].ndim ? 0 : 1;
    const DType t = is_number_[k] && views_[k].dtype == DType::f64 ? real : views_[k].dtype;
    type[rank] = has[rank] ? promote(type[rank], t) : t;
    has[rank] = true;
  }
  const DType arrays = combine(has[0], type[0], has[1], type[1]);
  return combine(has[0] || has[1], arrays, has[2], type[2]);
}

void Operands::wrap_integers(DType type) {
  if (is_float(type) || type == DType::b8 || type == DType::i64) return;
  for (int k = 0; k < count_; ++k) {
    TensorView& v = views_[k];
    if (v.ndim || v.device || v.dtype == type) continue;
    numbers_[k].integer = low_bits(integer_at(v), type);
    v.data = &numbers_[k].integer;
    v.dtype = DType::i64;
  }
}

int Operands::device() const {
  for (int k = 0; k < count_; ++k)
    if (views_[k].device) return views_[k].device;
  return 0;
}

NewArray Operands::result(DType dtype, const char* op) const {
  set_output_device(device());
  int64_t shape[kMaxDims];
  int ndim = 0;
  for (int k = 0; k < count_; ++k) ndim = views_[k].ndim > ndim ? views_[k].ndim : ndim;
  for (int d = 0; d < ndim; ++d) shape[d] = 1;
  for (int k = 0; k < count_; ++k) {
    const TensorView& v = views_[k];
    for (int d = 0; d < v.ndim; ++d) {
      int64_t& size = shape[d + ndim - v.ndim];
      if (size == 1)
        size = v.shape[d];
      else if (v.shape[d] != 1 && v.shape[d] != size)
        fail(ErrorKind::shape, op, ": shapes ", views_[0].shape_text(), " and ", v.shape_text(),
             " do not broadcast: counted from the right, sizes must be equal or 1");
    }
  }
  for (int k = 0; k < count_; ++k) {
    const TensorView& v = views_[k];
    bool full = v.ndim == ndim;
    for (int d = 0; full && d < ndim; ++d) full = v.shape[d] == shape[d];
    if (full) return new_array_like(v, dtype);
  }
  return new_array(dtype, shape, ndim);
}

void copy_into(const TensorView& out, const TensorView& in) {
  DType compute = compute_type(out.dtype);
  if (is_float(in.dtype) && (in.dtype == DType::f64 || !is_float(out.dtype)))
    compute = compute_type(in.dtype);
  run_op(elementwise, ElementwiseParams{MapOp::copy, compute, {}}, {out, in});
}

namespace {

// ---- Maps -------------------------------------------------------------------------------------

constexpr const char* kInputNames[] = {"a", "b", "c"};

DType result_dtype(const MapInfo& info, DType promoted) {
  if (info.kind == MapKind::test) return DType::b8;
  return info.kind == MapKind::real && !is_float(promoted) ? DType::f32 : promoted;
}

void run_map(const ElementwiseParams& params, const TensorView& out, const Operands& in) {
  TensorView views[1 + kMaxMapInputs];
  views[0] = out;
  for (int k = 0; k < in.count(); ++k) views[1 + k] = in.view(k);
  launch_where(elementwise, params, views, static_cast<size_t>(1 + in.count()));
}

// The dtype of the result and the one to compute in.
struct MapTypes {
  DType result, compute;
};

MapTypes types_of(MapOp op, DType promoted) {
  const MapInfo& info = kMapInfo[static_cast<int>(op)];
  const DType result = result_dtype(info, promoted);
  DType compute = compute_type(info.kind == MapKind::test ? promoted : result);
  if (compute == DType::i64 && info.kind == MapKind::test && !map_has_integers(op))
    compute = DType::f32;
  return {result, compute};
}

ElementwiseParams params_of(MapOp op, DType compute, const double* p) {
  ElementwiseParams params{op, compute, {}};
  for (int k = 0; k < kMapInfo[static_cast<int>(op)].params; ++k) params.p[k] = p[k];
  return params;
}

}  // namespace

NewArray map_new(MapOp op, const Operands& in, DType promoted, const double* p) {
  const MapTypes types = types_of(op, promoted);
  NewArray out = in.result(types.result, kMapInfo[static_cast<int>(op)].name);
  run_map(params_of(op, types.compute, p), out.view, in);
  return out;
}

void map_into(MapOp op, const TensorView& out, const Operands& in, DType promoted,
              const double* p) {
  const MapTypes types = types_of(op, promoted);
  const char* name = kMapInfo[static_cast<int>(op)].name;
  if (category(out.dtype) < category(types.result))
    fail(ErrorKind::dtype, name, ": out has dtype ", name_of(out.dtype),
         ", to which the result type ", name_of(types.result), " can't be cast");
  run_map(params_of(op, types.compute, p), out, in);
}

namespace {

// _core.NAME(inputs..., parameters..., out=None, dtype=None)
py::object map(int id, const CallArgs& call) {
  const auto op = static_cast<MapOp>(id);
  const MapInfo& info = kMapInfo[id];
  static constexpr const char* kNames[kMaxMapInputs][kMaxMapInputs + kMaxMapParams + 2] = {
      {"a", "p0", "p1", "p2", "out", "dtype"},
      {"a", "b", "p0", "p1", "p2", "out", "dtype"},
      {"a", "b", "c", "p0", "p1", "p2", "out", "dtype"}};
  py::handle args[kMaxMapInputs + kMaxMapParams + 2];
  call.unpack(kNames[info.arity - 1], info.arity, info.arity + kMaxMapParams + 2, args);

  Operands in;
  for (int k = 0; k < info.arity; ++k) in.add(args[k], info.name, kInputNames[k]);
  double p[kMaxMapParams];
  for (int k = 0; k < info.params; ++k) {
    const py::handle value = args[info.arity + k];
    if (!value || value.is_none())
      fail(ErrorKind::value, info.name, ": parameter p", k, " is missing");
    p[k] = value.cast<double>();
  }
  const py::handle out_arg = args[info.arity + kMaxMapParams],
                   dtype = args[info.arity + kMaxMapParams + 1];
  const DType promoted = dtype && !dtype.is_none()
                             ? dtype_arg(dtype, info.name)
                             : in.result_type(info.kind == MapKind::choice ? 1 : 0);
  if (out_arg && !out_arg.is_none()) {
    const Arg out = output_arg(out_arg, info.name, "out");
    map_into(op, out.view, in, promoted, p);
    return out.keep;
  }
  return std::move(map_new(op, in, promoted, p).array);
}

// ---- Activations by name ----------------------------------------------------------------------
const std::unordered_map<std::string_view, int>& map_ids() {
  static const auto* ids = [] {
    auto* all = new std::unordered_map<std::string_view, int>;
    for (int id = 0; id < static_cast<int>(MapOp::count); ++id) all->emplace(kMapInfo[id].name, id);
    return all;
  }();
  return *ids;
}

// activation(name, x, p0, p1, out) and, with id 1, activation_backward(name, grad, saved, p0, p1,
// out). gelu's p0 says whether it is the tanh approximation.
py::object activation(int backward, const CallArgs& call) {
  static constexpr const char* kForward[] = {"name", "x", "p0", "p1", "out"};
  static constexpr const char* kBackward[] = {"name", "grad", "saved", "p0", "p1", "out"};
  const int arity = backward ? 2 : 1;
  py::handle args[6];
  call.unpack(backward ? kBackward : kForward, 1 + arity, 4 + arity, args);
  if (!PyUnicode_Check(args[0].ptr()))
    throw py::type_error(cat(call.function, ": name must be a string"));
  std::string name = args[0].cast<std::string>();
  if (name == "gelu" && args[1 + arity] && args[1 + arity].cast<double>() != 0) name = "gelu_tanh";
  if (backward) name += "_backward";
  const auto found = map_ids().find(name);
  if (found == map_ids().end() || kMapInfo[found->second].arity != arity)
    fail(ErrorKind::value, call.function, ": unknown activation '", name, "'");
  PyObject* values[2 + kMaxMapParams + 1];
  for (int k = 0; k < arity; ++k) values[k] = args[1 + k].ptr();
  for (int k = 0; k < kMaxMapParams; ++k) values[arity + k] = Py_None;
  for (int k = 0; k < 2; ++k)
    if (args[1 + arity + k]) values[arity + k] = args[1 + arity + k].ptr();
  values[arity + kMaxMapParams] = args[3 + arity] ? args[3 + arity].ptr() : Py_None;
  return map(found->second, CallArgs{call.function, values, arity + kMaxMapParams + 1, nullptr});
}

// ---- Casts and copies -------------------------------------------------------------------------

py::object clamp(int, const CallArgs& call) {
  static constexpr const char* kNames[] = {"a", "min", "max", "out"};
  py::handle args[4];
  call.unpack(kNames, 1, 4, args);
  for (int k = 1; k < 4; ++k)
    if (!args[k]) args[k] = Py_None;
  PyObject* values[] = {args[0].ptr(), args[1].ptr(), args[2].ptr(), Py_None,
                        Py_None,       Py_None,       args[3].ptr()};
  if (args[1].is_none() && args[2].is_none())
    fail(ErrorKind::value, "clamp: at least one of min and max must not be None");
  if (!args[1].is_none() && !args[2].is_none())
    return map(static_cast<int>(MapOp::clamp), CallArgs{call.function, values, 7, nullptr});
  const bool low = args[2].is_none();
  PyObject* one[] = {values[0], low ? values[1] : values[2], Py_None, Py_None, Py_None, values[6]};
  return map(static_cast<int>(low ? MapOp::maximum : MapOp::minimum),
             CallArgs{call.function, one, 6, nullptr});
}

py::object cast(py::handle a, py::handle dtype) {
  const Arg in = input_arg(a, "cast", "a");
  NewArray out = new_array_like(in.view, dtype_arg(dtype, "cast"));
  copy_into(out.view, in.view);
  return std::move(out.array);
}

// In the same memory order when that is dense.
py::object copy(py::handle a) {
  const Arg in = input_arg(a, "copy", "a");
  NewArray out = new_array_like(in.view, in.view.dtype);
  copy_into(out.view, in.view);
  return std::move(out.array);
}

// Row-major: `a` itself when it is that.
py::object contiguous(py::handle a) {
  const Arg in = input_arg(a, "contiguous", "a");
  if (in.view.contiguous()) return in.keep;
  NewArray out = new_array(in.view.dtype, in.view.shape, in.view.ndim);
  copy_into(out.view, in.view);
  return std::move(out.array);
}

// out[...] = a, broadcast and converted.
py::object copy_to(py::handle out, py::handle a) {
  const Arg target = output_arg(out, "copy_to", "out");
  Operands in;
  in.add(a, "copy_to", "a");
  copy_into(target.view, in.view(0));
  return target.keep;
}

}  // namespace

void bind_elementwise(py::module_& m) {
  for (int id = 0; id < static_cast<int>(MapOp::count); ++id) {
    const auto op = static_cast<MapOp>(id);
    if (op != MapOp::copy && op != MapOp::clamp) def_fast<map>(m, kMapInfo[id].name, id, nullptr);
  }
  def_fast<clamp>(m, "clamp", 0, "clamp(a, min=None, max=None, out=None)");
  def_fast<activation>(m, "activation", 0, "activation(name, x, p0=0.0, p1=0.0, out=None)");
  def_fast<activation>(m, "activation_backward", 1,
                       "activation_backward(name, grad, saved, p0=0.0, p1=0.0, out=None)");
  m.def("cast", &cast, py::arg("a"), py::arg("dtype"));
  m.def("copy", &copy, py::arg("a"));
  m.def("contiguous", &contiguous, py::arg("a"));
  m.def("copy_to", &copy_to, py::arg("out"), py::arg("a"));
}

}  // namespace fastnn
