// The vector types of vec.h, and their loads and stores with tails.
#pragma once

#include <stdint.h>
#include <string.h>

#include "fastnn/dtype.h"

#ifdef FASTNN_X86
#include <immintrin.h>
#endif

#define FASTNN_INLINE static inline __attribute__((always_inline))

namespace fastnn::FASTNN_ISA_NS {

#if defined(__AVX512F__)
constexpr int kVecBytes = 64;
#elif defined(__AVX2__)
constexpr int kVecBytes = 32;
#else
constexpr int kVecBytes = 16;
#endif

template <class T>
struct VecOf {
  typedef T type __attribute__((vector_size(kVecBytes)));
};
template <class T>
using Vec = typename VecOf<T>::type;
template <class T>
constexpr int kLanes = kVecBytes / static_cast<int>(sizeof(T));

using vf = Vec<float>;
using vd = Vec<double>;
using vi = Vec<int32_t>;                                          // also the mask of vf
using vl = Vec<int64_t>;                                          // also the mask of vd
typedef uint16_t vh __attribute__((vector_size(kVecBytes / 2)));  // as many as vf has lanes

template <class V>
struct ElemOf {
  typedef __typeof__(V{}[0] + V{}[0]) type;
};
template <class V>
using Elem = typename ElemOf<V>::type;

// ---- Loads and stores, at any alignment -------------------------------------------------------

template <class T>
FASTNN_INLINE Vec<T> load(const T* p) {
  Vec<T> v;
  memcpy(&v, p, sizeof v);
  return v;
}

template <class T>
FASTNN_INLINE void store(T* p, Vec<T> v) {
  memcpy(p, &v, sizeof v);
}

template <class T>
FASTNN_INLINE Vec<T> splat(T x) {
  return Vec<T>{} + x;
}
// -0.0 + 0 would lose its sign.
template <>
inline __attribute__((always_inline)) Vec<float> splat<float>(float x) {
  return x - Vec<float>{};
}
template <>
inline __attribute__((always_inline)) Vec<double> splat<double>(double x) {
  return x - Vec<double>{};
}

// The first n lanes (0 <= n < lanes); the others are zero, and their memory is not touched.
template <class T>
FASTNN_INLINE Vec<T> load_n(const T* p, int64_t n) {
  Vec<T> v{};
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4) {
    const __m512i r = _mm512_maskz_loadu_epi32(static_cast<__mmask16>((1u << n) - 1), p);
    memcpy(&v, &r, sizeof v);
    return v;
  } else if constexpr (sizeof(T) == 8) {
    const __m512i r = _mm512_maskz_loadu_epi64(static_cast<__mmask8>((1u << n) - 1), p);
    memcpy(&v, &r, sizeof v);
    return v;
  }
#elif defined(__AVX2__)
  if constexpr (sizeof(T) == 4) {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    const __m256i mask = _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)), lane);
    const __m256i r = _mm256_maskload_epi32(reinterpret_cast<const int*>(p), mask);
    memcpy(&v, &r, sizeof v);
    return v;
  }
#endif
  T buffer[kLanes<T>] = {};
  for (int64_t i = 0; i < n; ++i) buffer[i] = p[i];
  memcpy(&v, buffer, sizeof v);
  return v;
}

template <class T>
FASTNN_INLINE void store_n(T* p, Vec<T> v, int64_t n) {
#if defined(__AVX512F__)
  __m512i r;
  memcpy(&r, &v, sizeof r);
  if constexpr (sizeof(T) == 4)
    return _mm512_mask_storeu_epi32(p, static_cast<__mmask16>((1u << n) - 1), r);
  else if constexpr (sizeof(T) == 8)
    return _mm512_mask_storeu_epi64(p, static_cast<__mmask8>((1u << n) - 1), r);
#elif defined(__AVX2__)
  // By halves: masked stores are slow on some CPUs, and a call of memcpy, which a loop becomes,
  // keeps the sums of a whole kernel out of the registers.
  if constexpr (sizeof(T) >= 4) {
    __m256i all;
    memcpy(&all, &v, sizeof all);
    if (n >= kLanes<T>) return _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), all);
    const auto bytes = static_cast<uint64_t>(n) * sizeof(T);
    char* to = reinterpret_cast<char*>(p);
    __m128i rest = _mm256_castsi256_si128(all);
    if (bytes & 16) {
      _mm_storeu_si128(reinterpret_cast<__m128i*>(to), rest);
      rest = _mm256_extracti128_si256(all, 1);
      to += 16;
    }
    if (bytes & 8) {
      _mm_storel_epi64(reinterpret_cast<__m128i*>(to), rest);
      rest = _mm_unpackhi_epi64(rest, rest);
      to += 8;
    }
    if (bytes & 4) _mm_storeu_si32(to, rest);
    return;
  }
#endif
  T buffer[kLanes<T>];
  memcpy(buffer, &v, sizeof v);
  for (int64_t i = 0; i < n; ++i) p[i] = buffer[i];
}

}  // namespace fastnn::FASTNN_ISA_NS
