// Layers that run one after the other without Python between them, where no gradient is wanted and
// nobody listens: for small networks Python's part of a call is longer than the kernel's. A layer's
// attributes are read at every call, so what is changed in them counts. Whatever is not plain
// (hooks, gradients, other types, errors) is left to the layer's own forward().
#include <vector>

#include "bindings/activation.h"
#include "bindings/fast_function.h"
#include "bindings/gemm.h"
#include "bindings/layers.h"
#include "bindings/node.h"
#include "bindings/operands.h"

namespace fastnn {

namespace {

// ---- What a layer gets and gives
// -----------------------------------------------------------------

struct Value {
  TensorView view;
  py::object array;   // holds the view's memory; null until somebody asks for the view
  py::object tensor;  // null: an array that Python has not seen

  explicit Value(py::handle input) : tensor(py::reinterpret_borrow<py::object>(input)) {}

  void set(NewArray made) {
    view = made.view;
    array = std::move(made.array);
    tensor = {};
  }
  // Whether there is a view: a plain tensor on the CPU, without a gradient to come.
  bool load() {
    if (array) return true;
    if (Py_TYPE(tensor.ptr()) != tensor_types.tensor || wants_grad(tensor)) return false;
    PyObject* data = as_tensor(tensor)->data;
    if (!py::detail::npy_api::get().PyArray_Check_(data)) return false;
    Arg arg = input_arg(data, "layer", "input");
    view = arg.view;
    array = std::move(arg.keep);
    return true;
  }
  const py::object& as_tensor_object() {
    if (!tensor) {
      if (py::detail::array_proxy(array.ptr())->nd != view.ndim) {
        py::tuple shape(view.ndim);
        for (int d = 0; d < view.ndim; ++d) shape[d] = view.shape[d];
        array = array.attr("reshape")(shape);
      }
      tensor = wrap_array(array);
    }
    return tensor;
  }
  void call(py::handle module) {
    PyObject* result = PyObject_CallOneArg(module.ptr(), as_tensor_object().ptr());
    if (!result) throw py::error_already_set();
    tensor = py::reinterpret_steal<py::object>(result);
    array = {};
  }
};

// ---- Modules
// -------------------------------------------------------------------------------------

#define FASTNN_NAME(text)                                           \
  ([]() -> PyObject* {                                              \
    static PyObject* const name = PyUnicode_InternFromString(text); \
    return name;                                                    \
  }())

struct Layer {
  py::object fields;  // the module's __dict__
  int dims = 0;

  PyObject* get(PyObject* name) const { return PyDict_GetItemWithError(fields.ptr(), name); }
  PyObject* child(const char* name) const {
    PyObject* children = get(FASTNN_NAME("_modules"));
    return children && PyDict_Check(children) ? PyDict_GetItemString(children, name) : nullptr;
  }
  bool is_false(PyObject* name) const { return get(name) == Py_False; }
};

using Runner = bool (*)(const Layer&, Value&, Activation);

struct Kind {
  PyTypeObject* type;
  PyObject* forward;  // of the class, when it was registered
  Runner run;
  int dims;
  bool activates;         // takes an activation along
  Activation activation;  // is one
};
std::vector<Kind> kinds;
PyObject *module_class = nullptr, *module_call = nullptr;

// Whether `owner` still has the attribute that was registered.
bool unchanged(PyObject* owner, PyObject* name, PyObject* expected) {
  PyObject* now = PyObject_GetAttr(owner, name);
  if (!now) PyErr_Clear();
  Py_XDECREF(now);
  return now == expected;
}

bool is_watched(const Layer& layer) {
  for (PyObject* name : {FASTNN_NAME("_forward_hooks"), FASTNN_NAME("_forward_pre_hooks"),
                         FASTNN_NAME("_backward_hooks"), FASTNN_NAME("_backward_pre_hooks")}) {
    PyObject* hooks = layer.get(name);
    if (!hooks || !PyDict_Check(hooks) || PyDict_GET_SIZE(hooks) > 0) return true;
  }
  return layer.get(FASTNN_NAME("forward")) != nullptr;  // its own, in place of the class's
}

// The kind of a module that does just what its class says, and its fields; or null.
const Kind* plain_kind(PyObject* module, Layer& layer) {
  for (const Kind& kind : kinds) {
    if (kind.type != Py_TYPE(module)) continue;
    layer.fields = py::reinterpret_steal<py::object>(PyObject_GenericGetDict(module, nullptr));
    layer.dims = kind.dims;
    if (!layer.fields) throw py::error_already_set();
    PyObject* type = reinterpret_cast<PyObject*>(kind.type);
    return !is_watched(layer) && unchanged(type, FASTNN_NAME("forward"), kind.forward) ? &kind
                                                                                       : nullptr;
  }
  return nullptr;
}

// ---- Layers
// --------------------------------------------------------------------------------------

struct Weights {
  Arg weight, bias;
  const TensorObject* tensor = nullptr;  // the weight's

