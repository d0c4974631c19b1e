// Elementwise ops on tensors: operands, promotion, the kernel, recording. In C because on small
// tensors the way to the kernel is all that a call costs. What their gradients are is Python's
// (ops/arithmetic.py, pointwise.py, activation.py), which makes these functions.
#include <cstring>
#include <utility>

#include "bindings/in_place.h"
#include "bindings/operands.h"

namespace fastnn {

namespace {

DType default_dtype = DType::f32;
PyObject* store = nullptr;  // Python: implements out=

// What a function is told at its making, packed beside its kernel in its id.
enum Trait : int {
  kKernel = 0xff,
  kSavesInputs = 1 << 8,
  kSavesOutput = 1 << 9,
  kFloats = 1 << 10,  // integers become the default dtype first
};
static_assert(static_cast<int>(MapOp::count) <= kKernel);

MapOp kernel_of(int id) { return static_cast<MapOp>(id & kKernel); }

// A tensor, or a number beside one.
struct Operand {
  PyObject* tensor = nullptr;  // null for a number
  py::handle value;            // what the kernel takes
  py::object keep;

  Operand(py::handle x, const char* op, const char* name) {
    PyObject* o = x.ptr();
    if (is_tensor(x)) {
      tensor = o;
      value = as_tensor(x)->data;
    } else if (PyFloat_Check(o) || PyLong_Check(o)) {
      value = x;
    } else if (py::detail::npy_api::get().PyArray_Check_(o)) {
      keep = wrap_array(x);
      tensor = keep.ptr();
      value = x;
    } else if (PyObject_HasAttrString(o, "__array_interface__")) {
      keep = x.attr("item")();  // a NumPy number counts as a Python one and keeps its digits
      value = keep;
    } else {
      throw py::type_error(cat(op, "(): argument '", name, "' must be a Tensor or a number, got ",
                               Py_TYPE(o)->tp_name));
    }
  }
  PyObject* saved() const { return tensor ? tensor : value.ptr(); }
  PyObject* edge() const { return tensor ? tensor : Py_None; }
  bool wants_grad() const { return tensor && requires_grad(tensor); }
};

DType promoted_type(const Operands& in, int id) {
  const DType t = in.result_type(0, default_dtype);
  return (id & kFloats) && !is_float(t) ? default_dtype : t;
}

// None, or the (shape, dtype) to which an operand's gradient is brought back.
py::object meta_of(const Operand& x, const TensorView& view, const TensorView& result) {
  if (!x.tensor) return py::none();
  const bool same = view.dtype == result.dtype && view.ndim == result.ndim &&
                    std::equal(view.shape, view.shape + view.ndim, result.shape);
  if (same) return py::none();
  return py::make_tuple(x.value.attr("shape"), x.value.attr("dtype"));
}

py::object stored(py::object result, py::handle out, const char* name) {
  if (!out || out.is_none()) return result;
  return py::handle(store)(out, result, name);
}

void positional_limit(const CallArgs& call, Py_ssize_t limit) {
  if (call.count > limit)
    throw py::type_error(cat(call.function, "() takes ", limit, " positional arguments but ",
                             call.count, " were given"));
}

// ---- two operands -------------------------------------------------------------------------------

// Which operands backward reads, given those that want a gradient. The others are not saved: their
// memory can go, and they may be written in place.
std::pair<bool, bool> operands_read(MapOp op, bool wants_a, bool wants_b) {
  switch (op) {
    case MapOp::mul:
      return {wants_b, wants_a};
    case MapOp::div:
      return {wants_b, true};
    case MapOp::remainder:
    case MapOp::fmod:
      return {wants_b, wants_b};
    default:
      return {true, true};
  }
}

void record_binary(int id, py::handle backward, py::handle result, const Operand& a,
                   const Operand& b, const Operands& in, const TensorView& out) {
  py::object ctx = py::none(), meta_a = meta_of(a, in.view(0), out),
             meta_b = meta_of(b, in.view(1), out);
  if (!meta_a.is_none() || !meta_b.is_none()) ctx = py::make_tuple(meta_a, meta_b);
  if (id & kSavesInputs) {
    const auto [reads_a, reads_b] = operands_read(kernel_of(id), a.wants_grad(), b.wants_grad());
    record_call(result, backward, {a.edge(), b.edge()},
                {reads_a ? a.saved() : Py_None, reads_b ? b.saved() : Py_None}, ctx);
  } else {
    record_call(result, backward, {a.edge(), b.edge()}, {}, ctx);
  }
}

// op(input, other, *, alpha=1, out=None); state: its backward, or None.
py::object binary(int id, const CallArgs& call) {
  static constexpr const char* kNames[] = {"input", "other", "out", "alpha"};
  const MapOp op = kernel_of(id);
  py::handle args[4];
  positional_limit(call, 2);
  call.unpack(kNames, 2, op == MapOp::add || op == MapOp::sub ? 4 : 3, args);
  py::object scaled;
  if (args[3] && !args[3].equal(py::int_(1))) {
    scaled = py::reinterpret_steal<py::object>(PyNumber_Multiply(args[1].ptr(), args[3].ptr()));
    if (!scaled) throw py::error_already_set();
    args[1] = scaled;
  }
  const Operand a(args[0], call.function, "input"), b(args[1], call.function, "other");
  Operands in;
  in.add(a.value, call.function, "input");
  in.add(b.value, call.function, "other");
  if (op == MapOp::sub)
    for (int k = 0; k < 2; ++k)
      if ((k ? b : a).tensor && in.view(k).dtype == DType::b8)
        fail(ErrorKind::runtime,
             "Subtraction, the `-` operator, with a bool tensor is not supported. Use the `^` or "
             "`logical_xor()` operator instead.");
  const DType type = promoted_type(in, id);
  in.wrap_integers(type);
  const NewArray out = map_new(op, in, type);
  py::object result = wrap_array(out.array);
  if (call.self->state != Py_None && grad_enabled() && (a.wants_grad() || b.wants_grad()))
    record_binary(id, call.self->state, result, a, b, in, out.view);
  return stored(std::move(result), args[2], call.function);
}

// ---- one operand --------------------------------------------------------------------------------

// op(input, *, out=None); state: its backward, or None.
py::object unary(int id, const CallArgs& call) {
  static constexpr const char* kNames[] = {"input", "out"};
  py::handle args[2];
  positional_limit(call, 1);
  call.unpack(kNames, 1, 2, args);
  const TensorObject* x = tensor_arg(args[0], call.function, "input");
  Operands in;
  in.add(x->data, call.function, "input");
  py::object result = wrap_array(map_new(kernel_of(id), in, promoted_type(in, id)).array);
  if (call.self->state != Py_None && wants_grad(args[0])) {
    if (id & (kSavesInputs | kSavesOutput))
      record_call(result, call.self->state, {args[0].ptr()},
                  {id & kSavesInputs ? args[0].ptr() : output_mark()});
    else
      record_call(result, call.self->state, {args[0].ptr()});
  }
  return stored(std::move(result), args[1], call.function);
}

// op(input, p0, p1); state: its backward.
py::object activation(int id, const CallArgs& call) {
  static constexpr const char* kNames[] = {"input", "p0", "p1"};
  py::handle args[3];
  call.unpack(kNames, 1, 3, args);
  const TensorObject* x = tensor_arg(args[0], call.function, "input");
  Operands in;
  in.add(x->data, call.function, "input");
  if (!is_float(in.view(0).dtype))
    fail(ErrorKind::dtype, call.function, ": input must have a floating-point dtype, got ",
         name_of(in.view(0).dtype), "; convert it with .float() first");
  double p[kMaxMapParams] = {};
  for (int k = 0; k < 2; ++k)
    if (args[1 + k]) p[k] = args[1 + k].cast<double>();
  py::object result = wrap_array(map_new(kernel_of(id), in, in.view(0).dtype, p).array);
  if (wants_grad(args[0])) {
    py::object ctx = py::none();
    if (args[1]) ctx = py::make_tuple(p[0], p[1]);
    record_call(result, call.self->state, {args[0].ptr()},
                {id & kSavesInputs ? args[0].ptr() : output_mark()}, ctx);
  }
  return result;
}

// backward(node, grad); state: the derivative as ops, for gradients that are recorded themselves.
py::object activation_gradient(int id, const CallArgs& call) {
  if (call.count != 2) throw py::type_error(cat(call.function, " takes a node and a gradient"));
  NodeObject* node = as_node(call.values[0]);
  const py::handle g = call.values[1];
  const py::object saved = saved_tensor(node, 0);
  double p[kMaxMapParams] = {};
  if (PyTuple_Check(node->ctx))
    for (int k = 0; k < 2; ++k) p[k] = PyFloat_AS_DOUBLE(PyTuple_GET_ITEM(node->ctx, k));
  if (wants_grad(g) || wants_grad(saved)) return py::handle(call.self->state)(g, saved, p[0], p[1]);
  Operands in;
  in.add(as_tensor(g)->data, call.function, "grad");
  in.add(as_tensor(saved)->data, call.function, "saved");
  return wrap_array(map_new(kernel_of(id), in, in.result_type(), p).array);
}

// ---- in place -----------------------------------------------------------------------------------

// x.op_(other, *, alpha=1): floating point of one dtype and shape, or a number. True: done.
bool write_plainly(MapOp op, const CallArgs& call) {
  const py::handle x = call.values[0], other = call.values[1];
  double alpha = 1;
  if (call.keywords) {
    const py::handle value = call.values[2];
    if (PyTuple_GET_SIZE(call.keywords) != 1 || !is_tensor(other) || !is_number(value) ||
        (op != MapOp::add && op != MapOp::sub) ||
        PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(call.keywords, 0), "alpha") != 0)
      return false;
    alpha = value.cast<double>();
    op = op == MapOp::add ? MapOp::add_scaled : MapOp::sub_scaled;
  }
  if (is_tensor(other) ? !is_numpy(other) : !is_number(other)) return false;
  if (!free_to_write(x, other)) return false;
  Operands in;
  in.add(as_tensor(x)->data, call.function, "self");
  in.add(is_tensor(other) ? py::handle(as_tensor(other)->data) : other, call.function, "other");
  const DType type = in.view(0).dtype;
  if (type != DType::f32 && type != DType::f64) return false;
  if (is_tensor(other) && (in.view(1).dtype != type || !same_shape(in.view(0), in.view(1))))
    return false;
  const Arg out = output_arg(as_tensor(x)->data, call.function, "self");
  map_into(op, out.view, in, type, &alpha);
  ++version_counter(x)->value;
  return true;
}

// state: the Python method for everything but the plain case.
py::object in_place(int id, const CallArgs& call) {
  if (call.count == 2 && is_tensor(call.values[0]) && write_plainly(kernel_of(id), call))
    return py::reinterpret_borrow<py::object>(call.values[0]);
  return pass_on(call.self, call);
}

// ---- making them --------------------------------------------------------------------------------

int kernel_named(const std::string& name) {
  for (int id = 0; id < static_cast<int>(MapOp::count); ++id)
    if (name == kMapInfo[id].name) return id;
  fail(ErrorKind::value, "no elementwise kernel is named '", name, "'");
}

// Functions live as long as the process, and so do their texts.
const char* lasting(const std::string& text) {
  return text.empty() ? nullptr : strdup(text.c_str());
}

int traits_of(const std::string& saves, bool floats) {
  return (floats ? kFloats : 0) | (saves == "inputs" ? kSavesInputs : 0) |
         (saves == "output" ? kSavesOutput : 0);
}

template <py::object (*body)(int id, const CallArgs&)>
py::object made(const std::string& module, const std::string& name, int id, const std::string& doc,
                const char* signature, py::object state) {
  return fast_function<body>(py::str(module), lasting(name), id, lasting(doc), signature,
                             std::move(state));
}

}  // namespace

