// Arrays whose axis 1 holds classes, seen as [N, C, D]: what cross-entropy and its kin take.
#pragma once

#include "bindings/arrays.h"

namespace fastnn {

// The axes from 2 on merge into one without a copy.
inline bool inner_axes_merge(const TensorView& v) {
  int64_t expected = -1;
  for (int d = v.ndim - 1; d >= 2; --d) {
    if (v.shape[d] == 1) continue;
    if (expected >= 0 && v.stride[d] != expected) return false;
    expected = v.stride[d] * v.shape[d];
  }
  return true;
}

// (C,) is [1, C, 1], (N, C) is [N, C, 1], (N, C, d1, ...) is [N, C, d1 ...].
inline TensorView merge_inner_axes(const TensorView& v) {
  TensorView out = v;
  out.ndim = 3;
  const bool batched = v.ndim > 1;
  out.shape[0] = batched ? v.shape[0] : 1;
  out.stride[0] = batched ? v.stride[0] : 0;
  out.shape[1] = v.shape[batched];
  out.stride[1] = v.stride[batched];
  out.shape[2] = out.stride[2] = 1;
  for (int d = v.ndim - 1; d >= 2; --d) {
    if (out.shape[2] == 1) out.stride[2] = v.stride[d];
    out.shape[2] *= v.shape[d];
  }
  return out;
}

// The array as [N, C, D]; `keep` holds a row-major copy when the axes do not merge. `full` gets the
// unmerged view.
inline Arg classes_arg(py::handle array, TensorView* full, const char* op, const char* name) {
  Arg arg = input_arg(array, op, name);
  if (arg.view.ndim < 1)
    fail(ErrorKind::shape, op, ": ", name, " must have at least one dimension (classes)");
  if (!inner_axes_merge(arg.view)) arg = input_arg(row_major(array), op, name);
  if (full) *full = arg.view;
  arg.view = merge_inner_axes(arg.view);
  return arg;
}

// A contiguous int64 array of class indices (other integers are widened) of the shape of `x`
// without its class axis.
inline Arg class_indices_arg(py::handle array, const TensorView& x, const char* op,
                             const char* name) {
  Arg arg = input_arg(array, op, name);
  if (is_float(arg.view.dtype) || arg.view.dtype == DType::b8)
    fail(ErrorKind::dtype, op, ": ", name, " must hold integer class indices, got ",
         name_of(arg.view.dtype));
  bool fits = arg.view.ndim == x.ndim - 1;
  for (int d = 0, e = 0; fits && d < x.ndim; ++d)
    if (d != (x.ndim > 1)) fits = arg.view.shape[e++] == x.shape[d];
  if (!fits)
    fail(ErrorKind::shape, op, ": ", name, " has shape ", arg.view.shape_text(), ", but the input ",
         x.shape_text(),
         " needs one class index for each position: the input's shape without its axis ",
         x.ndim > 1 ? 1 : 0);
  if (arg.view.dtype == DType::i64 && arg.view.contiguous()) return arg;
  return input_arg(row_major(arg.keep.attr("astype")("int64")), op, name);
}

// A new array of the shape of x without its class axis: losses that are not reduced.
inline NewArray positions_array(const TensorView& x, DType dtype) {
  int64_t shape[kMaxDims];
  int n = 0;
  for (int d = 0; d < x.ndim; ++d)
    if (d != (x.ndim > 1)) shape[n++] = x.shape[d];
  return new_array(dtype, shape, n);
}

}  // namespace fastnn
