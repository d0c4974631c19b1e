// Whether views share memory.
#pragma once

#include "fastnn/tensor_view.h"

namespace fastnn {

struct MemoryRange {
  const char *low, *high;  // equal when there are no elements
};

inline MemoryRange memory_of(const TensorView& v) {
  int64_t low = 0, high = 0;
  for (int d = 0; d < v.ndim; ++d) {
    if (v.shape[d] == 0) return {nullptr, nullptr};
    const int64_t span = (v.shape[d] - 1) * v.stride[d];
    (span < 0 ? low : high) += span;
  }
  const auto size = static_cast<int64_t>(size_of(v.dtype));
  const char* p = static_cast<const char*>(v.data);
  return {p + low * size, p + (high + 1) * size};
}

// The same elements in the same places.
inline bool same_window(const TensorView& a, const TensorView& b) {
  if (a.data != b.data || a.ndim != b.ndim || a.dtype != b.dtype) return false;
  for (int d = 0; d < a.ndim; ++d)
    if (a.shape[d] != b.shape[d] || (a.stride[d] != b.stride[d] && a.shape[d] > 1)) return false;
  return true;
}

// Writing `out` element by element would change elements of `in` that are still to be read.
inline bool clobbers(const TensorView& out, const TensorView& in) {
  const MemoryRange a = memory_of(out), b = memory_of(in);
  return a.low < b.high && b.low < a.high && !same_window(out, in);
}

}  // namespace fastnn
