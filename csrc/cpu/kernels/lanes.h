// Lanes for kernels that slide windows along a row: loads that stop at the row's ends, and the
// split of a row into even and odd elements.
#pragma once

#include "cpu/kernels/vec.h"

namespace fastnn::FASTNN_ISA_NS {

// The integer vector that goes with T: masks, and positions.
template <class T>
struct LaneIntOf {
  typedef int32_t type;
};
template <>
struct LaneIntOf<double> {
  typedef int64_t type;
};
template <class T>
using LaneInt = typename LaneIntOf<T>::type;
template <class T>
using IntVec = Vec<LaneInt<T>>;

FASTNN_INLINE int64_t at_least(int64_t a, int64_t least) { return a < least ? least : a; }
FASTNN_INLINE int64_t at_most(int64_t a, int64_t most) { return a > most ? most : a; }
FASTNN_INLINE int64_t clamp_lane(int64_t a, int64_t lanes) {
  return at_most(at_least(a, 0), lanes);
}

// Lanes lo .. hi of a vector, made once and used for many rows.
template <class T>
struct LaneRange {
#if defined(__AVX512F__)
  __mmask16 mask;
#else
  int lo, hi;
#endif
};

// 0 <= lo, hi <= lanes; empty when hi <= lo.
template <class T>
FASTNN_INLINE LaneRange<T> lanes_between(int64_t lo, int64_t hi) {
#if defined(__AVX512F__)
  return {static_cast<__mmask16>(((1u << hi) - 1) & ~((1u << lo) - 1))};
#else
  return {static_cast<int>(lo), static_cast<int>(hi)};
#endif
}

// The lanes for which column, column + 1, ... lies in a row of `size` elements.
template <class T>
FASTNN_INLINE LaneRange<T> lanes_inside(int64_t column, int64_t size) {
  return lanes_between<T>(clamp_lane(-column, kLanes<T>), clamp_lane(size - column, kLanes<T>));
}

template <class T>
FASTNN_INLINE bool any_lane(const LaneRange<T>& r) {
#if defined(__AVX512F__)
  return r.mask != 0;
#else
  return r.lo < r.hi;
#endif
}

// p[i] in the lanes i of the range, `fill` in the others, whose memory is not touched.
template <class T>
FASTNN_INLINE Vec<T> load_range(const T* p, const LaneRange<T>& r, T fill) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4)
    return (Vec<T>)_mm512_mask_loadu_ps((__m512)splat<T>(fill), r.mask, p);
  else
    return (Vec<T>)_mm512_mask_loadu_pd((__m512d)splat<T>(fill), static_cast<__mmask8>(r.mask), p);
#elif defined(__AVX2__)
  if constexpr (sizeof(T) == 4) {
    const vi lane = {0, 1, 2, 3, 4, 5, 6, 7};
    const vi mask = (lane >= r.lo) & (lane < r.hi);
    const vf v = (vf)_mm256_maskload_ps(p, (__m256i)mask);
    return mask ? v : splat<T>(fill);
  } else {
    const vl lane = {0, 1, 2, 3};
    const vl mask = (lane >= r.lo) & (lane < r.hi);
    const vd v = (vd)_mm256_maskload_pd(p, (__m256i)mask);
    return mask ? v : splat<T>(fill);
  }
#else
  T lane[kLanes<T>];
  for (int64_t i = 0; i < kLanes<T>; ++i) lane[i] = i >= r.lo && i < r.hi ? p[i] : fill;
  return load(lane);
#endif
}

// Any n <= lanes.
template <class T>
FASTNN_INLINE void store_some(T* p, Vec<T> v, int64_t n) {
  if (n >= kLanes<T>)
    store(p, v);
  else
    store_n(p, v, n);
}

// ---- Bytes: as many as T has lanes -----------------------------------------------------------

template <class T>
FASTNN_INLINE IntVec<T> widen_bytes(const uint8_t* p) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4)
    return (IntVec<T>)_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  else
    return (IntVec<T>)_mm512_cvtepu8_epi64(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
#elif defined(__AVX2__)
  if constexpr (sizeof(T) == 4)
    return (IntVec<T>)_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
  else
    return (IntVec<T>)_mm256_cvtepu8_epi64(_mm_loadu_si32(p));
#else
  LaneInt<T> lane[kLanes<T>];
  for (int i = 0; i < kLanes<T>; ++i) lane[i] = p[i];
  return load(lane);
#endif
}

// n <= lanes bytes from integers in 0..255.
template <class T>
FASTNN_INLINE void store_bytes(uint8_t* p, IntVec<T> v, int64_t n) {
#if defined(__AVX512F__)
  // Narrowed in a register: the instruction's form that stores to memory is slow.
  const __mmask16 mask = static_cast<__mmask16>((1u << n) - 1);
  if constexpr (sizeof(T) == 4)
    _mm_mask_storeu_epi8(p, mask, _mm512_maskz_cvtepi32_epi8(mask, (__m512i)v));
  else
    _mm_mask_storeu_epi8(p, mask,
                         _mm512_maskz_cvtepi64_epi8(static_cast<__mmask8>(mask), (__m512i)v));
  return;
#elif defined(__AVX2__)
  if constexpr (sizeof(T) == 4)
    if (n == kLanes<T>) {
      const __m128i low = _mm256_castsi256_si128((__m256i)v),
                    high = _mm256_extracti128_si256((__m256i)v, 1);
      const __m128i words = _mm_packs_epi32(low, high);
      return _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_packus_epi16(words, words));
    }
