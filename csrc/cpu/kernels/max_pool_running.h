// The running maximum of one vector of windows, and its place in them.
#pragma once

#include "cpu/kernels/lanes.h"
#include "cpu/kernels/max_pool.h"
#include "cpu/kernels/pool_3x3.h"

namespace fastnn::FASTNN_ISA_NS {
namespace {

constexpr float kFloatLowest = -__builtin_inff();
constexpr int64_t kMostTaps = 256;  // elements of a window along one axis

template <class T, bool kIndex>
struct Running {
  Vec<T> value;
  IntVec<T> place;  // in the window

  __attribute__((always_inline)) void start(int64_t first) {
    value = splat<T>(static_cast<T>(kFloatLowest));
    place = IntVec<T>{} + static_cast<LaneInt<T>>(first);
  }

  // A NaN replaces everything, and nothing but a NaN replaces it.
  __attribute__((always_inline)) void see(Vec<T> x, int64_t at) {
    if constexpr (!kIndex) {
      value = max(value, x);
    } else {
      const IntVec<T> here = IntVec<T>{} + static_cast<LaneInt<T>>(at);
#if defined(__AVX512F__)
      if constexpr (sizeof(T) == 4) {
        const __mmask16 wins = _mm512_cmp_ps_mask((__m512)x, (__m512)value, _CMP_GT_OQ) |
                               _mm512_cmp_ps_mask((__m512)x, (__m512)x, _CMP_UNORD_Q);
        value = (Vec<T>)_mm512_mask_mov_ps((__m512)value, wins, (__m512)x);
        place = (IntVec<T>)_mm512_mask_mov_epi32((__m512i)place, wins, (__m512i)here);
      } else {
        const __mmask8 wins = _mm512_cmp_pd_mask((__m512d)x, (__m512d)value, _CMP_GT_OQ) |
                              _mm512_cmp_pd_mask((__m512d)x, (__m512d)x, _CMP_UNORD_Q);
        value = (Vec<T>)_mm512_mask_mov_pd((__m512d)value, wins, (__m512d)x);
        place = (IntVec<T>)_mm512_mask_mov_epi64((__m512i)place, wins, (__m512i)here);
      }
#else
      const IntVec<T> wins = (x > value) | (x != x);
      value = wins ? x : value;
      place = wins ? here : place;
#endif
    }
  }
};

}  // namespace
}  // namespace fastnn::FASTNN_ISA_NS
