// Division by numbers that are known at launch: a multiplication and a shift.
#pragma once

#include "common/device.h"

namespace fastnn::cuda {

// For numerators below 2^31 and divisors from 1 to 2^31 - 1.
struct FastDiv {
  uint32_t divisor = 1, multiplier = 0, shift = 0;

  FastDiv() = default;
  explicit FastDiv(int64_t d) : divisor(static_cast<uint32_t>(d)) {
    while ((uint64_t{1} << shift) < divisor) ++shift;
    const uint64_t one = 1;
    multiplier = static_cast<uint32_t>(((one << 32) * ((one << shift) - divisor)) / divisor + 1);
  }

  __host__ __device__ __forceinline__ uint32_t divide(uint32_t n) const {
#if defined(__CUDA_ARCH__)
    const uint32_t high = __umulhi(n, multiplier);
#else
    const auto high = static_cast<uint32_t>(uint64_t{n} * multiplier >> 32);
#endif
    return (high + n) >> shift;
  }
  // n becomes the quotient; returns the remainder.
  __host__ __device__ __forceinline__ uint32_t take(uint32_t& n) const {
    const uint32_t quotient = divide(n), rest = n - quotient * divisor;
    n = quotient;
    return rest;
  }
};

}  // namespace fastnn::cuda
