// A maximum and the sum of exp(x - maximum), kept together in one pass.
#pragma once

#include "common/block.h"
#include "common/math.h"

namespace fastnn::cuda {

template <class C>
struct LogSum {
  C top, sum;

  static __device__ __forceinline__ LogSum start() { return {-math::infinity<C>(), 0}; }
  // A NaN goes into the sum. Infinities do too: no shortcut for exp(0), as inf - inf is NaN.
  __device__ __forceinline__ void add(C x) {
    if (x > top) {
      sum = top == -math::infinity<C>() ? C(0) : sum * math::exp(top - x);
      top = x;
    }
    if (x != -math::infinity<C>()) sum += math::exp(x - top);
  }
  static __device__ __forceinline__ LogSum join(LogSum a, LogSum b) {
    const C top = a.top > b.top ? a.top : b.top;
    if (top == -math::infinity<C>()) return {top, a.sum + b.sum};  // nothing yet, or NaNs
    return {top, a.sum * math::exp(a.top - top) + b.sum * math::exp(b.top - top)};
  }
};

template <class C>
__device__ __forceinline__ LogSum<C> shuffle_xor(LogSum<C> v, int lanes) {
  return {__shfl_xor_sync(kFullMask, v.top, lanes), __shfl_xor_sync(kFullMask, v.sum, lanes)};
}

}  // namespace fastnn::cuda
