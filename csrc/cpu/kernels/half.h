// float16 to float and back, where there is no instruction for it.
#pragma once

#include "cpu/kernels/vec.h"

namespace fastnn::FASTNN_ISA_NS {

FASTNN_INLINE float widen_f16(uint16_t h) {
  const uint32_t sign = static_cast<uint32_t>(h & 0x8000u) << 16, magnitude = h & 0x7fffu;
  uint32_t u;
  float f;
  if (magnitude >= 0x7c00u) {  // infinity, NaN (quiet)
    u = 0x7f800000u | (magnitude & 0x3ffu) << 13 | (magnitude > 0x7c00u ? 0x400000u : 0);
  } else if (magnitude >= 0x400u) {
    u = (magnitude << 13) + (112u << 23);
  } else {  // zero, denormal: magnitude * 2^-24
    f = static_cast<float>(magnitude) * 0x1p-24f;
    memcpy(&u, &f, sizeof u);
  }
  u |= sign;
  memcpy(&f, &u, sizeof f);
  return f;
}

FASTNN_INLINE uint16_t narrow_f16(float f) {
  uint32_t u;
  memcpy(&u, &f, sizeof u);
  const uint32_t sign = u >> 16 & 0x8000u, magnitude = u & 0x7fffffffu;
  uint32_t h;
  if (magnitude > 0x7f800000u) {
    h = 0x7e00u | (magnitude >> 13 & 0x3ffu);
  } else if (magnitude >= 0x477ff000u) {  // rounds to 65536 or more
    h = 0x7c00u;
  } else if (magnitude >= 0x38800000u) {
    h = (magnitude - (112u << 23) + 0xfffu + (magnitude >> 13 & 1u)) >> 13;
  } else {  // denormal: adding 0.5 aligns the bits that stay, and rounds
    float small;
    memcpy(&small, &magnitude, sizeof small);
    small += 0.5f;
    memcpy(&h, &small, sizeof h);
    h -= 0x3f000000u;
  }
  return static_cast<uint16_t>(sign | h);
}

#if defined(__AVX512F__)
FASTNN_INLINE vf widen_f16(vh h) { return (vf)_mm512_maskz_cvtph_ps(0xffff, (__m256i)h); }
FASTNN_INLINE vh narrow_f16(vf v) { return (vh)_mm512_maskz_cvtps_ph(0xffff, (__m512)v, 0); }
#elif defined(__F16C__)
FASTNN_INLINE vf widen_f16(vh h) { return (vf)_mm256_cvtph_ps((__m128i)h); }
FASTNN_INLINE vh narrow_f16(vf v) { return (vh)_mm256_cvtps_ph((__m256)v, 0); }
#else
FASTNN_INLINE vf widen_f16(vh h) {
  vf v{};
  for (int i = 0; i < kLanes<float>; ++i) v[i] = widen_f16(static_cast<uint16_t>(h[i]));
  return v;
}
FASTNN_INLINE vh narrow_f16(vf v) {
  vh h{};
  for (int i = 0; i < kLanes<float>; ++i) h[i] = narrow_f16(static_cast<float>(v[i]));
  return h;
}
#endif

}  // namespace fastnn::FASTNN_ISA_NS
