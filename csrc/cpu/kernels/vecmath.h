// exp, log and their kin on the vectors of vec.h. Polynomials are minimax fits (Remez exchange);
// bounds in units in the last place of the result, over all inputs: exp 1, expm1 2, log 1,
// log1p 1.5, log2 and log10 2, tanh 2.5, sigmoid 2.5, erf 1.5; of sin and cos in vecmath_trig.h.
// Denormal results are exact to rounding; NaN and infinity give what libm gives.
#pragma once

#include "cpu/kernels/vec.h"

namespace fastnn::FASTNN_ISA_NS {

// ---- Pieces -----------------------------------------------------------------------------------

// c0 + x * (c1 + x * (...))
template <class V>
FASTNN_INLINE V polynomial(V, Elem<V> c) {
  return splat<Elem<V>>(c);
}
template <class V, class... C>
FASTNN_INLINE V polynomial(V x, Elem<V> c, C... rest) {
  return fma(polynomial(x, static_cast<Elem<V>>(rest)...), x, splat<Elem<V>>(c));
}

// f of every lane, for functions whose speed does not matter.
template <class V, class F>
FASTNN_INLINE V map_lanes(V v, F f) {
  V r{};
  for (int i = 0; i < kLanes<Elem<V>>; ++i) r[i] = f(v[i]);
  return r;
}

// x * factor + shifter, whose low bits are then those of n + bias for the nearest whole number n
// (|n| < 2^21); n itself is to_whole of it, 2^n power_of it. Two instructions, where multiplying
// and rounding take four.
template <class T>
constexpr T kShifter = 0x1.8p23f + 127;
template <>
inline constexpr double kShifter<double> = 0x1.8p52 + 1023;
template <class V>
FASTNN_INLINE V shifted(V x, Elem<V> factor) {
  return fma(x, splat(factor), splat(kShifter<Elem<V>>));
}
template <class V>
FASTNN_INLINE V to_whole(V t) {
  return t - kShifter<Elem<V>>;
}
// For a normal 2^n: the bits of the shifter itself leave at the top.
FASTNN_INLINE vf power_of(vf t) { return from_bits(bits(t) << 23); }
FASTNN_INLINE vd power_of(vd t) { return from_bits(bits(t) << 52); }

// p * 2^n for whole n and 0.5 < p < 4, with one rounding when the result is denormal; scale_from:
// 0 where x < least. Lanes that are 0 must not come about by underflow: Intel's cores take 150
// cycles for a vector with one such lane.
#if defined(__AVX512F__)
FASTNN_INLINE vf scale(vf p, vf n) {
  return (vf)_mm512_maskz_scalef_ps(0xffff, (__m512)p, (__m512)n);
}
FASTNN_INLINE vd scale(vd p, vd n) {
  return (vd)_mm512_maskz_scalef_pd(0xff, (__m512d)p, (__m512d)n);
}
FASTNN_INLINE vf scale_from(vf p, vf t, vf x, float least) {
  const vf n = to_whole(t);
  const __mmask16 kept = _mm512_cmp_ps_mask((__m512)x, _mm512_set1_ps(least), _CMP_NLT_UQ);
  return (vf)_mm512_maskz_scalef_ps(kept, (__m512)p, (__m512)n);
}
FASTNN_INLINE vd scale_from(vd p, vd t, vd x, double least) {
  const vd n = to_whole(t);
  const __mmask8 kept = _mm512_cmp_pd_mask((__m512d)x, _mm512_set1_pd(least), _CMP_NLT_UQ);
  return (vd)_mm512_maskz_scalef_pd(kept, (__m512d)p, (__m512d)n);
}
template <class V>
constexpr bool all_normal(V) {  // nothing to gain: scaling takes one instruction
  return false;
}
#else
FASTNN_INLINE vf scale_by(vf p, vi k) {
  const vi half = k >> 1;
  return p * from_bits((half + 127) << 23) * from_bits((k - half + 127) << 23);
}
FASTNN_INLINE vd scale_by(vd p, vl k) {  // no 64-bit arithmetic shift here: k + 4096 >= 0
  const vl half = (vl)((VecOf<uint64_t>::type)(k + 4096) >> 1) - 2048;
  return p * from_bits((half + 1023) << 52) * from_bits((k - half + 1023) << 52);
}
template <class V>
FASTNN_INLINE V scale(V p, V n) {
  return scale_by(p, to_int(n));
}
// Whether p * power_of(t) is p * 2^n in all lanes. As integers, so that NaN counts as large.
template <class V>
FASTNN_INLINE bool all_normal(V t) {
  const V most = splat<Elem<V>>(sizeof(Elem<V>) == 4 ? 125 : 1021);
  return __builtin_expect(!any(bits(abs(to_whole(t))) > bits(most)), 1);
}
template <class V>
FASTNN_INLINE V scale_from(V p, V t, V x, Elem<V> least) {
  if (all_normal(t)) return p * power_of(t);
  const auto zero = x < least;
  return from_bits(bits(scale_by(p, to_int(to_whole(t)) & ~zero)) & ~zero);
}
#endif

// ---- exp --------------------------------------------------------------------------------------

// x - n ln 2, with ln 2 in two parts: n times the first is exact.
FASTNN_INLINE vf minus_n_ln2(vf x, vf n) {
  return fma(n, splat(-0x1.7f7d1cp-20f), fma(n, splat(-0x1.62e4p-1f), x));
}
FASTNN_INLINE vd minus_n_ln2(vd x, vd n) {
  return fma(n, splat(-0x1.a39ef35793c76p-33), fma(n, splat(-0x1.62e42feep-1), x));
}

// (e^r - 1 - r) / r^2 for |r| <= ln 2 / 2
FASTNN_INLINE vf exp_tail(vf r) {
  return polynomial(r, 0.500000002694f, 0.166665770035f, 0.0416663752444f, 0.00836317549483f,
                    0.00139411139471f);
}
FASTNN_INLINE vd exp_tail(vd r) {
  return polynomial(r, 0.5, 0.16666666666666670987, 0.04166666666666668379,
                    0.0083333333333261403988, 0.0013888888888874406116, 0.00019841269874801973635,
                    2.4801587347316343072e-5, 2.7557255424107243078e-6, 2.7557252937892110856e-7,
                    2.5105206979042025072e-8, 2.0921580031412764541e-9);
}

template <class V>
FASTNN_INLINE V exp_reduced(V r) {
  return fma(fma(exp_tail(r), r, splat<Elem<V>>(1)), r, splat<Elem<V>>(1));
}

// Above the first, the result is infinite; below the second, 0.
template <class T>
constexpr T kExpLimits[2] = {89, -104};
template <>
inline constexpr double kExpLimits<double>[2] = {710, -746};

template <class V>
constexpr Elem<V> kLog2e = 1.4426950408889634074;

// e^x for x that is at most the first limit, or NaN.
template <class V>
FASTNN_INLINE V exp_capped(V x) {
  const V t = shifted(x, kLog2e<V>);
  const V r = minus_n_ln2(x, to_whole(t));
  return scale_from(exp_reduced(r), t, x, kExpLimits<Elem<V>>[1]);
}

template <class V>
FASTNN_INLINE V exp(V x) {
  const V t = shifted(x, kLog2e<V>);
  if (all_normal(t)) return exp_reduced(minus_n_ln2(x, to_whole(t))) * power_of(t);
  return exp_capped(fast_min(splat(kExpLimits<Elem<V>>[0]), x));  // NaN stays
}

template <class V>
FASTNN_INLINE V exp2(V x) {
  constexpr bool single = sizeof(Elem<V>) == 4;
  const V z = fast_min(splat<Elem<V>>(single ? 129 : 1025), x);
  const V t = shifted(z, Elem<V>(1));
  const V r = (z - to_whole(t)) * Elem<V>(0.69314718055994530942);
  return scale_from(exp_reduced(r), t, x, Elem<V>(single ? -151 : -1076));
}

template <class V>
FASTNN_INLINE V expm1(V x) {
  constexpr bool single = sizeof(Elem<V>) == 4;
  const V z =
      fast_max(splat<Elem<V>>(single ? -20 : -40), fast_min(splat<Elem<V>>(single ? 89 : 710), x));
  const V n = to_whole(shifted(z, kLog2e<V>));
  const V r = minus_n_ln2(z, n);
  const V p = fma(r * r, exp_tail(r), r);
  const V half = scale(splat<Elem<V>>(1), n - 1);  // 2^n alone overflows before the result does
  const V y = 2 * fma(half, p, half - Elem<V>(0.5));
  return abs(x) < Elem<V>(single ? 0x1p-26 : 0x1p-55) ? x : y;
}

// ---- log --------------------------------------------------------------------------------------

// x = 2^e (1 + f) with 1 + f in [sqrt 1/2, sqrt 2); x > 0. Unsigned: with other x it wraps.
FASTNN_INLINE void split(vf x, vf& e, vf& f) {
  const vi tiny = x < 0x1p-126f;
  const vi i = (vi)((VecOf<uint32_t>::type)bits(tiny ? x * 0x1p23f : x) - 0x3f3504f3u);
  e = to_float((i >> 23) - (tiny & 23));
  f = from_bits((i & 0x7fffff) + 0x3f3504f3) - 1;
}
FASTNN_INLINE void split(vd x, vd& e, vd& f) {
  const vl tiny = x < 0x1p-1022;
  const vl i =
      (vl)((VecOf<uint64_t>::type)bits(tiny ? x * 0x1p52 : x) - uint64_t{0x3fe6a09e667f3bcd});
  const vl biased = (vl)((VecOf<uint64_t>::type)(i + (int64_t(1024) << 52)) >> 52) - 1024;
  e = to_double(biased - (tiny & 52));
  f = from_bits((i & 0xfffffffffffff) + 0x3fe6a09e667f3bcd) - 1;
}

// log(1 + f) - f
FASTNN_INLINE vf log_tail(vf f) {
  const vf p = polynomial(f, 0.33333331257f, -0.249999811862f, 0.200006880645f, -0.166691510564f,
                          0.142511559934f, -0.123966987721f, 0.116346590826f, -0.116599423953f,
                          0.0733255377815f);
  const vf f2 = f * f;
  return fma(f2 * f, p, f2 * -0.5f);
}
FASTNN_INLINE vd log_tail(vd f) {
  const vd s = f / (2 + f), z = s * s;
  const vd p =
      z * polynomial(z, 0.66666666666666666461, 0.40000000000000892464, 0.28571428570794767537,
                     0.22222222393603782665, 0.18181795448270978867, 0.15386249681084869247,
                     0.13268516288443393529, 0.13089219145858637274);
  const vd half_square = f * f * 0.5;
  return s * (half_square + p) - half_square;
}

// What log gives outside of (0, inf).
template <class V>
FASTNN_INLINE V log_special(V x, V y) {
  constexpr Elem<V> inf = __builtin_inff();
  y = x < inf ? y : x;  // inf and NaN
  y = x > 0 ? y : (x == 0 ? splat(-inf) : splat<Elem<V>>(__builtin_nanf("")));
  return x == x ? y : x;
}

template <class V>
FASTNN_INLINE V log_finite(V x) {
  constexpr bool single = sizeof(Elem<V>) == 4;
  V e, f;
  split(x, e, f);
  const V low =
      fma(e, splat<Elem<V>>(single ? 0x1.7f7d1cp-20 : 0x1.a39ef35793c76p-33), log_tail(f));
  return fma(e, splat<Elem<V>>(single ? 0x1.62e4p-1 : 0x1.62e42feep-1), f + low);
}

template <class V>
FASTNN_INLINE V log(V x) {
  return log_special(x, log_finite(x));
}

template <class V>
FASTNN_INLINE V log2(V x) {
  V e, f;
  split(x, e, f);
  // log2(e) in two parts, for f only: powers of two are exact.
  constexpr bool single = sizeof(Elem<V>) == 4;
  const V high = splat<Elem<V>>(single ? 0x1.7154p0 : 0x1.7154765p0);
  const V low = splat<Elem<V>>(single ? 0x1.d94ae0bf85ddfp-18 : 0x1.5c17f0bbbe880p-31);
  const V tail = log_tail(f);
  return log_special(x, e + fma(f, high, fma(tail, high, (f + tail) * low)));
}

template <class V>
FASTNN_INLINE V log10(V x) {
  constexpr bool single = sizeof(Elem<V>) == 4;
  V e, f;
  split(x, e, f);
  const V y = (f + log_tail(f)) * Elem<V>(0.43429448190325182765);
  const V low = fma(e, splat<Elem<V>>(single ? 0x1.3509f79fef312p-18 : 0x1.f79fef311f12bp-34), y);
  return log_special(x, fma(e, splat<Elem<V>>(single ? 0x1.344p-2 : 0x1.34413508p-2), low));
}

template <class V>
FASTNN_INLINE V log1p(V x) {
  const V u = 1 + x;
  const V lost = x > 1 ? 1 - (u - x) : x - (u - 1);  // u + lost = 1 + x exactly
  const V y = log_finite(u) + lost / u;
  const V special = log_special(u, y);
  return x == 0 ? x : special;
}

// log(1 + e) for 0 <= e <= 1: 1 + e is halved from sqrt 2 on.
template <class V>
FASTNN_INLINE V log1p_unit(V e) {
  constexpr bool single = sizeof(Elem<V>) == 4;
  const auto large = e > Elem<V>(0.41421356237309504880);
  const V f = large ? (e - 1) * Elem<V>(0.5) : e, one = large ? splat<Elem<V>>(1) : V{};
  const V low =
      fma(one, splat<Elem<V>>(single ? 0x1.7f7d1cp-20 : 0x1.a39ef35793c76p-33), log_tail(f));
  return fma(one, splat<Elem<V>>(single ? 0x1.62e4p-1 : 0x1.62e42feep-1), f + low);
}

// log(1 + e^x) for x <= 0
template <class V>
FASTNN_INLINE V log1p_exp_capped(V x) {
  return log1p_unit(exp_capped(x));
}

// ---- sigmoid, tanh, erf -----------------------------------------------------------------------

template <class V>
FASTNN_INLINE V sigmoid(V x) {
  const V e = exp_capped(minus_abs(x));
  return divide(x >= 0 ? splat<Elem<V>>(1) : e, 1 + e);
}

// (tanh(sqrt z) / sqrt z - 1) / z
FASTNN_INLINE vf tanh_tail(vf z) {
  return polynomial(z, -0.333333331376f, 0.133332980433f, -0.0539579182305f, 0.0217578640945f,
                    -0.00830761331356f, 0.00225167037921f);
}
FASTNN_INLINE vd tanh_tail(vd z) {
  return polynomial(z, -0.33333333333333333332, 0.13333333333333332303, -0.05396825396825211131,
                    0.021869488536023596881, -0.0088632355250521281024, 0.003592127930058345479,
                    -0.0014558328824581529881, 0.00059001315342303290519,
                    -0.00023903577267972109176, 9.6493088677971934881e-5, -3.7968129103557384754e-5,
                    1.3212080117187354158e-5, -2.935297455526714564e-6);
}

// (e^2x - 1) / (e^2x + 1), with e^2x = 2^n (1 + p) from the pieces of exp, so that nothing cancels:
// both are halved, m / (m + 1) with m = 2^(n - 1) p + (2^(n - 1) - 1/2).
template <class V>
FASTNN_INLINE V tanh(V x) {
  constexpr Elem<V> half = 0.5;
  const V a = fast_min(splat<Elem<V>>(20), abs(x));  // where it is 1; NaN stays
  const V t = shifted(a, Elem<V>(2.8853900817779268147));
  const V r = minus_n_ln2(a + a, to_whole(t));
  const V p = fma(r * r, exp_tail(r), r);
  const V power = power_of(t - 1);
  const V m = fma(power, p, power - half);
  return from_bits(bits(divide(m, m + 1)) | sign_bit(x));
}

FASTNN_INLINE vf erf(vf x) {
  const vf a = fast_min(splat(3.95f), abs(x)), z = x * x;
  const vf small = fma(
      x,
      polynomial(z, 0.128379167063f, -0.376126384838f, 0.112837827471f, -0.0268654458186f,
                 0.00522107487594f, -0.000848471148704f, 0.000112705451883f, -9.68013941092e-6f),
      x);
  // log erfc
  const vf t =
      polynomial(a, 0.000183442587984f, -1.12955682295f, -0.633262627115f, -0.108372462265f,
                 0.0251789572887f, -0.00419360710088f, 0.000439105549691f, -2.14960421882e-5f);
  const vf large = copysign(1 - exp(t), x);
  return abs(x) < 0.95f ? small : large;
}
FASTNN_INLINE vd erf(vd x) {
  return map_lanes(x, [](double v) { return __builtin_erf(v); });
}

// The standard normal distribution function of -|x|: 2^t with a polynomial t. From 5.6 on (1e-8) it
// is 0.
FASTNN_INLINE vf lower_normal_cdf(vf x) {
  constexpr float kEnd = 5.6f;
  const vf a = fast_min(splat(kEnd), abs(x));
  const vf t = polynomial(a, -0.999999940395f, -1.15110766888f, -0.459192961454f, -0.0525301992893f,
                          0.00709149101749f, -0.000134923277074f, -0.00020332459826f,
                          4.99404632137e-05f, -5.47719264432e-06f, 2.41531580514e-07f);
  const vf s = shifted(t, 1), r = (t - to_whole(s)) * 0.69314718055994530942f;
  return from_bits(bits(exp_reduced(r) * power_of(s)) & ~(a == kEnd));
}
FASTNN_INLINE vd lower_normal_cdf(vd x) {
  return 0.5 * (1 + erf(minus_abs(x) * 0.70710678118654752440));
}
template <class V>
FASTNN_INLINE V normal_cdf(V x) {
  const V lower = lower_normal_cdf(x);
  return x >= 0 ? 1 - lower : lower;
}
// x times that of x
template <class V>
FASTNN_INLINE V times_normal_cdf(V x) {
  const V finite = fast_min(splat(Elem<V>(3e38)), x);  // infinity times 0 would be NaN
  return fma(minus_abs(finite), lower_normal_cdf(x), fast_max(V{}, x));
}

}  // namespace fastnn::FASTNN_ISA_NS
