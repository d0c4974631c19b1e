// Elements numbered in row-major order of a shape, whatever the strides.
#pragma once

#include "common/fast_div.h"
#include "fastnn/tensor_view.h"

namespace fastnn::cuda {

struct RowMajor {
  int ndim = 0;
  FastDiv shape[kMaxDims];
  int64_t stride[kMaxDims];

  RowMajor() = default;
  explicit RowMajor(const TensorView& v) {
    if (v.contiguous()) {  // one axis
      ndim = 1;
      stride[0] = 1;
      return;
    }
    for (int d = 0; d < v.ndim; ++d) {
      if (v.shape[d] == 1) continue;
      shape[ndim] = FastDiv(v.shape[d]);
      stride[ndim++] = v.stride[d];
    }
  }
  __device__ __forceinline__ int64_t offset(uint32_t i) const {
    int64_t at = 0;
    for (int d = ndim - 1; d > 0; --d) at += static_cast<int64_t>(shape[d].take(i)) * stride[d];
    return ndim > 0 ? at + static_cast<int64_t>(i) * stride[0] : 0;
  }
};

}  // namespace fastnn::cuda
