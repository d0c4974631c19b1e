// Some lanes of a vector: loads, stores and products that leave the others alone. (LaneRange in
// lanes.h does loads only, fills what it does not load, and is there at every level.)
#pragma once

#include "cpu/kernels/lanes.h"

namespace fastnn::FASTNN_ISA_NS {

#ifdef __AVX2__

template <class T>
struct LaneMask {
#if defined(__AVX512F__)
  uint32_t bits;
  explicit operator bool() const { return bits != 0; }
#else
  IntVec<T> lanes;  // all bits, or none
  explicit operator bool() const { return any_negative(lanes); }
#endif
};

// The lanes for which column, column + 1, ... lies in a row of `size` elements.
template <class T>
FASTNN_INLINE LaneMask<T> mask_inside(int64_t column, int64_t size) {
  constexpr int L = kLanes<T>;
#if defined(__AVX512F__)
  const int64_t from = column < 0 ? -column : 0, to = size - column;
  const uint32_t upper = to >= L ? ~0u : to <= 0 ? 0u : (1u << to) - 1;
  return {from >= L ? 0u : upper & (~0u << from)};
#else
  typedef LaneInt<T> Int;
  const Int from = static_cast<Int>(clamp_lane(-column, L)),
            to = static_cast<Int>(clamp_lane(size - column, L));
  const IntVec<T> lane = lane_numbers<T>();
  return {(lane >= from) & (lane < to)};
#endif
}

// 0 in the other lanes, whose memory is not touched.
template <class T>
FASTNN_INLINE Vec<T> load_where(LaneMask<T> mask, const T* p) {
#if defined(__AVX512F__)
  return load_over(Vec<T>{}, mask.bits, p);
#else
  if constexpr (sizeof(T) == 4)
    return (Vec<T>)_mm256_maskload_ps(p, (__m256i)mask.lanes);
  else
    return (Vec<T>)_mm256_maskload_pd(p, (__m256i)mask.lanes);
#endif
}

template <class T>
FASTNN_INLINE void store_where(LaneMask<T> mask, T* p, Vec<T> v) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4)
    _mm512_mask_storeu_ps(p, static_cast<__mmask16>(mask.bits), (__m512)v);
  else
    _mm512_mask_storeu_pd(p, static_cast<__mmask8>(mask.bits), (__m512d)v);
#else
  if constexpr (sizeof(T) == 4)
    _mm256_maskstore_ps(p, (__m256i)mask.lanes, (__m256)v);
  else
    _mm256_maskstore_pd(p, (__m256i)mask.lanes, (__m256d)v);
#endif
}

// acc + a b in the lanes of the mask; in the others, where b must be 0 and a may be anything, acc.
template <class T>
FASTNN_INLINE Vec<T> fma_where(LaneMask<T> mask, Vec<T> a, Vec<T> b, Vec<T> acc) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4)
    return (Vec<T>)_mm512_mask3_fmadd_ps((__m512)a, (__m512)b, (__m512)acc,
                                         static_cast<__mmask16>(mask.bits));
  else
    return (Vec<T>)_mm512_mask3_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)acc,
                                         static_cast<__mmask8>(mask.bits));
#else
  return fma((Vec<T>)((IntVec<T>)a & mask.lanes), b, acc);
#endif
}

#endif

}  // namespace fastnn::FASTNN_ISA_NS