  bool read(const Layer& layer) {
    PyObject* all = layer.get(FASTNN_NAME("_parameters"));
    return all && PyDict_Check(all) && one(all, FASTNN_NAME("bias"), bias) &&
           one(all, FASTNN_NAME("weight"), weight) && weight.view;
  }

 private:
  bool one(PyObject* all, PyObject* name, Arg& out) {
    PyObject* tensor_object = PyDict_GetItemWithError(all, name);
    if (!tensor_object || tensor_object == Py_None) return tensor_object != nullptr;
    if (!is_tensor(tensor_object) || wants_grad(tensor_object)) return false;
    PyObject* data = as_tensor(tensor_object)->data;
    if (!py::detail::npy_api::get().PyArray_Check_(data)) return false;
    out = input_arg(data, "layer", "weight");
    tensor = as_tensor(tensor_object);
    return true;
  }
};

bool read_ints(PyObject* tuple, int64_t* out, int n) {
  if (!tuple || !PyTuple_Check(tuple) || PyTuple_GET_SIZE(tuple) != n) return false;
  for (int i = 0; i < n; ++i) {
    PyObject* item = PyTuple_GET_ITEM(tuple, i);
    if (!PyLong_CheckExact(item)) return false;
    out[i] = PyLong_AsLongLong(item);
    if (out[i] == -1 && PyErr_Occurred()) {
      PyErr_Clear();
      return false;
    }
  }
  return true;
}

bool run_conv(const Layer& layer, Value& v, Activation activation) {
  PyObject *mode = layer.get(FASTNN_NAME("padding_mode")),
           *groups = layer.get(FASTNN_NAME("groups"));
  ConvParams p;
  p.dims = layer.dims;
  p.activation = activation;
  if (!mode || !PyUnicode_Check(mode) || PyUnicode_CompareWithASCIIString(mode, "zeros") != 0 ||
      !groups || !PyLong_CheckExact(groups) ||
      !read_ints(layer.get(FASTNN_NAME("stride")), p.stride, p.dims) ||
      !read_ints(layer.get(FASTNN_NAME("padding")), p.padding, p.dims) ||
      !read_ints(layer.get(FASTNN_NAME("dilation")), p.dilation, p.dims))
    return false;
  int_or_list(groups, &p.groups, 1, "conv", "groups");
  Weights w;
  if (!w.read(layer) || w.weight.view.ndim != p.dims + 2 ||
      (v.view.ndim != p.dims + 1 && v.view.ndim != p.dims + 2))
    return false;
  PyObject* cache = layer.get(FASTNN_NAME("_prepared"));
  PreparedWeights* prepared =
      cache && py::isinstance<PreparedWeights>(cache) ? py::cast<PreparedWeights*>(cache) : nullptr;
  v.set(conv_new(p, v.view, w.weight, w.bias, prepared, w.tensor));
  return true;
}

bool run_linear(const Layer& layer, Value& v, Activation activation) {
  Weights w;
  if (v.view.ndim != 2 || !w.read(layer) || w.weight.view.ndim != 2 ||
      v.view.shape[1] != w.weight.view.shape[1] || v.view.dtype != w.weight.view.dtype ||
      !is_float(v.view.dtype))
    return false;
  const int64_t out = w.weight.view.shape[0];
  if (w.bias.view &&
      (w.bias.view.ndim != 1 || w.bias.view.shape[0] != out || w.bias.view.dtype != v.view.dtype))
    return false;
  NewArray y = new_array(v.view.dtype, {v.view.shape[0], out});
  gemm_linear(v.view, w.weight, w.bias, y, activation);
  v.set(std::move(y));
  return true;
}

bool run_max_pool(const Layer& layer, Value& v, Activation) {
  const WindowArgs window{layer.get(FASTNN_NAME("kernel_size")), layer.get(FASTNN_NAME("stride")),
                          layer.get(FASTNN_NAME("padding")), layer.get(FASTNN_NAME("dilation")),
                          false};
  if (!window.kernel || !window.stride || !window.padding || !window.dilation ||
      !is_float(v.view.dtype) || !layer.is_false(FASTNN_NAME("return_indices")) ||
      !layer.is_false(FASTNN_NAME("ceil_mode")))
    return false;
  v.set(max_pool_new(v.view, layer.dims, window));
  return true;
}

bool run_adaptive_avg_pool(const Layer& layer, Value& v, Activation) {
  PyObject* size = layer.get(FASTNN_NAME("output_size"));
  if (!size || !is_float(v.view.dtype)) return false;
  v.set(adaptive_avg_pool_new(v.view, layer.dims, size));
  return true;
}

// Of an array that nobody else has: a tensor that Python has seen would share its memory.
bool run_flatten(const Layer& layer, Value& v, Activation) {
  int64_t first = 0, last = 0;
  PyObject *start = layer.get(FASTNN_NAME("start_dim")), *end = layer.get(FASTNN_NAME("end_dim"));
  if (v.tensor || !start || !end || v.view.ndim < 2 || !v.view.contiguous()) return false;
  int_or_list(start, &first, 1, "flatten", "start_dim");
  int_or_list(end, &last, 1, "flatten", "end_dim");
  if (first != 1 || last != -1) return false;
  for (int d = 2; d < v.view.ndim; ++d) v.view.shape[1] *= v.view.shape[d];
  v.view.ndim = 2;
  v.view.stride[0] = v.view.shape[1];
  v.view.stride[1] = 1;
  return true;
}

// In place: of an array that nobody else has.
bool run_rectifier(const Layer& layer, Value& v, Activation activation) {
  const DType dtype = v.view.dtype;
  if (!is_float(dtype) || (v.tensor && !layer.is_false(FASTNN_NAME("inplace")))) return false;
  const MapOp op = activation == Activation::relu ? MapOp::relu : MapOp::relu6;
  const ElementwiseParams p{op, compute_type(dtype), {}};
  if (!v.tensor) {
    run_op(elementwise, p, {v.view, v.view});
    return true;
  }
  NewArray y = new_array_like(v.view, dtype);
  run_op(elementwise, p, {y, v.view});
  v.set(std::move(y));
  return true;
}

bool run_nothing(const Layer&, Value&, Activation) { return true; }

bool run_dropout(const Layer& layer, Value& v, Activation) {
  return layer.is_false(FASTNN_NAME("training")) && is_float(v.view.dtype);
}

bool run_activated(const Layer& layer, Value& v, Activation) {
  PyObject *inner = layer.child("layer"), *activation = layer.child("activation"),
           *name = layer.get(FASTNN_NAME("_name"));
  Layer inner_layer, activation_layer;
  if (!inner || !activation || !name) return false;
  const Kind* kind = plain_kind(inner, inner_layer);
  activation_layer.fields =
      py::reinterpret_steal<py::object>(PyObject_GenericGetDict(activation, nullptr));
  if (!activation_layer.fields) throw py::error_already_set();
  if (!kind || !kind->activates || is_watched(activation_layer)) return false;
  return kind->run(inner_layer, v, activation_arg(name, "layer"));
}

// ---- Sequences
// -----------------------------------------------------------------------------------

void run_all(py::handle modules, Value& v);

bool run_sequence(const Layer& layer, Value& v, Activation) {
  PyObject* modules = layer.get(FASTNN_NAME("_modules"));
  if (!modules || !PyDict_Check(modules)) return false;
  if (Py_EnterRecursiveCall(" in Sequential")) throw py::error_already_set();
  const struct Leave {
    ~Leave() { Py_LeaveRecursiveCall(); }
  } leave;
  run_all(modules, v);
  return true;
}

// Runs module i, perhaps with the activation behind it, and returns how many it ran. 0: v is as
// before, and the module's own forward() has to run (it also knows what to say of arguments that
// are wrong).
int run_plainly(PyObject* list, Py_ssize_t i, Value& v) {
  Layer layer, next_layer;
  const Kind* kind = plain_kind(PyList_GET_ITEM(list, i), layer);
  if (!kind) return 0;
  if (kind->run == run_sequence) return run_sequence(layer, v, Activation::none);
  Activation activation = kind->activation;
  int count = 1;
  if (kind->activates && i + 1 < PyList_GET_SIZE(list)) {
    const Kind* next = plain_kind(PyList_GET_ITEM(list, i + 1), next_layer);
    if (next && next->activation != Activation::none) activation = next->activation, count = 2;
  }
  try {
    return v.load() && kind->run(layer, v, activation) ? count : 0;
  } catch (const Error&) {
    return 0;
  }
}

void run_all(py::handle modules, Value& v) {
  const auto list = py::reinterpret_steal<py::object>(PyDict_Values(modules.ptr()));
  if (!list) throw py::error_already_set();
  const bool plain = unchanged(module_class, FASTNN_NAME("__call__"), module_call);
  for (Py_ssize_t i = 0; i < PyList_GET_SIZE(list.ptr());) {
    const int count = plain ? run_plainly(list.ptr(), i, v) : 0;
    if (count == 0) v.call(PyList_GET_ITEM(list.ptr(), i));
    i += count ? count : 1;
  }
}

py::object run_layers(int, const CallArgs& call) {
  static constexpr const char* kNames[] = {"modules", "input"};
  py::handle args[2];
  call.unpack(kNames, 2, 2, args);
  if (!PyDict_Check(args[0].ptr())) throw py::type_error("run_layers(): modules must be a dict");
  Value v(args[1]);
  run_all(args[0], v);
  return v.as_tensor_object();
}

struct Known {
  const char* name;
  Runner run;
  bool activates = false;
  Activation activation = Activation::none;
};
constexpr Known kKnown[] = {{"conv", run_conv, true},
                            {"linear", run_linear, true},
                            {"activated", run_activated},
                            {"max_pool", run_max_pool},
                            {"adaptive_avg_pool", run_adaptive_avg_pool},
                            {"flatten", run_flatten},
                            {"identity", run_nothing},
                            {"dropout", run_dropout},
                            {"relu", run_rectifier, false, Activation::relu},
                            {"relu6", run_rectifier, false, Activation::relu6},
                            {"sequence", run_sequence}};

void register_layer(py::type type, const std::string& name, int dims) {
  for (const Known& known : kKnown)
    if (name == known.name) {
      PyObject* forward = py::object(type.attr("forward")).release().ptr();
      kinds.push_back({reinterpret_cast<PyTypeObject*>(type.release().ptr()), forward, known.run,
                       dims, known.activates, known.activation});
      return;
    }
  throw py::value_error("register_layer: no layer is called " + name);
}

void set_module_class(py::type type) {
  module_call = py::object(type.attr("__call__")).release().ptr();
  module_class = type.release().ptr();
}

}  // namespace

void bind_sequence(py::module_& m) {
  def_fast<run_layers>(m, "run_layers", 0,
                       "The modules of a dict, one after the other, on a tensor.",
                       "(modules, input)");
  m.def("register_layer", &register_layer, py::arg("type"), py::arg("name"), py::arg("dims") = 0);
  m.def("set_module_class", &set_module_class);
}

}  // namespace fastnn
