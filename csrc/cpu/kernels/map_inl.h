// The loop around every elementwise kernel, and the macros that define one by its formula.
#pragma once

#include "cpu/kernels/map.h"
#include "cpu/kernels/vecmath.h"
#include "fastnn/ops/map_list.h"

namespace fastnn::FASTNN_ISA_NS {

// Lanes of a mask as bools.
template <class T, class M>
FASTNN_INLINE void store_test(uint8_t* p, M mask) {
#if defined(__AVX512F__)
  __m512i m;
  memcpy(&m, &mask, sizeof m);
  if constexpr (sizeof(T) == 4) {
    const __m128i r = _mm_maskz_set1_epi8(_mm512_movepi32_mask(m), 1);
    memcpy(p, &r, sizeof r);
  } else {
    const int64_t r = _mm_cvtsi128_si64(_mm_maskz_set1_epi8(_mm512_movepi64_mask(m), 1));
    memcpy(p, &r, sizeof r);
  }
#else
  typedef uint8_t bytes __attribute__((vector_size(kLanes<T>)));
  const bytes r = __builtin_convertvector(mask, bytes) & 1;
  memcpy(p, &r, sizeof r);
#endif
}

template <class T>
FASTNN_INLINE Vec<T> splat_param(double p) {
  return splat(static_cast<T>(p));
}
template <>
inline __attribute__((always_inline)) Vec<int64_t> splat_param<int64_t>(double p) {
  const bool fits = p > -0x1p63 && p < 0x1p63;  // not NaN either
  return splat(fits ? static_cast<int64_t>(p) : INT64_MIN);
}

// Vectors whose formulas the compiler may interleave: none waits for the store of another.
constexpr int64_t kMapUnroll = 4;

template <class T, class F>
static void map(void* out_, const void* const* in, const int64_t* step, int64_t n,
                const double* params) {
  using V = Vec<T>;
  constexpr int64_t L = kLanes<T>;
  const V p0 = F::params > 0 ? splat_param<T>(params[0]) : V{};
  const V p1 = F::params > 1 ? splat_param<T>(params[1]) : V{};
  const V p2 = F::params > 2 ? splat_param<T>(params[2]) : V{};
  const T* a = static_cast<const T*>(in[0]);
  const T* b = static_cast<const T*>(F::arity > 1 ? in[1] : in[0]);
  const T* c = static_cast<const T*>(F::arity > 2 ? in[2] : in[0]);
  const int64_t mask_a = -step[0], mask_b = F::arity > 1 ? -step[1] : 0,
                mask_c = F::arity > 2 ? -step[2] : 0;

  const auto vector = [&](int64_t i) __attribute__((always_inline)) {
    const V va = load(a + (i & mask_a));
    const V vb = F::arity > 1 ? load(b + (i & mask_b)) : V{};
    const V vc = F::arity > 2 ? load(c + (i & mask_c)) : V{};
    return F::apply(va, vb, vc, p0, p1, p2);
  };
  const auto tail = [&](int64_t i) __attribute__((always_inline)) {
    const V va = load_n(a + (i & mask_a), n - i);
    const V vb = F::arity > 1 ? load_n(b + (i & mask_b), n - i) : V{};
    const V vc = F::arity > 2 ? load_n(c + (i & mask_c), n - i) : V{};
    return F::apply(va, vb, vc, p0, p1, p2);
  };

  int64_t i = 0;
  if constexpr (F::test) {
    uint8_t* out = static_cast<uint8_t*>(out_);
    for (; i + L <= n; i += L) store_test<T>(out + i, vector(i));
    if (i < n) {
      uint8_t lanes[L];
      store_test<T>(lanes, tail(i));
      for (int64_t k = 0; i < n; ++i, ++k) out[i] = lanes[k];
    }
  } else {
    T* out = static_cast<T*>(out_);
    for (; i + kMapUnroll * L <= n; i += kMapUnroll * L) {
      V v[kMapUnroll];
#pragma GCC unroll 4
      for (int64_t u = 0; u < kMapUnroll; ++u) v[u] = vector(i + u * L);
#pragma GCC unroll 4
      for (int64_t u = 0; u < kMapUnroll; ++u) store(out + i + u * L, v[u]);
    }
    for (; i + L <= n; i += L) store(out + i, vector(i));
    if (i < n) store_n(out + i, tail(i), n - i);
  }
}

// An op by its formula in vectors a, b, c (inputs) and p0, p1, p2 (parameters); T is the element
// type, V the vector.
#define FASTNN_MAP_FORMULA(name, arity_, params_, test_, ...)                                    \
  struct name##_map {                                                                            \
    static constexpr int arity = arity_, params = params_;                                       \
    static constexpr bool test = test_;                                                          \
    template <class V>                                                                           \
    static inline __attribute__((always_inline)) auto apply(                                     \
        [[maybe_unused]] V a, [[maybe_unused]] V b, [[maybe_unused]] V c, [[maybe_unused]] V p0, \
        [[maybe_unused]] V p1, [[maybe_unused]] V p2) {                                          \
      using T [[maybe_unused]] = Elem<V>;                                                        \
      __VA_ARGS__                                                                                \
    }                                                                                            \
  };
#define MAP(name, arity, params, ...) \
  FASTNN_MAP_FORMULA(name, arity, params, false, return __VA_ARGS__;)
#define MAP_TEST(name, arity, ...) FASTNN_MAP_FORMULA(name, arity, 0, true, return __VA_ARGS__;)

// Rows of the group's table: for floating point, or for integers too.
#define REAL(name)                                             \
  {                                                            \
    {                                                          \
      map<float, name##_map>, map<double, name##_map>, nullptr \
    }                                                          \
  }
#define BOTH(name)                                                              \
  {                                                                             \
    {                                                                           \
      map<float, name##_map>, map<double, name##_map>, map<int64_t, name##_map> \
    }                                                                           \
  }

// A table must have one row for each op of its list.
#define FASTNN_COUNT(name, arity, kind, params) +1
#define FASTNN_CHECK_TABLE(entries, LIST) \
  static_assert(sizeof(entries) / sizeof(entries[0]) == 0 LIST(FASTNN_COUNT))

}  // namespace fastnn::FASTNN_ISA_NS
