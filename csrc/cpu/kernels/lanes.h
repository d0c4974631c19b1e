// Lanes for kernels that slide windows along a row: loads that stop at the row's ends, and the
// split of a row into even and odd elements.
#pragma once

#include "cpu/kernels/vec.h"

namespace fastnn::FASTNN_ISA_NS {

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
  IntVec<T> mask;
#endif
};

// Where loads by masks cost more than others, blocks that need none are worth code of their own.
#if defined(__AVX512F__)
constexpr bool kMasksAreFree = true;
#else
constexpr bool kMasksAreFree = false;
#endif

// 0 <= lo, hi <= lanes; empty when hi <= lo.
template <class T>
FASTNN_INLINE LaneRange<T> lanes_between(int64_t lo, int64_t hi) {
#if defined(__AVX512F__)
  return {static_cast<__mmask16>(((1u << hi) - 1) & ~((1u << lo) - 1))};
#else
  const IntVec<T> lane = lane_numbers<T>();
  return {static_cast<int>(lo), static_cast<int>(hi),
          (lane >= static_cast<LaneInt<T>>(lo)) & (lane < static_cast<LaneInt<T>>(hi))};
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
template <class T>
FASTNN_INLINE bool all_lanes(const LaneRange<T>& r) {
#if defined(__AVX512F__)
  return r.mask == (1u << kLanes<T>)-1;
#else
  return r.lo == 0 && r.hi == kLanes<T>;
#endif
}

#if defined(__AVX512F__)
// v with p[i] in the lanes i of the mask; the memory of the others is not touched.
template <class T>
FASTNN_INLINE Vec<T> load_over(Vec<T> v, uint32_t mask, const T* p) {
  if constexpr (sizeof(T) == 4)
    return (Vec<T>)_mm512_mask_loadu_ps((__m512)v, static_cast<__mmask16>(mask), p);
  else
    return (Vec<T>)_mm512_mask_loadu_pd((__m512d)v, static_cast<__mmask8>(mask), p);
}
#endif

// p[i] in the lanes i of the range, `fill` in the others, whose memory is not touched.
template <class T>
FASTNN_INLINE Vec<T> load_range(const T* p, const LaneRange<T>& r, T fill) {
#if defined(__AVX512F__)
  return load_over(splat<T>(fill), r.mask, p);
#elif defined(__AVX2__)
  Vec<T> v;
  if constexpr (sizeof(T) == 4)
    v = (Vec<T>)_mm256_maskload_ps(p, (__m256i)r.mask);
  else
    v = (Vec<T>)_mm256_maskload_pd(p, (__m256i)r.mask);
  if (__builtin_constant_p(fill == 0) && fill == 0) return v;  // as masked loads leave them
  return r.mask ? v : splat<T>(fill);
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

#if !defined(__AVX512F__)
// At most 8 bytes, the first lowest. Loads and stores that overlap, as a loop of bytes would become
// a call of memcpy.
FASTNN_INLINE uint64_t load_bytes(const uint8_t* p, int64_t n) {
  uint64_t low = 0, high = 0;
  if (n >= 8) {
    memcpy(&low, p, 8);
  } else if (n >= 4) {
    memcpy(&low, p, 4);
    memcpy(&high, p + n - 4, 4);
    low |= high << 8 * (n - 4);
  } else if (n >= 2) {
    memcpy(&low, p, 2);
    memcpy(&high, p + n - 2, 2);
    low |= high << 8 * (n - 2);
  } else if (n == 1) {
    low = *p;
  }
  return low;
}
FASTNN_INLINE void store_bytes(uint8_t* p, uint64_t bytes, int64_t n) {
  if (n >= 8) {
    memcpy(p, &bytes, 8);
  } else if (n >= 4) {
    const uint64_t last = bytes >> 8 * (n - 4);
    memcpy(p, &bytes, 4);
    memcpy(p + n - 4, &last, 4);
  } else {
    for (int64_t i = 0; i < n; ++i, bytes >>= 8) p[i] = static_cast<uint8_t>(bytes);
  }
}
#endif

// The bytes p[i] for lanes i of a range, anything in the others, whose memory is not touched.
template <class T>
FASTNN_INLINE IntVec<T> widen_bytes(const uint8_t* p, const LaneRange<T>& r) {
#if defined(__AVX512F__)
  const __m128i bytes = _mm_maskz_loadu_epi8(r.mask, p);
  if constexpr (sizeof(T) == 4)
    return (IntVec<T>)_mm512_cvtepu8_epi32(bytes);
  else
    return (IntVec<T>)_mm512_cvtepu8_epi64(bytes);
#else
  if (all_lanes<T>(r)) return widen_bytes<T>(p);
  if (!any_lane<T>(r)) return IntVec<T>{};
  uint8_t bytes[8];
  const uint64_t some = load_bytes(p + r.lo, r.hi - r.lo) << 8 * r.lo;
  memcpy(bytes, &some, 8);
  return widen_bytes<T>(bytes);
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
#elif defined(__AVX2__)
  __m128i low = _mm256_castsi256_si128((__m256i)v), high = _mm256_extracti128_si256((__m256i)v, 1);
  if constexpr (sizeof(T) == 8)  // the low halves of all four
    low = high =
        _mm_castps_si128(_mm_shuffle_ps(_mm_castsi128_ps(low), _mm_castsi128_ps(high), 0x88));
  const __m128i words = _mm_packs_epi32(low, high);
  store_bytes(p, static_cast<uint64_t>(_mm_cvtsi128_si64(_mm_packus_epi16(words, words))), n);
#else
  LaneInt<T> lane[kLanes<T>];
  memcpy(lane, &v, sizeof v);
  for (int64_t i = 0; i < n; ++i) p[i] = static_cast<uint8_t>(lane[i]);
#endif
}

template <class V>
FASTNN_INLINE bool any_negative(V v) {
#if defined(__AVX512F__)
  if constexpr (sizeof(v[0]) == 4)
    return _mm512_movepi32_mask((__m512i)v) != 0;
  else
    return _mm512_movepi64_mask((__m512i)v) != 0;
#elif defined(__AVX2__)
  if constexpr (sizeof(v[0]) == 4)
    return _mm256_movemask_ps((__m256)v) != 0;
  else
    return _mm256_movemask_pd((__m256d)v) != 0;
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
// The same of runs of kRun elements.
template <class T, int kRun, int kFirst, int... I>
FASTNN_INLINE Vec<T> pick_runs(Vec<T> a, Vec<T> b, LaneList<I...>) {
  return __builtin_shufflevector(a, b, (kFirst * kRun + I / kRun * 2 * kRun + I % kRun)...);
}
template <class T, int kRun>
FASTNN_INLINE Vec<T> even_runs(Vec<T> a, Vec<T> b) {
  return pick_runs<T, kRun, 0>(a, b, AllLanes<T>{});
}
template <class T, int kRun>
FASTNN_INLINE Vec<T> odd_runs(Vec<T> a, Vec<T> b) {
  return pick_runs<T, kRun, 1>(a, b, AllLanes<T>{});
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
