// See FoldedNorm in folded_norm.h.
#include "bindings/folded_norm.h"

#include <algorithm>

#include "fastnn/ops/norm.h"

namespace fastnn {

namespace {

// Whether both are dense in the same order of axes, and channels follow on each other.
bool by_channel(const TensorView& w, const TensorView& made) {
  for (int d = 0; d < w.ndim; ++d)
    if (w.shape[d] > 1 && w.stride[d] != made.stride[d]) return false;
  return w.shape[0] == 1 || w.stride[0] == w.numel() / w.shape[0];
}

TensorView rows(const TensorView& w) {
  TensorView v = w;
  v.ndim = 2;
  v.shape[1] = v.stride[0] = w.numel() / w.shape[0];
  v.stride[1] = 1;
  return v;
}

// Whether the norm is of the convolution's channels, and of its type.
bool fits(const FoldedNorm::Operand (&operands)[FoldedNorm::kSources]) {
  const TensorView& w = operands[0].arg->view;
  if ((w.dtype != DType::f32 && w.dtype != DType::f64) || w.numel() == 0) return false;
  return std::all_of(operands + 1, operands + FoldedNorm::kSources, [&](const auto& o) {
    const TensorView& v = o.arg->view;
    return !v || (v.dtype == w.dtype && v.ndim == 1 && v.shape[0] == w.shape[0] && v.contiguous());
  });
}

}  // namespace

void FoldedNorm::Source::set(const Operand& o) {
  *this = Source{};
  if (!*o.tensor) return;
  array = py::weakref(o.arg->keep);
  version = version_of(as_tensor(*o.tensor));
  exports = exports_of(as_tensor(*o.tensor));
}

bool FoldedNorm::Source::is(const Operand& o) const {
  if (!*o.tensor || !array) return !*o.tensor && !array;
  const auto now = py::reinterpret_steal<py::object>(PyObject_CallNoArgs(array.ptr()));
  return now.is(o.arg->keep) && version == version_of(as_tensor(*o.tensor)) &&
         exports == exports_of(as_tensor(*o.tensor));
}

bool FoldedNorm::find(const Operand (&operands)[kSources], double eps) {
  bool same = weight_.array && eps_ == eps;
  for (int i = 0; i < kSources; ++i) {
    const Operand& o = operands[i];
    if (*o.tensor && !owns_memory(o.arg->keep, 2)) {  // the tensor's and the caller's
      clear();
      return false;
    }
    same = same && sources_[i].is(o);
  }
  if (same) return true;
  clear();
  if (fits(operands)) make(operands, eps);
  return static_cast<bool>(weight_.array);
}

void FoldedNorm::make(const Operand (&operands)[kSources], double eps) {
  const TensorView& w = operands[0].arg->view;
  const NewArray weight = new_array_like(w, w.dtype), bias = new_array(w.dtype, {w.shape[0]});
  if (!by_channel(w, weight)) return;
  // With the GIL: another thread would take our references for somebody who writes.
  launch(batch_norm_fold, BatchNormFoldParams{eps},
         {rows(w), *operands[1].arg, *operands[2].arg, *operands[3].arg, *operands[4].arg,
          *operands[5].arg, rows(weight), bias});
  for (int i = 0; i < kSources; ++i) sources_[i].set(operands[i]);
  eps_ = eps;
  weight_ = weight;
  bias_ = bias;
}

int64_t FoldedNorm::bytes() const {
  if (!weight_.array) return 0;
  const auto size = static_cast<int64_t>(size_of(weight_.view.dtype));
  return (weight_.view.numel() + bias_.view.numel()) * size + prepared.bytes();
}

bool ConvStep::fold(const Layer& norm) {
  PyObject *parameters = norm.get(FASTNN_NAME("_parameters")),
           *buffers = norm.get(FASTNN_NAME("_buffers")), *eps = norm.get(FASTNN_NAME("eps")),
           *cache = norm.get(FASTNN_NAME("_folded"));
  if (!parameters || !buffers || !PyDict_Check(parameters) || !PyDict_Check(buffers) || !eps ||
      !PyFloat_Check(eps) || !norm.is_false(FASTNN_NAME("training")) || !cache ||
      !py::isinstance<FoldedNorm>(cache))
    return false;
  Weights affine, statistics;
  if (!read_tensor(parameters, FASTNN_NAME("weight"), affine.weight, &affine.tensor) ||
      !read_tensor(parameters, FASTNN_NAME("bias"), affine.bias, &affine.bias_tensor) ||
      !read_tensor(buffers, FASTNN_NAME("running_mean"), statistics.bias,
                   &statistics.bias_tensor) ||
      !read_tensor(buffers, FASTNN_NAME("running_var"), statistics.weight, &statistics.tensor) ||
      !statistics.bias.view || !statistics.weight.view)
    return false;
  auto* folded = py::handle(cache).cast<FoldedNorm*>();
  if (!folded->find({{&w.weight, &w.tensor},
                     {&w.bias, &w.bias_tensor},
                     {&affine.weight, &affine.tensor},
                     {&affine.bias, &affine.bias_tensor},
                     {&statistics.bias, &statistics.bias_tensor},
                     {&statistics.weight, &statistics.tensor}},
                    PyFloat_AS_DOUBLE(eps)))
    return false;
  w = Weights{{folded->weight().view, folded->weight().array},
              {folded->bias().view, folded->bias().array},
              {},
              {}};
  prepared = &folded->prepared;
  keep_prepared = py::reinterpret_borrow<py::object>(cache);
  return true;
}

}  // namespace fastnn
