// Layers that run without Python between them: what the files sequence*.cpp share.
#pragma once

#include <vector>

#include "bindings/layers.h"
#include "bindings/node.h"

namespace fastnn {

// What one layer hands to the next.
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
  bool load();
  const py::object& as_tensor_object();
  void call(py::handle module);
  void take(PyObject* result);  // of a module's call; null: it raised
};

#define FASTNN_NAME(text)                                           \
  ([]() -> PyObject* {                                              \
    static PyObject* const name = PyUnicode_InternFromString(text); \
    return name;                                                    \
  }())

// The fields of a module that does just what its class says.
struct Layer {
  py::object fields;  // the module's __dict__
  int dims = 0;

  PyObject* get(PyObject* name) const { return PyDict_GetItemWithError(fields.ptr(), name); }
  PyObject* child(PyObject* name) const {
    PyObject* children = get(FASTNN_NAME("_modules"));
    return children && PyDict_Check(children) ? PyDict_GetItemWithError(children, name) : nullptr;
  }
  bool is_false(PyObject* name) const { return get(name) == Py_False; }
};

// A tensor (or None) out of a dict of a layer's, if no gradient is wanted for it.
bool read_tensor(PyObject* all, PyObject* name, Arg& out, py::object* tensor = nullptr);

// Weight and bias of a layer.
struct Weights {
  Arg weight, bias;
  py::object tensor, bias_tensor;  // null: an array that nobody writes to, or no bias

  bool read(const Layer& layer);
};

// A batch norm in evaluation mode and with running statistics, as its layer says.
struct NormStep {
  Weights affine;
  Arg mean, var;
  py::object mean_tensor, var_tensor;
  double eps = 0;

  bool read(const Layer& layer);
};

// A convolution, as its layer says.
struct ConvStep {
  ConvParams p;
  Weights w;
  PreparedWeights* prepared = nullptr;
  py::object keep_prepared;

  bool read(const Layer& layer, Activation activation);
  bool for_this_call = false;  // weights with a batch norm folded in that nobody keeps

  // Takes over the work of the batch norm behind it. False: that has to run by itself.
  bool fold(const Layer& norm);
  py::handle weight() const { return w.tensor; }
};
// False: its layer's own forward() has to run.
bool run_conv_step(const ConvStep& step, Value& v);

// Each runs a layer, and an activation behind it where it takes one along. False: the layer's own
// forward() has to, and v is as before.
bool run_conv(const Layer& layer, Value& v, Activation activation);
bool run_linear(const Layer& layer, Value& v, Activation activation);
bool run_max_pool(const Layer& layer, Value& v, Activation);
bool run_adaptive_avg_pool(const Layer& layer, Value& v, Activation);
bool run_flatten(const Layer& layer, Value& v, Activation);
bool run_batch_norm(const Layer& layer, Value& v, Activation activation);
bool run_rectifier(const Layer& layer, Value& v, Activation activation);
bool run_nothing(const Layer& layer, Value& v, Activation);
bool run_dropout(const Layer& layer, Value& v, Activation);

// Convolutions one after the other whose intermediate images would not stay in the cache: a band of
// rows goes through all of them before the next. False: that does not pay, and v is as before.
bool run_conv_chain(const std::vector<ConvStep>& steps, Value& v);
// A convolution of one tap and the depthwise one behind it, some channels at a time. False:
// likewise.
bool run_conv_pair(const ConvStep& wide, const ConvStep& deep, Value& v);

}  // namespace fastnn
