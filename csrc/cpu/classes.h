// What losses over class indices share.
#pragma once

#include "cpu/strided.h"
#include "fastnn/ops/reduction.h"

namespace fastnn {

// x is [N, C, D]; target must be contiguous int64 with one index for each [N, D].
inline void check_class_target(const char* op, const TensorView& x, const TensorView& target) {
  const int64_t positions = x.shape[0] * x.shape[2];
  if (target.dtype != DType::i64 || target.numel() != positions || !target.contiguous())
    fail(ErrorKind::shape, op, ": target must be contiguous int64 with one class for each of ",
         positions, " positions, got ", name_of(target.dtype), " of shape ", target.shape_text());
}

// Every index must be in [0, C), or ignore_index.
inline void check_class_indices(const char* op, const TensorView& x, const TensorView& target,
                                int64_t ignore_index) {
  const int64_t positions = x.shape[0] * x.shape[2], classes = x.shape[1];
  const auto* y = target.ptr<const int64_t>();
  for (int64_t i = 0; i < positions; ++i)
    if ((y[i] < 0 || y[i] >= classes) && y[i] != ignore_index)
      fail(ErrorKind::index, op, ": target ", y[i], " (at flat index ", i,
           ") is out of bounds for ", classes, " classes; expected 0 to ", classes - 1,
           ", or ignore_index = ", ignore_index);
}

inline DType wide_type(DType t) { return t == DType::f64 ? DType::f64 : DType::f32; }

inline void check_class_weight(const char* op, const TensorView& x, const TensorView& weight) {
  const DType wide = wide_type(x.dtype);
  if (weight && (weight.numel() != x.shape[1] || weight.dtype != wide || !weight.contiguous()))
    fail(ErrorKind::shape, op, ": weight must have one ", name_of(wide), " for each of ",
         x.shape[1], " classes, got ", name_of(weight.dtype), " of shape ", weight.shape_text());
}

// One element of a floating-point view, `offset` elements from its start.
template <class T>
T read_element(const TensorView& v, int64_t offset) {
  TensorView one;
  one.data = static_cast<char*>(v.data) + offset * static_cast<int64_t>(size_of(v.dtype));
  one.dtype = v.dtype;
  T value;
  gather_block(one, 0, 1, &value);
  return value;
}
template <class T>
void write_element(const TensorView& v, int64_t offset, T value) {
  TensorView one;
  one.data = static_cast<char*>(v.data) + offset * static_cast<int64_t>(size_of(v.dtype));
  one.dtype = v.dtype;
  scatter_block(one, 0, 1, &value);
}

}  // namespace fastnn
