// Single elements of any floating type, and activations in double: what the straight loops are made
// of.
#pragma once

#include <cmath>

#include "fastnn/activation.h"
#include "fastnn/dtype.h"
#include "fastnn/float16.h"

namespace fastnn {

inline double read_element(const void* data, DType dtype, int64_t at) {
  switch (dtype) {
    case DType::f64:
      return static_cast<const double*>(data)[at];
    case DType::bf16:
      return to_float(static_cast<const bf16*>(data)[at]);
    case DType::f16:
      return to_float(static_cast<const f16*>(data)[at]);
    default:
      return static_cast<const float*>(data)[at];
  }
}

inline void write_element(void* data, DType dtype, int64_t at, double x) {
  switch (dtype) {
    case DType::f64:
      static_cast<double*>(data)[at] = x;
      return;
    case DType::bf16:
      static_cast<bf16*>(data)[at] = to_bf16(static_cast<float>(x));
      return;
    case DType::f16:
      static_cast<f16*>(data)[at] = to_f16(static_cast<float>(x));
      return;
    default:
      static_cast<float*>(data)[at] = static_cast<float>(x);
  }
}

inline double activate_reference(Activation activation, double x) {
  switch (activation) {
    case Activation::none:
      return x;
    case Activation::relu:
      return x < 0 ? 0 : x;  // keeps NaN
    case Activation::sigmoid:
      return 1 / (1 + std::exp(-x));
    case Activation::tanh:
      return std::tanh(x);
    case Activation::gelu:
      return 0.5 * x * (1 + std::erf(x * 0.70710678118654752440));
    case Activation::gelu_tanh:
      return 0.5 * x * (1 + std::tanh(0.79788456080286535588 * (x + 0.044715 * x * x * x)));
    case Activation::silu:
      return x / (1 + std::exp(-x));
    case Activation::relu6:
      return x < 0 ? 0 : x > 6 ? 6 : x;
  }
  return x;
}

}  // namespace fastnn
