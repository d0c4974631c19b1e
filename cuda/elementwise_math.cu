// Transcendental functions, by CUDA's (the shim: the C library's) accurate versions.
#include "common/map.h"

namespace fastnn::cuda {

namespace {

// Wraps; a negative exponent gives the truncated value, as 1 / x^-n would.
__device__ int64_t integer_power(int64_t x, int64_t n) {
  if (n < 0) return x == 1 ? 1 : x == -1 ? (n & 1 ? -1 : 1) : 0;
  uint64_t power = 1, square = static_cast<uint64_t>(x);
  for (auto k = static_cast<uint64_t>(n); k; k >>= 1, square *= square)
    if (k & 1) power *= square;
  return static_cast<int64_t>(power);
}

// Of the larger, so that exp cannot overflow; equal infinities have no difference.
template <class T>
__device__ __forceinline__ T logaddexp_of(T a, T b) {
  const T high = math::max(a, b), low = math::min(a, b);
  return a == b && math::abs(a) == math::infinity<T>() ? a
                                                       : high + math::log1p(math::exp(low - high));
}

MAP(exp, 1, 0, math::exp(a))
MAP(exp2, 1, 0, math::exp2(a))
MAP(expm1, 1, 0, math::expm1(a))
MAP(log, 1, 0, math::log(a))
MAP(log2, 1, 0, math::log2(a))
MAP(log10, 1, 0, math::log10(a))
MAP(log1p, 1, 0, math::log1p(a))
MAP(sin, 1, 0, math::sin(a))
MAP(cos, 1, 0, math::cos(a))
MAP(tan, 1, 0, math::tan(a))
MAP(sinh, 1, 0, math::sinh(a))
MAP(cosh, 1, 0, math::cosh(a))
MAP(tanh, 1, 0, math::tanh(a))
MAP(asin, 1, 0, math::asin(a))
MAP(acos, 1, 0, math::acos(a))
MAP(atan, 1, 0, math::atan(a))
MAP(asinh, 1, 0, math::asinh(a))
MAP(acosh, 1, 0, math::acosh(a))
MAP(atanh, 1, 0, math::atanh(a))
MAP(erf, 1, 0, math::erf(a))
MAP(erfc, 1, 0, math::erfc(a))
MAP(lgamma, 1, 0, math::lgamma(a))
MAP(sigmoid, 1, 0, math::sigmoid(a))
MAP(pow, 2, 0, math::pow(a, b))
FASTNN_MAP_FORMULA(pow_int, 2, 0, integer_power(a, b))
MAP(atan2, 2, 0, math::atan2(a, b))
MAP(hypot, 2, 0, math::hypot(a, b))
MAP(logaddexp, 2, 0, logaddexp_of(a, b))
MAP(xlogy, 2, 0, a == 0 && b == b ? zero : a * math::log(b))

const MapKernels entries[] = {
    REAL(exp),
    REAL(exp2),
    REAL(expm1),
    REAL(log),
    REAL(log2),
    REAL(log10),
    REAL(log1p),
    REAL(sin),
    REAL(cos),
    REAL(tan),
    REAL(sinh),
    REAL(cosh),
    REAL(tanh),
    REAL(asin),
    REAL(acos),
    REAL(atan),
    REAL(asinh),
    REAL(acosh),
    REAL(atanh),
    REAL(erf),
    REAL(erfc),
    REAL(lgamma),
    REAL(sigmoid),
    {FASTNN_DENSE(pow),
     {strided_map<pow_map, float>, strided_map<pow_map, double>,
      strided_map<pow_int_map, int64_t>}},
    REAL(atan2),
    REAL(hypot),
    REAL(logaddexp),
    REAL(xlogy),
};

FASTNN_CHECK_TABLE(entries, FASTNN_MAP_MATH);

}  // namespace

const MapKernels* map_math_kernels() { return entries; }

}  // namespace fastnn::cuda
