// What reductions fold values with.
#pragma once

#include <cmath>

#include "common/block.h"

namespace fastnn::cuda {

template <class A>
struct Extreme {
  A value;
  int64_t index;
};
template <class A>
__device__ __forceinline__ Extreme<A> shuffle_xor(Extreme<A> v, int lanes) {
  return {__shfl_xor_sync(kFullMask, v.value, lanes), __shfl_xor_sync(kFullMask, v.index, lanes)};
}

// Folds of values of type A: start(), step(acc, x, shift, index), join(a, b), with b behind a.
template <class A>
struct Plain {
  using Acc = A;
  static constexpr bool indexed = false;
  static __device__ __forceinline__ A join(A a, A b) { return a + b; }
  static __device__ __forceinline__ A start() { return 0; }
};
template <class A>
struct Sum : Plain<A> {
  static __device__ __forceinline__ void step(A& acc, A x, A, int64_t) { acc += x; }
};
template <class A>
struct Nonzero : Plain<A> {
  static __device__ __forceinline__ void step(A& acc, A x, A, int64_t) { acc += x != 0; }
};
struct SumSquares : Plain<double> {
  static __device__ __forceinline__ void step(double& acc, double x, double, int64_t) {
    acc += x * x;
  }
};
struct SumAbs : Plain<double> {
  static __device__ __forceinline__ void step(double& acc, double x, double, int64_t) {
    acc += fabs(x);
  }
};
struct SumPower : Plain<double> {
  static __device__ __forceinline__ void step(double& acc, double x, double p, int64_t) {
    acc += pow(fabs(x), p);
  }
};
struct SumCentred : Plain<double> {
  static __device__ __forceinline__ void step(double& acc, double x, double mean, int64_t) {
    acc += (x - mean) * (x - mean);
  }
};
struct SumExp : Plain<double> {
  static __device__ __forceinline__ void step(double& acc, double x, double top, int64_t) {
    acc += exp(x - top);
  }
};
template <class A>
struct Product : Plain<A> {
  static __device__ __forceinline__ A start() { return 1; }
  static __device__ __forceinline__ A join(A a, A b) {
    if constexpr (sizeof(A) == 8 && A(0.5) == A(0))
      return static_cast<A>(static_cast<uint64_t>(a) * static_cast<uint64_t>(b));
    else
      return a * b;
  }
  static __device__ __forceinline__ void step(A& acc, A x, A, int64_t) { acc = join(acc, x); }
};

// The largest of Sign * x or Sign * |x|, and the first place where it stands; a NaN is the largest.
template <class A, int Sign, bool Absolute = false>
struct Top {
  using Acc = Extreme<A>;
  static constexpr bool indexed = true;
  static __device__ __forceinline__ Acc start() {
    if constexpr (A(0.5) == A(0))
      return {Sign > 0 ? INT64_MIN : INT64_MAX, INT64_MAX};
    else
      return {Absolute && Sign > 0 ? A(0) : Sign > 0 ? A(-HUGE_VAL) : A(HUGE_VAL), INT64_MAX};
  }
  static __device__ __forceinline__ bool beats(A a, A b) {
    if (a != a || b != b) return b == b;
    return Sign > 0 ? a > b : a < b;
  }
  static __device__ __forceinline__ Acc join(Acc a, Acc b) {
    if (beats(b.value, a.value)) return b;
    if (beats(a.value, b.value)) return a;
    return b.index < a.index ? b : a;
  }
  static __device__ __forceinline__ void step(Acc& acc, A x, A, int64_t index) {
    if constexpr (Absolute) x = x < 0 ? -x : x;
    acc = join(acc, Acc{x, index});
  }
};

}  // namespace fastnn::cuda
