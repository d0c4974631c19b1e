// Arithmetic, comparisons, rounding and selection.
#include "cpu/kernels/map_inl.h"

namespace fastnn::FASTNN_ISA_NS {
// ---- Where floats and integers differ ---------------------------------------------------------

FASTNN_INLINE vl abs(vl v) { return v < 0 ? -v : v; }
FASTNN_INLINE vl min(vl a, vl b) { return a < b ? a : b; }
FASTNN_INLINE vl max(vl a, vl b) { return a > b ? a : b; }
FASTNN_INLINE vl floor(vl v) { return v; }
FASTNN_INLINE vl ceil(vl v) { return v; }
FASTNN_INLINE vl trunc(vl v) { return v; }
FASTNN_INLINE vl round_even(vl v) { return v; }

namespace {

// ---- Division of floats in Python's and C's ways: lane by lane, as they are rare --------------

template <class T>
T fmod_of(T a, T b) {
  if constexpr (sizeof(T) == 4)
    return __builtin_fmodf(a, b);
  else
    return __builtin_fmod(a, b);
}

template <class T>
T remainder_of(T a, T b) {
  const T m = fmod_of(a, b);
  return m != 0 && (b < 0) != (m < 0) ? m + b : m;
}

template <class T>
T floor_divide_of(T a, T b) {
  if (b == 0) return a / b;
  const T m = fmod_of(a, b);
  T quotient = (a - m) / b;
  if (m != 0 && (b < 0) != (m < 0)) quotient -= 1;
  if (quotient == 0) return __builtin_copysign(T(0), a / b);
  const T whole = sizeof(T) == 4 ? T(__builtin_floorf(quotient)) : T(__builtin_floor(quotient));
  return quotient - whole > T(0.5) ? whole + 1 : whole;
}

// Integers: the driver refuses a divisor of 0; INT64_MIN / -1 wraps, like every other overflow.
int64_t trunc_divide_of(int64_t a, int64_t b) {
  return b == -1 ? static_cast<int64_t>(-static_cast<uint64_t>(a)) : b == 0 ? 0 : a / b;
}
int64_t fmod_of(int64_t a, int64_t b) { return b == -1 || b == 0 ? 0 : a % b; }
int64_t remainder_of(int64_t a, int64_t b) {
  const int64_t m = fmod_of(a, b);
  return m != 0 && (b < 0) != (m < 0) ? m + b : m;
}
int64_t floor_divide_of(int64_t a, int64_t b) {
  const int64_t m = fmod_of(a, b);
  return trunc_divide_of(a, b) - (m != 0 && (b < 0) != (m < 0));
}

template <class V, class F>
FASTNN_INLINE V by_lane(V a, V b, F f) {
  V r{};
  for (int i = 0; i < kLanes<Elem<V>>; ++i) r[i] = f(a[i], b[i]);
  return r;
}

template <class V>
FASTNN_INLINE V scaled_sum(V a, V b, V factor) {
  if constexpr (sizeof(Elem<V>) == 8 && Elem<V>(0.5) == 0)
    return a + b * factor;
  else
    return fma(b, factor, a);
}

template <class V>
FASTNN_INLINE auto is_inf(V v) {
  return abs(v) == Elem<V>(__builtin_inff());
}

MAP(add, 2, 0, a + b)
MAP(add_scaled, 2, 1, scaled_sum(a, b, p0))
MAP(sub, 2, 0, a - b)
MAP(sub_scaled, 2, 1, scaled_sum(a, b, -p0))
MAP(mul, 2, 0, a* b)
MAP(div, 2, 0, a / b)
MAP(floor_divide, 2, 0, by_lane(a, b, [](T x, T y) { return floor_divide_of(x, y); }))
MAP(trunc_divide, 2, 0, trunc(a / b))
MAP(trunc_divide_int, 2, 0, by_lane(a, b, [](T x, T y) { return trunc_divide_of(x, y); }))
MAP(fmod, 2, 0, by_lane(a, b, [](T x, T y) { return fmod_of(x, y); }))
MAP(remainder, 2, 0, by_lane(a, b, [](T x, T y) { return remainder_of(x, y); }))
MAP(maximum, 2, 0, max(a, b))
MAP(minimum, 2, 0, min(a, b))
MAP(fmax, 2, 0, b != b ? a : (a < b ? b : (a != a ? b : a)))
MAP(fmin, 2, 0, b != b ? a : (a > b ? b : (a != a ? b : a)))

MAP_TEST(eq, 2, a == b)
MAP_TEST(ne, 2, a != b)
MAP_TEST(lt, 2, a < b)
MAP_TEST(le, 2, a <= b)
MAP_TEST(gt, 2, a > b)
MAP_TEST(ge, 2, a >= b)
MAP_TEST(logical_and, 2, (a != 0) & (b != 0))
MAP_TEST(logical_or, 2, (a != 0) | (b != 0))
MAP_TEST(logical_xor, 2, (a != 0) ^ (b != 0))
MAP_TEST(logical_not, 1, a == 0)
MAP_TEST(isnan, 1, a != a)
MAP_TEST(isinf, 1, is_inf(a))
MAP_TEST(isfinite, 1, abs(a) < Elem<V>(__builtin_inff()))
MAP_TEST(signbit, 1, bits(a) < 0)
MAP_TEST(signbit_int, 1, a < 0)

MAP(bitwise_and, 2, 0, a& b)
MAP(bitwise_or, 2, 0, a | b)
MAP(bitwise_xor, 2, 0, a ^ b)
MAP(bitwise_not, 1, 0, ~a)

MAP(copy, 1, 0, a)
MAP(neg, 1, 0, -a)
MAP(abs, 1, 0, abs(a))
MAP(sign, 1, 0, a > 0 ? V{} + 1 : (a < 0 ? V{} - 1 : (a != a ? a : V{})))
MAP(square, 1, 0, a* a)
MAP(floor, 1, 0, floor(a))
MAP(ceil, 1, 0, ceil(a))
MAP(round, 1, 0, round_even(a))
MAP(trunc, 1, 0, trunc(a))
MAP(frac, 1, 0, a - trunc(a))
MAP(sqrt, 1, 0, sqrt(a))
MAP(rsqrt, 1, 0, 1 / sqrt(a))
MAP(reciprocal, 1, 0, 1 / a)
// Parameters: what NaN, infinity and minus infinity become.
MAP(nan_to_num, 1, 3, a != a ? p0 : (is_inf(a) ? (a > 0 ? p1 : p2) : a))
MAP(where, 3, 0, a != 0 ? b : c)
MAP(addcmul, 3, 1, a + p0 * (b * c))
MAP(addcdiv, 3, 1, a + p0 * (b / c))
// From the end that is nearer, so that weights of 0 and 1 give the ends exactly.
MAP(lerp, 3, 0, abs(c) < T(0.5) ? a + c * (b - a) : b - (b - a) * (1 - c))
MAP(clamp, 3, 0, min(max(a, b), c))

#define INTEGER(name)                            \
  {                                              \
    {                                            \
      nullptr, nullptr, map<int64_t, name##_map> \
    }                                            \
  }
#define SPLIT(name)                                                                 \
  {                                                                                 \
    {                                                                               \
      map<float, name##_map>, map<double, name##_map>, map<int64_t, name##_int_map> \
    }                                                                               \
  }

const MapEntry entries[] = {
    BOTH(add),
    BOTH(add_scaled),
    BOTH(sub),
    BOTH(sub_scaled),
    BOTH(mul),
    REAL(div),
    BOTH(floor_divide),
    SPLIT(trunc_divide),
    BOTH(fmod),
    BOTH(remainder),
    BOTH(maximum),
    BOTH(minimum),
    BOTH(fmax),
    BOTH(fmin),
    BOTH(eq),
    BOTH(ne),
    BOTH(lt),
    BOTH(le),
    BOTH(gt),
    BOTH(ge),
    BOTH(logical_and),
    BOTH(logical_or),
    BOTH(logical_xor),
    BOTH(logical_not),
    REAL(isnan),
    REAL(isinf),
    REAL(isfinite),
    SPLIT(signbit),
    INTEGER(bitwise_and),
    INTEGER(bitwise_or),
    INTEGER(bitwise_xor),
    INTEGER(bitwise_not),
    BOTH(copy),
    BOTH(neg),
    BOTH(abs),
    BOTH(sign),
    BOTH(square),
    BOTH(floor),
    BOTH(ceil),
    BOTH(round),
    BOTH(trunc),
    BOTH(frac),
    REAL(sqrt),
    REAL(rsqrt),
    REAL(reciprocal),
    REAL(nan_to_num),
    BOTH(where),
    BOTH(addcmul),
    REAL(addcdiv),
    REAL(lerp),
    BOTH(clamp),
};

FASTNN_CHECK_TABLE(entries, FASTNN_MAP_BASIC);

const MapKernels kernels = {entries};

}  // namespace

const MapKernels* map_basic_kernels() { return &kernels; }

}  // namespace fastnn::FASTNN_ISA_NS
