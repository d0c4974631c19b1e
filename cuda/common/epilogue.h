// What becomes of a finished sum: scaled, added to what c holds, bias, activation, one rounding.
#pragma once

#include "common/cast.h"
#include "common/fast_div.h"
#include "common/math.h"
#include "fastnn/activation.h"

namespace fastnn::cuda {

template <class C>
__device__ __forceinline__ C activate(Activation activation, C x) {
  switch (activation) {
    case Activation::relu:
      return x < 0 ? C(0) : x;  // keeps NaN
    case Activation::sigmoid:
      return math::sigmoid(x);
    case Activation::tanh:
      return math::tanh(x);
    case Activation::gelu:
      return x * math::gelu_cdf(x);
    case Activation::gelu_tanh:
      return C(0.5) * x * (1 + math::gelu_tanh_of(x));
    case Activation::silu:
      return x * math::sigmoid(x);
    case Activation::relu6:
      return x < 0 ? C(0) : x > C(6) ? C(6) : x;
    default:
      return x;
  }
}

// A number as up to four digits, each with a stride.
struct Digits {
  FastDiv size[3];  // of all digits but the first
  int64_t stride[4] = {0, 0, 0, 0};

  __device__ __forceinline__ int64_t offset(uint32_t i) const {
    const int64_t d3 = size[2].take(i), d2 = size[1].take(i), d1 = size[0].take(i);
    return i * stride[0] + d1 * stride[1] + d2 * stride[2] + d3 * stride[3];
  }
};

struct Epilogue {
  void* c;
  DType dtype;
  int64_t row_stride;
  Digits columns;
  const void* bias;  // null when there is none
  DType bias_dtype;
  int64_t bias_m, bias_n;
  double alpha, beta;
  Activation activation;
  void* partial;  // where the parts of a split sum go; null when it is not split

  template <class C>
  __device__ __forceinline__ void write(C sum, uint32_t m, uint32_t n, int64_t column,
                                        int64_t shift_bias) const {
    const int64_t at = m * row_stride + column;
    C y = static_cast<C>(alpha) * sum;
    if (beta != 0) y += static_cast<C>(beta) * load_as<C>(c, dtype, at);
    if (bias) y += load_as<C>(bias, bias_dtype, m * bias_m + n * bias_n + shift_bias);
    store_as<C>(c, dtype, at, activate(activation, y));
  }
};

}  // namespace fastnn::cuda
