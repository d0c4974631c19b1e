// Philox4x32-10 (ops/random.h), and normal numbers with the bits of the CPU's: no fused operation.
#pragma once

#include "common/device.h"

namespace fastnn::cuda {

struct PhiloxWords {
  uint32_t w[4];
};

__device__ __forceinline__ PhiloxWords philox(uint64_t seed, uint64_t counter) {
  uint32_t c0 = static_cast<uint32_t>(counter), c1 = static_cast<uint32_t>(counter >> 32), c2 = 0,
           c3 = 0;
  uint32_t k0 = static_cast<uint32_t>(seed), k1 = static_cast<uint32_t>(seed >> 32);
  FASTNN_UNROLL
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = uint64_t{c0} * 0xD2511F53u, p1 = uint64_t{c2} * 0xCD9E8D57u;
    c0 = static_cast<uint32_t>(p1 >> 32) ^ c1 ^ k0;
    c1 = static_cast<uint32_t>(p1);
    c2 = static_cast<uint32_t>(p0 >> 32) ^ c3 ^ k1;
    c3 = static_cast<uint32_t>(p0);
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return {{c0, c1, c2, c3}};
}

// a x + b, rounded twice.
__device__ __forceinline__ float times_plus(float a, float x, float b) {
  return __fadd_rn(__fmul_rn(a, x), b);
}

__device__ __forceinline__ float horner(float, float c) { return c; }
template <class... C>
__device__ __forceinline__ float horner(float x, float c, C... rest) {
  return times_plus(horner(x, rest...), x, c);
}

__device__ __forceinline__ float plain_log(float u) {  // u in [2^-32, 1]
  const int i = __float_as_int(u) - 0x3f3504f3;
  const auto e = static_cast<float>(i >> 23);
  const float f = __fadd_rn(__int_as_float((i & 0x7fffff) + 0x3f3504f3), -1.0f);
  const float f2 = __fmul_rn(f, f);
  const float p = horner(f, 0.33333331257f, -0.249999811862f, 0.200006880645f, -0.166691510564f,
                         0.142511559934f, -0.123966987721f, 0.116346590826f, -0.116599423953f,
                         0.0733255377815f);
  const float tail = __fsub_rn(__fmul_rn(__fmul_rn(f2, f), p), __fmul_rn(f2, 0.5f));
  const float low = times_plus(e, 0x1.7f7d1cp-20f, tail);
  return __fadd_rn(__fmul_rn(e, 0x1.62e4p-1f), __fadd_rn(f, low));
}

// sin(r + q pi / 2), |r| <= pi / 4
__device__ __forceinline__ float plain_sin(float r, int q) {
  const float z = __fmul_rn(r, r);
  const float s = times_plus(
      __fmul_rn(r, z),
      horner(z, -0.166666666639f, 0.00833333187633f, -0.00019840087436f, 2.72500015145e-6f), r);
  const float c = times_plus(__fmul_rn(z, z),
                             horner(z, 0.0416666646642f, -0.00138883036434f, 2.45480405435e-5f),
                             __fsub_rn(1.0f, __fmul_rn(z, 0.5f)));
  const float y = (q & 1) == 0 ? s : c;
  return __int_as_float(
      static_cast<int>(__float_as_uint(y) ^ (static_cast<uint32_t>(q & 2) << 30)));
}

struct NormalPair {
  float cos, sin;
};
__device__ __forceinline__ NormalPair normal_pair(uint32_t w, uint32_t t, float mean, float std) {
  // (w + 1) / 2^32, rounded once: both summands are exact.
  const float high = static_cast<float>(w >> 16) * 65536.0f,
              low = static_cast<float>(w & 0xffff) + 1;
  const float r =
      __fmul_rn(sqrtf(__fmul_rn(plain_log(__fmul_rn(__fadd_rn(high, low), 0x1p-32f)), -2.0f)), std);
  // The top two bits say the quadrant (rounded), the others the angle in it.
  const float angle =
      __fmul_rn(static_cast<float>(static_cast<int>(t << 2)), 0x1p-32f * 1.57079632679489661923f);
  const int quadrant = ((static_cast<int>(t) >> 29) + 1) >> 1;
  return {times_plus(plain_sin(angle, quadrant + 1), r, mean),
          times_plus(plain_sin(angle, quadrant), r, mean)};
}

}  // namespace fastnn::cuda
