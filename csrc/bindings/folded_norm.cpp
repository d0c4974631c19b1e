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
bool fits(const FoldedNorm::Operands& operands) {
  const TensorView& w = operands[0].arg.view;
  if ((w.dtype != DType::f32 && w.dtype != DType::f64) || w.numel() == 0) return false;
  return std::all_of(operands + 1, operands + FoldedNorm::kSources, [&](const auto& o) {
    const TensorView& v = o.arg.view;
    return !v || (v.dtype == w.dtype && v.ndim == 1 && v.shape[0] == w.shape[0] && v.contiguous());
  });
}

constexpr Py_ssize_t kOurs = 2;  // references: the tensor's, and the caller's

bool only_ours(const FoldedNorm::Operands& operands) {
  return std::all_of(operands, operands + FoldedNorm::kSources,
                     [](const auto& o) { return !o.tensor || owns_memory(o.arg.keep, kOurs); });
}

}  // namespace

bool FoldedNorm::find(const Operands& operands, double eps, FoldedWeights* found) {
  if (!fits(operands)) return false;
  const bool ours = only_ours(operands);
  Source now[kSources];
  bool same = ours && kept_.weight.array && eps_ == eps;
  for (int i = 0; ours && i < kSources; ++i) {
    if (operands[i].tensor)
      now[i] = {py::weakref(operands[i].arg.keep), MemoryState(operands[i].tensor)};
    same = same && now[i].array.is(sources_[i].array) && now[i].state == sources_[i].state;
  }
  if (same) {
    *found = kept_;
    return true;
  }
  clear();
  const TensorView& w = operands[0].arg.view;
  *found = {new_array_like(w, w.dtype), new_array(w.dtype, {w.shape[0]})};
  if (!by_channel(w, found->weight)) return false;
  // With the GIL: another thread would take our references for somebody who writes.
  launch(batch_norm_fold, BatchNormFoldParams{eps},
         {rows(w), operands[1].arg, operands[2].arg, operands[3].arg, operands[4].arg,
          operands[5].arg, rows(found->weight), found->bias});
  if (!ours) return true;
  std::move(now, now + kSources, sources_);
  eps_ = eps;
  kept_ = *found;
  return true;
}

int64_t FoldedNorm::bytes() const {
  if (!kept_.weight.array) return 0;
  const TensorView &w = kept_.weight, &b = kept_.bias;
  return (w.numel() + b.numel()) * static_cast<int64_t>(size_of(w.dtype)) + prepared.bytes();
}

bool ConvStep::fold(const Layer& norm) {
  PyObject* cache = norm.get(FASTNN_NAME("_folded"));
  NormStep n;
  if (!cache || !py::isinstance<FoldedNorm>(cache) || !n.read(norm)) return false;
  auto* folded = py::handle(cache).cast<FoldedNorm*>();
  FoldedWeights found;
  if (!folded->find({{w.weight, w.tensor},
                     {w.bias, w.bias_tensor},
                     {n.affine.weight, n.affine.tensor},
                     {n.affine.bias, n.affine.bias_tensor},
                     {n.mean, n.mean_tensor},
                     {n.var, n.var_tensor}},
                    n.eps, &found))
    return false;
  if (folded->keeps(found)) {
    prepared = &folded->prepared;
    keep_prepared = py::reinterpret_borrow<py::object>(cache);
  } else {  // laid out for this call, too, so that the same kernels run
    for_this_call = true;
    keep_prepared = py::cast(PreparedWeights());
    prepared = keep_prepared.cast<PreparedWeights*>();
  }
  w = Weights{{found.weight.view, found.weight.array}, {found.bias.view, found.bias.array}, {}, {}};
  return true;
}

}  // namespace fastnn