#endif
  LaneInt<T> lane[kLanes<T>];
  memcpy(lane, &v, sizeof v);
  for (int64_t i = 0; i < n; ++i) p[i] = static_cast<uint8_t>(lane[i]);
}

template <class V>
FASTNN_INLINE bool any_negative(V v) {
#if defined(__AVX512F__)
  if constexpr (sizeof(v[0]) == 4)
    return _mm512_movepi32_mask((__m512i)v) != 0;
  else
    return _mm512_movepi64_mask((__m512i)v) != 0;
#else
  int64_t word[sizeof(V) / 8], all = 0;
  memcpy(word, &v, sizeof v);
  for (const int64_t w : word) all |= w;
  const int64_t signs = sizeof(v[0]) == 4 ? static_cast<int64_t>(0x8000000080000000u) : INT64_MIN;
  return (all & signs) != 0;
#endif
}

// ---- Sums
// ----------------------------------------------------------------------------------------

template <class T, int kCount>
struct ShortVec {
  typedef T type __attribute__((vector_size(kCount * sizeof(T))));
};

// The tree of sum_lanes, without leaving the registers.
template <class T, int kCount>
FASTNN_INLINE T sum_halves(typename ShortVec<T, kCount>::type v) {
  if constexpr (kCount == 1) {
    return v[0];
  } else {
    typename ShortVec<T, kCount / 2>::type low, high;
    memcpy(&low, &v, sizeof low);
    memcpy(&high, reinterpret_cast<const char*>(&v) + sizeof low, sizeof high);
    return sum_halves<T, kCount / 2>(low + high);
  }
}

// ---- Even and odd ----------------------------------------------------------------------------

template <int... I>
struct LaneList {};
template <int kCount, int... I>
struct CountLanes {
  typedef typename CountLanes<kCount - 1, kCount - 1, I...>::type type;
};
template <int... I>
struct CountLanes<0, I...> {
  typedef LaneList<I...> type;
};

// Lanes first, first + step, ... of a, then b, as if they were one; with zip, in turn of a and of
// b.
template <class T, int kFirst, int kStep, bool kZip, int... I>
FASTNN_INLINE Vec<T> pick_lanes(Vec<T> a, Vec<T> b, LaneList<I...>) {
  constexpr int n = kLanes<T>;
  return __builtin_shufflevector(
      a, b, (kZip ? kFirst + I / 2 * kStep + I % 2 * n : kFirst + I * kStep)...);
}
template <class T>
using AllLanes = typename CountLanes<kLanes<T>>::type;

// Of the 2 * lanes elements in a, b: those at even, and at odd, places.
template <class T>
FASTNN_INLINE Vec<T> even_lanes(Vec<T> a, Vec<T> b) {
  return pick_lanes<T, 0, 2, false>(a, b, AllLanes<T>{});
}
template <class T>
FASTNN_INLINE Vec<T> odd_lanes(Vec<T> a, Vec<T> b) {
  return pick_lanes<T, 1, 2, false>(a, b, AllLanes<T>{});
}
// a0 b0 a1 b1 ...: the first and the second half.
template <class T>
FASTNN_INLINE Vec<T> zip_low(Vec<T> a, Vec<T> b) {
  return pick_lanes<T, 0, 1, true>(a, b, AllLanes<T>{});
}
template <class T>
FASTNN_INLINE Vec<T> zip_high(Vec<T> a, Vec<T> b) {
  return pick_lanes<T, kLanes<T> / 2, 1, true>(a, b, AllLanes<T>{});
}

// p[2 * i] = v[i] for i < n; what lies between is not touched.
template <class T>
FASTNN_INLINE void store_every_other(T* p, Vec<T> v, int n) {
#if defined(__AVX512F__)
  constexpr int L = kLanes<T>;
  const uint32_t mask = 0x55555555u & static_cast<uint32_t>((uint64_t{1} << 2 * n) - 1);
  const Vec<T> low = zip_low<T>(v, v), high = zip_high<T>(v, v);
  if constexpr (sizeof(T) == 4) {
    _mm512_mask_storeu_ps(p, static_cast<__mmask16>(mask), (__m512)low);
    _mm512_mask_storeu_ps(p + L, static_cast<__mmask16>(mask >> L), (__m512)high);
  } else {
    _mm512_mask_storeu_pd(p, static_cast<__mmask8>(mask), (__m512d)low);
    _mm512_mask_storeu_pd(p + L, static_cast<__mmask8>(mask >> L), (__m512d)high);
  }
#else
  for (int i = 0; i < n; ++i) p[2 * i] = v[i];
#endif
}

}  // namespace fastnn::FASTNN_ISA_NS
