// sin and cos: within 2 units in the last place, over all inputs.
#pragma once

#include "cpu/kernels/vecmath.h"

namespace fastnn::FASTNN_ISA_NS {

// r = x - q pi/2; |x| < 2^17
#if defined(__FMA__)
FASTNN_INLINE void reduce_half_pi(vf x, vf& r, vi& q) {
  const vf n = round_even(x * 0.636619772367581f);
  // pi/2 in three floats. The first step is exact, as n times the first is a multiple of 2^-23.
  r = fma(n, splat(-0x1.921fb6p0f), x);
  r = fma(n, splat(0x1.777a5cp-25f), r);
  r = fma(n, splat(0x1.ee59dap-50f), r);
  q = to_int(n);
}
#else  // in double, half a vector at a time
FASTNN_INLINE void reduce_half_pi(vf x, vf& r, vi& q) {
  typedef float half_f __attribute__((vector_size(kVecBytes / 2)));
  half_f part[2], r_part[2];
  float q_part[kLanes<float>];
  memcpy(part, &x, sizeof x);
  for (int i = 0; i < 2; ++i) {
    const vd wide = __builtin_convertvector(part[i], vd);
    const vd n = round_even(wide * 0.63661977236758134308);
    const vd rest = fma(n, splat(-0x1.0b4611a626331p-34), fma(n, splat(-0x1.921fb544p0), wide));
    r_part[i] = __builtin_convertvector(rest, half_f);
    const half_f whole = __builtin_convertvector(n, half_f);
    memcpy(q_part + i * (kLanes<float> / 2), &whole, sizeof whole);
  }
  memcpy(&r, r_part, sizeof r);
  q = to_int(load(q_part));
}
#endif

FASTNN_INLINE vf sin_quadrant(vf r, vi q) {
  const vf z = r * r;
  const vf s = fma(
      r * z,
      polynomial(z, -0.166666666639f, 0.00833333187633f, -0.00019840087436f, 2.72500015145e-6f), r);
  const vf c = fma(z * z, polynomial(z, 0.0416666646642f, -0.00138883036434f, 2.45480405435e-5f),
                   fma(z, splat(-0.5f), splat(1.0f)));
  const vf y = (q & 1) == 0 ? s : c;
  return from_bits(bits(y) ^ ((q & 2) << 30));
}

FASTNN_INLINE vf sin(vf x) {
  if (any(!(abs(x) < 0x1p17f))) return map_lanes(x, [](float v) { return __builtin_sinf(v); });
  vf r;
  vi q;
  reduce_half_pi(x, r, q);
  return x == 0 ? x : sin_quadrant(r, q);
}
FASTNN_INLINE vf cos(vf x) {
  if (any(!(abs(x) < 0x1p17f))) return map_lanes(x, [](float v) { return __builtin_cosf(v); });
  vf r;
  vi q;
  reduce_half_pi(x, r, q);
  return sin_quadrant(r, q + 1);
}
FASTNN_INLINE vd sin(vd x) {
  return map_lanes(x, [](double v) { return __builtin_sin(v); });
}
FASTNN_INLINE vd cos(vd x) {
  return map_lanes(x, [](double v) { return __builtin_cos(v); });
}

}  // namespace fastnn::FASTNN_ISA_NS
