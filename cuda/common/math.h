// Functions by one name for float, double and, where they make sense, int64: what the formulas of
// the maps are written in.
#pragma once

#include <cmath>
#include <limits>

#include "common/device.h"

namespace fastnn::cuda::math {

#define FASTNN_MATH1(name)                                                \
  __device__ __forceinline__ float name(float x) { return ::name##f(x); } \
  __device__ __forceinline__ double name(double x) { return ::name(x); }
#define FASTNN_MATH2(name)                                                            \
  __device__ __forceinline__ float name(float a, float b) { return ::name##f(a, b); } \
  __device__ __forceinline__ double name(double a, double b) { return ::name(a, b); }

FASTNN_MATH1(exp)
FASTNN_MATH1(exp2)
FASTNN_MATH1(expm1)
FASTNN_MATH1(log)
FASTNN_MATH1(log2)
FASTNN_MATH1(log10)
FASTNN_MATH1(log1p)
FASTNN_MATH1(sin)
FASTNN_MATH1(cos)
FASTNN_MATH1(tan)
FASTNN_MATH1(sinh)
FASTNN_MATH1(cosh)
FASTNN_MATH1(tanh)
FASTNN_MATH1(asin)
FASTNN_MATH1(acos)
FASTNN_MATH1(atan)
FASTNN_MATH1(asinh)
FASTNN_MATH1(acosh)
FASTNN_MATH1(atanh)
FASTNN_MATH1(erf)
FASTNN_MATH1(erfc)
FASTNN_MATH1(sqrt)
FASTNN_MATH1(floor)
FASTNN_MATH1(ceil)
FASTNN_MATH1(trunc)
FASTNN_MATH1(rint)
FASTNN_MATH1(fabs)
FASTNN_MATH2(pow)
FASTNN_MATH2(atan2)
FASTNN_MATH2(hypot)
FASTNN_MATH2(fmod)
FASTNN_MATH2(copysign)

#undef FASTNN_MATH1
#undef FASTNN_MATH2

#if defined(__CUDACC__)
__device__ __forceinline__ float lgamma(float x) { return ::lgammaf(x); }
__device__ __forceinline__ double lgamma(double x) { return ::lgamma(x); }
#else  // the host's plain lgamma writes a global
inline float lgamma(float x) {
  int sign;
  return ::lgammaf_r(x, &sign);
}
inline double lgamma(double x) {
  int sign;
  return ::lgamma_r(x, &sign);
}
#endif

__device__ __forceinline__ float abs(float x) { return fabs(x); }
__device__ __forceinline__ double abs(double x) { return fabs(x); }
__device__ __forceinline__ int64_t abs(int64_t x) {
  return x < 0 ? static_cast<int64_t>(-static_cast<uint64_t>(x)) : x;
}

// NaN where either is NaN.
template <class T>
__device__ __forceinline__ T max(T a, T b) {
  return a > b || a != a ? a : b;
}
template <class T>
__device__ __forceinline__ T min(T a, T b) {
  return a < b || a != a ? a : b;
}

template <class T>
__device__ __forceinline__ T infinity() {
  return static_cast<T>(HUGE_VALF);
}

// Neither is found by cancellation.
template <class T>
struct Sigmoids {
  T plus, minus;  // of x and of -x
};
template <class T>
__device__ __forceinline__ Sigmoids<T> sigmoids(T x) {
  const T e = exp(-abs(x)), r = 1 / (1 + e), small = e * r;
  return {x >= 0 ? r : small, x >= 0 ? small : r};
}
template <class T>
__device__ __forceinline__ T sigmoid(T x) {
  return x != x ? x : sigmoids(x).plus;
}

template <class T>
__device__ __forceinline__ T gelu_cdf(T x) {
  return T(0.5) * (1 + erf(x * T(0.70710678118654752440)));
}
// tanh of sqrt(2 / pi) (x + 0.044715 x^3)
template <class T>
__device__ __forceinline__ T gelu_tanh_of(T x) {
  return tanh(T(0.79788456080286535588) * (x + T(0.044715) * x * x * x));
}

}  // namespace fastnn::cuda::math
