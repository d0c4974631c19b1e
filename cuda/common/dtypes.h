// From a dtype at run time to a type: body(T{}).
#pragma once

#include "fastnn/dtype.h"
#include "fastnn/float16.h"

namespace fastnn::cuda {

template <class F>
void with_float_type(DType t, F&& body) {
  switch (t) {
    case DType::f64:
      return body(double{});
    case DType::bf16:
      return body(bf16{});
    case DType::f16:
      return body(f16{});
    default:
      return body(float{});
  }
}

// What elements of T are computed in.
template <class T>
struct WideOf {
  using type = float;
};
template <>
struct WideOf<double> {
  using type = double;
};
template <class T>
using Wide = typename WideOf<T>::type;

}  // namespace fastnn::cuda
