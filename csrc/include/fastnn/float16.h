// float16, stored only: conversions in plain integer arithmetic, for machines and places without
// the instructions.
#pragma once

#include <cstdint>
#include <cstring>

namespace fastnn {

struct f16 {
  uint16_t bits;
};

static inline float to_float(f16 v) {
  // Shift exponent and mantissa into place; the multiplication by 2^112 moves the bias and makes
  // denormals normal.
  const uint32_t magnitude = static_cast<uint32_t>(v.bits & 0x7fffu) << 13;
  float f;
  memcpy(&f, &magnitude, 4);
  f *= 0x1p112f;
  uint32_t bits;
  memcpy(&bits, &f, 4);
  if (magnitude >= 0x0f800000u) bits |= 0x7f800000u;  // infinity and NaN
  bits |= static_cast<uint32_t>(v.bits & 0x8000u) << 16;
  memcpy(&f, &bits, 4);
  return f;
}

// Round to nearest even; a NaN stays a (quiet) NaN.
static inline f16 to_f16(float x) {
  uint32_t bits;
  memcpy(&bits, &x, 4);
  const uint32_t sign = bits >> 16 & 0x8000u, magnitude = bits & 0x7fffffffu;
  uint32_t half;
  if (magnitude > 0x7f800000u) {
    half = 0x7e00u | (magnitude >> 13 & 0x3ffu);
  } else if (magnitude >= 0x477ff000u) {
    half = 0x7c00u;  // rounds to 65536 or more
  } else if (magnitude >= 0x38800000u) {
    half = (magnitude - 0x38000000u + 0xfffu + (magnitude >> 13 & 1)) >> 13;
  } else {
    // Denormal: adding 0.5 rounds to a multiple of 2^-24, whose count is then in the mantissa.
    float f;
    memcpy(&f, &magnitude, 4);
    f += 0.5f;
    memcpy(&half, &f, 4);
    half -= 0x3f000000u;
  }
  return f16{static_cast<uint16_t>(half | sign)};
}

}  // namespace fastnn
