// Transcendental functions. What is slow anyway and rarely used goes to libm lane by lane.
#include "cpu/kernels/map_inl.h"
#include "cpu/kernels/vecmath_trig.h"

namespace fastnn::FASTNN_ISA_NS {
namespace {

#define LIBM(name)                                                       \
  FASTNN_INLINE vf name(vf x) {                                          \
    return map_lanes(x, [](float v) { return __builtin_##name##f(v); }); \
  }                                                                      \
  FASTNN_INLINE vd name(vd x) {                                          \
    return map_lanes(x, [](double v) { return __builtin_##name(v); });   \
  }
LIBM(tan)
LIBM(sinh)
LIBM(cosh)
LIBM(asin)
LIBM(acos)
LIBM(atan)
LIBM(asinh)
LIBM(acosh)
LIBM(atanh)
LIBM(erfc)

#define LIBM2(name)                                                                 \
  FASTNN_INLINE vf name(vf a, vf b) {                                               \
    vf r{};                                                                         \
    for (int i = 0; i < kLanes<float>; ++i) r[i] = __builtin_##name##f(a[i], b[i]); \
    return r;                                                                       \
  }                                                                                 \
  FASTNN_INLINE vd name(vd a, vd b) {                                               \
    vd r{};                                                                         \
    for (int i = 0; i < kLanes<double>; ++i) r[i] = __builtin_##name(a[i], b[i]);   \
    return r;                                                                       \
  }
LIBM2(atan2)
LIBM2(hypot)
LIBM2(pow)

// The reentrant form: plain lgamma writes a global.
FASTNN_INLINE vf lgamma(vf x) {
  return map_lanes(x, [](float v) {
    int sign;
    return __builtin_lgammaf_r(v, &sign);
  });
}
FASTNN_INLINE vd lgamma(vd x) {
  return map_lanes(x, [](double v) {
    int sign;
    return __builtin_lgamma_r(v, &sign);
  });
}

// Wraps; a negative exponent gives the truncated value, as 1 / x^-n would.
FASTNN_INLINE vl pow(vl a, vl b) {
  vl r{};
  for (int i = 0; i < kLanes<int64_t>; ++i) {
    const int64_t x = a[i], n = b[i];
    uint64_t power = 1, square = static_cast<uint64_t>(x);
    for (uint64_t k = n > 0 ? static_cast<uint64_t>(n) : 0; k; k >>= 1, square *= square)
      if (k & 1) power *= square;
    if (n < 0) power = x == 1 ? 1 : x == -1 ? (n & 1 ? -1 : 1) : 0;
    r[i] = static_cast<int64_t>(power);
  }
  return r;
}

// Of the larger, so that exp cannot overflow; equal infinities have no difference.
template <class V>
FASTNN_INLINE V logaddexp(V a, V b) {
  const V high = max(a, b), low = min(a, b);
  return (a == b) & (abs(a) == Elem<V>(__builtin_inff())) ? a : high + log1p_exp_capped(low - high);
}

MAP(exp, 1, 0, exp(a))
MAP(exp2, 1, 0, exp2(a))
MAP(expm1, 1, 0, expm1(a))
MAP(log, 1, 0, log(a))
MAP(log2, 1, 0, log2(a))
MAP(log10, 1, 0, log10(a))
MAP(log1p, 1, 0, log1p(a))
MAP(sin, 1, 0, sin(a))
MAP(cos, 1, 0, cos(a))
MAP(tan, 1, 0, tan(a))
MAP(sinh, 1, 0, sinh(a))
MAP(cosh, 1, 0, cosh(a))
MAP(tanh, 1, 0, tanh(a))
MAP(asin, 1, 0, asin(a))
MAP(acos, 1, 0, acos(a))
MAP(atan, 1, 0, atan(a))
MAP(asinh, 1, 0, asinh(a))
MAP(acosh, 1, 0, acosh(a))
MAP(atanh, 1, 0, atanh(a))
MAP(erf, 1, 0, erf(a))
MAP(erfc, 1, 0, erfc(a))
MAP(lgamma, 1, 0, lgamma(a))
MAP(sigmoid, 1, 0, sigmoid(a))
MAP(pow, 2, 0, pow(a, b))
MAP(atan2, 2, 0, atan2(a, b))
MAP(hypot, 2, 0, hypot(a, b))
MAP(logaddexp, 2, 0, logaddexp(a, b))
MAP(xlogy, 2, 0, (a == 0) & (b == b) ? V{} : a * log(b))

const MapEntry entries[] = {
    REAL(exp),   REAL(exp2),  REAL(expm1),     REAL(log),    REAL(log2),    REAL(log10),
    REAL(log1p), REAL(sin),   REAL(cos),       REAL(tan),    REAL(sinh),    REAL(cosh),
    REAL(tanh),  REAL(asin),  REAL(acos),      REAL(atan),   REAL(asinh),   REAL(acosh),
    REAL(atanh), REAL(erf),   REAL(erfc),      REAL(lgamma), REAL(sigmoid), BOTH(pow),
    REAL(atan2), REAL(hypot), REAL(logaddexp), REAL(xlogy),
};

FASTNN_CHECK_TABLE(entries, FASTNN_MAP_MATH);

const MapKernels kernels = {entries};

}  // namespace

const MapKernels* map_math_kernels() { return &kernels; }

}  // namespace fastnn::FASTNN_ISA_NS
