// Layers that run one after the other without Python between them, where no gradient is wanted and
// nobody listens: for small networks Python's part of a call is longer than the kernel's. A layer's
// attributes are read at every call, so what is changed in them counts. Whatever is not plain
// (hooks, gradients, other types, errors) is left to the layer's own forward(); with gradients,
// normalize() and pool_first() still choose how two neighbours run.
#include "bindings/sequence.h"

#include <vector>

#include "bindings/activation.h"
#include "bindings/classes.h"
#include "bindings/fast_function.h"
#include "bindings/folded_norm.h"

namespace fastnn {

bool Value::load() {
  if (array) return true;
  if (Py_TYPE(tensor.ptr()) != tensor_types.tensor || wants_grad(tensor)) return false;
  PyObject* data = as_tensor(tensor)->data;
  if (!py::detail::npy_api::get().PyArray_Check_(data)) return false;
  Arg arg = input_arg(data, "layer", "input");
  view = arg.view;
  array = std::move(arg.keep);
  return true;
}

const py::object& Value::as_tensor_object() {
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

void Value::call(py::handle module) {
  take(PyObject_CallOneArg(module.ptr(), as_tensor_object().ptr()));
}

void Value::take(PyObject* result) {
  if (!result) throw py::error_already_set();
  tensor = py::reinterpret_steal<py::object>(result);
  array = {};
}

namespace {

// ---- Modules
// -------------------------------------------------------------------------------------

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
  PyObject* hooks = layer.get(FASTNN_NAME("_call_hooks"));
  if (hooks && hooks != Py_None) {
    const int any = PyObject_IsTrue(hooks);
    if (any < 0) throw py::error_already_set();
    if (any) return true;
  }
  return layer.get(FASTNN_NAME("forward")) != nullptr;  // its own, in place of the class's
}

const Kind* kind_of(PyObject* module) {
  for (const Kind& kind : kinds)
    if (kind.type == Py_TYPE(module)) return &kind;
  return nullptr;
}

// The kind of a module that does just what its class says, and its fields; or null.
const Kind* plain_kind(PyObject* module, Layer& layer) {
  const Kind* kind = kind_of(module);
  if (!kind) return nullptr;
  layer.fields = py::reinterpret_steal<py::object>(PyObject_GenericGetDict(module, nullptr));
  layer.dims = kind->dims;
  if (!layer.fields) throw py::error_already_set();
  PyObject* type = reinterpret_cast<PyObject*>(kind->type);
  return !is_watched(layer) && unchanged(type, FASTNN_NAME("forward"), kind->forward) ? kind
                                                                                      : nullptr;
}

// The layer in an Activated, as far as it can be run together with its activation.
const Kind* activated_kind(const Layer& layer, Layer& inner_layer, Activation* activation) {
  PyObject *inner = layer.child(FASTNN_NAME("layer")),
           *after = layer.child(FASTNN_NAME("activation")), *name = layer.get(FASTNN_NAME("_name"));
  if (!inner || !after || !name) return nullptr;
  const Kind* kind = plain_kind(inner, inner_layer);
  Layer after_layer;
  after_layer.fields = py::reinterpret_steal<py::object>(PyObject_GenericGetDict(after, nullptr));
  if (!after_layer.fields) throw py::error_already_set();
  if (!kind || !kind->activates || is_watched(after_layer)) return nullptr;
  *activation = activation_arg(name, "layer");
  return kind;
}

bool run_activated(const Layer& layer, Value& v, Activation) {
  Layer inner;
  Activation activation = Activation::none;
  const Kind* kind = activated_kind(layer, inner, &activation);
  return kind && kind->run(inner, v, activation);
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

constexpr int64_t kLeastChained = 4 << 10;  // values of an image

class Sequence {
 public:
  Sequence(py::handle modules, Value& v)
      : v_(v), list_(py::reinterpret_steal<py::object>(PyDict_Values(modules.ptr()))) {
    if (!list_) throw py::error_already_set();
    size_ = PyList_GET_SIZE(list_.ptr());
  }

  void run() {
    const bool plain = unchanged(module_class, FASTNN_NAME("__call__"), module_call);
    for (Py_ssize_t i = 0; i < size_;) {
      const Py_ssize_t count = plain ? run_plainly(i) : 0;
      if (count == 0) v_.call(module(i));
      i += count ? count : 1;
    }
  }

 private:
  PyObject* module(Py_ssize_t i) const { return PyList_GET_ITEM(list_.ptr(), i); }

  // Runs module i, perhaps with what follows it, and returns how many it ran. 0: v is as before,
  // and the module's own forward() has to run (it also knows what to say of arguments that are
  // wrong).
  Py_ssize_t run_plainly(Py_ssize_t i) {
    Layer layer;
    const Kind* kind = plain_kind(module(i), layer);
    if (!kind) return 0;
    if (kind->run == run_sequence) return run_sequence(layer, v_, Activation::none);
    if (kind->run == run_batch_norm)
      if (const Py_ssize_t count = normalize(layer, i)) return count;
    if (kind->run == run_rectifier && pool_first(layer, i)) return 2;
    try {
      if (!v_.load()) return 0;
      if (kind->run == run_conv || kind->run == run_activated)
        if (const Py_ssize_t count = run_chain(i)) return count;
      if (kind->run == run_conv) return run_one_conv(layer, i);
      const Activation behind = kind->activates ? activation_of(i + 1) : Activation::none;
      if (behind == Activation::none) return kind->run(layer, v_, kind->activation) ? 1 : 0;
      return kind->run(layer, v_, behind) ? 2 : 0;
    } catch (const Error&) {
      return 0;
    }
  }

  // What module i is, if it is a plain ReLU or ReLU6.
  Activation activation_of(Py_ssize_t i) const {
    Layer layer;
    const Kind* kind = i < size_ ? plain_kind(module(i), layer) : nullptr;
    return kind ? kind->activation : Activation::none;
  }

  // In training a batch norm takes the ReLU behind it along, also where gradients are wanted: two
  // passes over memory less.
  Py_ssize_t normalize(const Layer& layer, Py_ssize_t i) {
    const Activation behind = activation_of(i + 1);
    if (behind == Activation::none || layer.get(FASTNN_NAME("training")) != Py_True) return 0;
    PyObject* name = behind == Activation::relu ? FASTNN_NAME("relu") : FASTNN_NAME("relu6");
    v_.take(PyObject_CallMethodObjArgs(module(i), FASTNN_NAME("_normalized"),
                                       v_.as_tensor_object().ptr(), name, nullptr));
    return 2;
  }

  // Where gradients are wanted, a max pool behind rectifier i runs before it: the largest value is
  // the same, and so are the gradients (of a window without a positive value there are none), but
  // the rectifier passes over the windows' results only, forward and backward.
  bool pool_first(const Layer& rectifier, Py_ssize_t i) {
    if (v_.array || Py_TYPE(v_.tensor.ptr()) != tensor_types.tensor || !wants_grad(v_.tensor))
      return false;
    if (!rectifier.is_false(FASTNN_NAME("inplace")) && !is_new(i)) return false;
    Layer pool;
    const Kind* behind = i + 1 < size_ ? plain_kind(module(i + 1), pool) : nullptr;
    if (!behind || behind->run != run_max_pool || !pool.is_false(FASTNN_NAME("return_indices")))
      return false;
    v_.call(module(i + 1));
    v_.call(module(i));
    return true;
  }

  // Whether nobody else sees what module i gets: the one before it has computed it.
  bool is_new(Py_ssize_t i) const {
    Layer before;
    const Kind* kind = i > 0 ? plain_kind(module(i - 1), before) : nullptr;
    return kind && kind->activates;
  }

  // Reads convolution i, and folds a batch norm behind it into it. How many modules that are; 0:
  // none.
  Py_ssize_t read_conv(const Layer& layer, Py_ssize_t i, ConvStep& step) {
    for (Read& read : read_)
      if (read.place.at == i) {
        read.place.at = -1;
        step = std::move(read.step);
        step.p.activation = Activation::none;
        return read.place.count;
      }
    if (!step.read(layer, Activation::none)) return 0;
    const Kind* behind = i + 1 < size_ ? kind_of(module(i + 1)) : nullptr;
    if (!behind || behind->run != run_batch_norm || behind->dims != layer.dims ||
        v_.view.ndim != layer.dims + 2)
      return 1;
    Layer norm;
    return plain_kind(module(i + 1), norm) && step.fold(norm) ? 2 : 1;
  }

  Py_ssize_t run_one_conv(const Layer& layer, Py_ssize_t i) {
    ConvStep step;
    const Py_ssize_t count = read_conv(layer, i, step);
    if (count == 0) return 0;
    step.p.activation = activation_of(i + count);
    if (!run_conv_step(step, v_)) return 0;
    return step.p.activation == Activation::none ? count : count + 1;
  }

  // Adds module i if it is a convolution, or an activation of the last one, and returns how many
  // modules that are. 0: it is neither, and does something.
  Py_ssize_t add_step(Py_ssize_t i, std::vector<ConvStep>& steps) {
    Layer layer, inner;
    const Kind* kind = plain_kind(module(i), layer);
    if (!kind) return 0;
    if (kind->run == run_nothing) return 1;
    if (kind->activation != Activation::none) {
      if (steps.empty() || steps.back().p.activation != Activation::none) return 0;
      steps.back().p.activation = kind->activation;
      return 1;
    }
    ConvStep step;
    Py_ssize_t count = 0;
    if (kind->run == run_conv) {
      count = read_conv(layer, i, step);
    } else if (kind->run == run_activated) {
      Activation activation = Activation::none;
      kind = activated_kind(layer, inner, &activation);
      count = kind && kind->run == run_conv && step.read(inner, activation);
    }
    if (count) steps.push_back(std::move(step));
    return count;
  }

  // Convolutions from the first on that run together: all, or the first two.
  Py_ssize_t run_chain(Py_ssize_t first) {
    if (first < searched_ || v_.view.ndim != 4 || v_.view.numel() < kLeastChained) return 0;
    std::vector<ConvStep> steps;
    std::vector<Place> places;          // of the steps
    Py_ssize_t end = first, third = 0;  // `third`: the first module behind two steps
    while (end < size_) {
      const Py_ssize_t count = add_step(end, steps);
      if (count == 0) break;
      if (steps.size() > places.size()) places.push_back({end, count});
      end += count;
      if (steps.size() <= 2) third = end;
    }
    if (steps.size() > 1 && run_conv_chain(steps, v_)) return end - first;
    const bool pair = steps.size() > 1 && run_conv_pair(steps[0], steps[1], v_);
    for (size_t i = pair ? 2 : 0; i < steps.size(); ++i)
      if (steps[i].for_this_call) read_.push_back({places[i], std::move(steps[i])});
    if (pair) return third - first;
    searched_ = end;
    return 0;
  }

  struct Place {
    Py_ssize_t at, count;  // modules: the first, and how many
  };
  struct Read {
    Place place;
    ConvStep step;
  };

  Value& v_;
  py::object list_;
  Py_ssize_t size_ = 0;
  Py_ssize_t searched_ = 0;  // modules before this one are in no chain
  std::vector<Read> read_;   // what a search has folded for this call, and is yet to run
};

void run_all(py::handle modules, Value& v) { Sequence(modules, v).run(); }

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
                            {"batch_norm", run_batch_norm, true},
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
  py::class_<FoldedNorm>(m, "FoldedNorm")
      .def(py::init<>())
      .def("clear", &FoldedNorm::clear)
      .def_property_readonly("bytes", &FoldedNorm::bytes)
      .def("__reduce__", [](py::object self) {  // a copy folds its own
        return py::make_tuple(py::type::of(self), py::tuple());
      });
}

}  // namespace fastnn