void bind_pointwise_ops(py::module_& m) {
  m.def("set_store", [](py::object function) { store = function.release().ptr(); });
  m.def("set_default_dtype",
        [](py::handle dtype) { default_dtype = dtype_arg(dtype, "set_default_dtype"); });
  m.def("make_binary", [](const std::string& name, py::object backward, const std::string& saves,
                          bool floats, const std::string& doc, const std::string& module) {
    const int id = kernel_named(name);
    const bool scaled = name == "add" || name == "sub";
    return made<binary>(
        module, name, id | traits_of(saves, floats), doc,
        scaled ? "(input, other, *, alpha=1, out=None)" : "(input, other, *, out=None)",
        std::move(backward));
  });
  m.def("make_unary", [](const std::string& name, py::object backward, const std::string& saves,
                         bool floats, const std::string& doc) {
    return made<unary>("fastnn.ops.pointwise", name, kernel_named(name) | traits_of(saves, floats),
                       doc, "(input, *, out=None)", std::move(backward));
  });
  m.def("make_activation", [](const std::string& name, const std::string& saves,
                              py::object derivative) {
    const int back = kernel_named(name + "_backward");
    py::object backward = made<activation_gradient>("fastnn.ops.activation", name + "_backward",
                                                    back, "", nullptr, std::move(derivative));
    return made<activation>("fastnn.ops.activation", name,
                            kernel_named(name) | traits_of(saves, false), "", "(input, p0, p1)",
                            std::move(backward));
  });
  m.def("make_in_place", [](const std::string& kernel, py::object otherwise) {
    return made<in_place>("fastnn.ops.arithmetic", kernel + "_", kernel_named(kernel),
                          "The in-place form of " + kernel + "().", "(self, other, **kwargs)",
                          std::move(otherwise));
  });
}

}  // namespace fastnn
