// A borrowed, strided, typed window on memory: what every op takes. Strides count elements, and may
// be 0 or negative.
#pragma once

#include <string>

#include "fastnn/dtype.h"
#include "fastnn/error.h"

namespace fastnn {

constexpr int kMaxDims = 16;

struct TensorView {
  void* data = nullptr;
  int ndim = 0;
  DType dtype = DType::f32;
  int16_t device = 0;       // 0: the CPU; 1 + n: the CUDA device n
  int64_t shape[kMaxDims];  // the first ndim entries count
  int64_t stride[kMaxDims];

  template <class T>
  T* ptr() const {
    return static_cast<T*>(data);
  }

  int64_t numel() const {
    int64_t n = 1;
    for (int d = 0; d < ndim; ++d) n *= shape[d];
    return n;
  }

  // Row-major without holes; axes of size 1 may have any stride.
  bool contiguous() const {
    int64_t expected = 1;
    for (int d = ndim - 1; d >= 0; --d) {
      if (shape[d] == 0) return true;
      if (shape[d] != 1 && stride[d] != expected) return false;
      expected *= shape[d];
    }
    return true;
  }

  // Absent optional argument (a bias that was not given).
  explicit operator bool() const { return data != nullptr; }

  std::string shape_text() const {
    std::string s = "(";
    for (int d = 0; d < ndim; ++d) s += (d ? ", " : "") + std::to_string(shape[d]);
    return s + (ndim == 1 ? ",)" : ")");
  }
};

}  // namespace fastnn
