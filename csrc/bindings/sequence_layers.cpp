// The layers of a sequence that are no convolutions.
#include "bindings/activation.h"
#include "bindings/classes.h"
#include "bindings/gemm.h"
#include "bindings/operands.h"
#include "bindings/sequence.h"
#include "fastnn/ops/norm.h"

namespace fastnn {

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

bool NormStep::read(const Layer& layer) {
  PyObject *parameters = layer.get(FASTNN_NAME("_parameters")),
           *buffers = layer.get(FASTNN_NAME("_buffers")), *epsilon = layer.get(FASTNN_NAME("eps"));
  if (!parameters || !buffers || !PyDict_Check(parameters) || !PyDict_Check(buffers) || !epsilon ||
      !PyFloat_Check(epsilon) || !layer.is_false(FASTNN_NAME("training")))
    return false;
  eps = PyFloat_AS_DOUBLE(epsilon);
  return read_tensor(parameters, FASTNN_NAME("weight"), affine.weight, &affine.tensor) &&
         read_tensor(parameters, FASTNN_NAME("bias"), affine.bias, &affine.bias_tensor) &&
         read_tensor(buffers, FASTNN_NAME("running_mean"), mean, &mean_tensor) &&
         read_tensor(buffers, FASTNN_NAME("running_var"), var, &var_tensor) && mean.view &&
         var.view;
}

// In evaluation mode, and in place of an array that nobody else has.
bool run_batch_norm(const Layer& layer, Value& v, Activation activation) {
  const DType dtype = v.view.dtype;
  NormStep n;
  if (!v.view.contiguous() || v.view.ndim != layer.dims + 2 ||
      (dtype != DType::f32 && dtype != DType::f64) || !n.read(layer))
    return false;
  for (const Arg* a : {&n.affine.weight, &n.affine.bias, &n.mean, &n.var})
    if (a->view && (a->view.dtype != dtype || !a->view.contiguous())) return false;
  const NewArray saved_mean = new_array(dtype, {v.view.shape[1]}),
                 rstd = new_array(dtype, {v.view.shape[1]});
  NewArray y{v.view, v.array};
  if (v.tensor) y = new_array(dtype, v.view.shape, v.view.ndim);
  run_op(batch_norm_forward, BatchNormParams{false, 0, n.eps, activation},
         {merge_inner_axes(v.view), n.affine.weight, n.affine.bias, n.mean, n.var,
          merge_inner_axes(y.view), saved_mean, rstd});
  v.set(std::move(y));
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

}  // namespace fastnn
