// The commonest pooling by rows: windows of 2 x 2 at stride 2 without padding, whose elements
// belong to one window each.
#pragma once

#include "cpu/kernels/max_pool_running.h"

namespace fastnn::FASTNN_ISA_NS {
namespace {

FASTNN_INLINE bool halves(const PoolAxis& a) {
  return a.kernel == 2 && a.stride == 2 && a.padding == 0 && a.dilation == 1 && a.out == a.in / 2;
}

FASTNN_INLINE bool is_2x2(const PoolAxis& d, const PoolAxis& h, const PoolAxis& w) {
  return d.kernel == 1 && d.stride == 1 && d.padding == 0 && halves(h) && halves(w);
}

// Two vectors of consecutive elements; at a row's end only those in the ranges.
template <class T>
struct LanePair {
  LaneRange<T> low, high;
};

template <class T>
FASTNN_INLINE LanePair<T> first_lanes(int64_t count) {
  return {lanes_between<T>(0, at_most(count, kLanes<T>)),
          lanes_between<T>(0, clamp_lane(count - kLanes<T>, kLanes<T>))};
}

template <class T, bool kIndex, bool kTail>
FASTNN_INLINE void forward_2x2_block(const T* top, const T* bottom, const LanePair<T>& inside,
                                     int64_t n, T* y, uint8_t* index) {
  const auto get = [&](const T* p, const LaneRange<T>& r) __attribute__((always_inline)) {
    return kTail ? load_range<T>(p, r, T{0}) : load(p);
  };
  const Vec<T> a = get(top, inside.low), b = get(top + kLanes<T>, inside.high);
  const Vec<T> c = get(bottom, inside.low), d = get(bottom + kLanes<T>, inside.high);
  Running<T, kIndex> run;
  run.value = even_lanes<T>(a, b);
  run.place = IntVec<T>{};
  run.see(odd_lanes<T>(a, b), 1);
  run.see(even_lanes<T>(c, d), 2);
  run.see(odd_lanes<T>(c, d), 3);
  if constexpr (kTail)
    store_some<T>(y, run.value, n);
  else
    store(y, run.value);
  if constexpr (kIndex) store_bytes<T>(index, run.place, n);
}

template <class T, bool kIndex>
void rows_2x2(const MaxRows<T>& a) {
  constexpr int64_t n = kLanes<T>;
  const int64_t whole = a.w.out / n * n, rest = a.w.out - whole;
  const LanePair<T> inside = first_lanes<T>(2 * rest);
  int64_t od = a.first / a.h.out, oh = a.first % a.h.out;
  for (int64_t r = a.first; r < a.last; ++r) {
    const T* top = a.x + od * a.x_d + 2 * oh * a.x_h;
    const T* bottom = top + a.x_h;
    T* y = a.y + od * a.y_d + oh * a.y_h;
    uint8_t* index = kIndex ? a.index + od * a.index_d + oh * a.index_h : nullptr;
    for (int64_t o = 0; o < whole; o += n)
      forward_2x2_block<T, kIndex, false>(top + 2 * o, bottom + 2 * o, inside, n, y + o, index + o);
    if (rest)
      forward_2x2_block<T, kIndex, true>(top + 2 * whole, bottom + 2 * whole, inside, rest,
                                         y + whole, index + whole);
    if (++oh == a.h.out) oh = 0, ++od;
  }
}

// g where `place` was the maximum, 0 elsewhere.
template <class T>
FASTNN_INLINE Vec<T> won(Vec<T> g, const uint8_t* index, int64_t n, int64_t place) {
#if defined(__AVX512F__)
  const __m128i at = _mm_maskz_loadu_epi8(static_cast<__mmask16>((1u << n) - 1), index);
  const __mmask16 here = _mm_cmpeq_epi8_mask(at, _mm_set1_epi8(static_cast<char>(place)));
  if constexpr (sizeof(T) == 4)
    return (Vec<T>)_mm512_maskz_mov_ps(here, (__m512)g);
  else
    return (Vec<T>)_mm512_maskz_mov_pd(static_cast<__mmask8>(here), (__m512d)g);
#else
  uint8_t bytes[kLanes<T>] = {};
  if (n < kLanes<T>) {
    memcpy(bytes, index, static_cast<size_t>(n));
    index = bytes;
  }
  return widen_bytes<T>(index) == static_cast<LaneInt<T> >(place) ? g : Vec<T>{};
#endif
}

// The two rows of dx that belong to one row of n <= lanes outputs.
template <class T>
FASTNN_INLINE void backward_2x2_block(Vec<T> g, const uint8_t* index, int64_t n, int64_t left,
                                      T* top, T* bottom) {
  const Vec<T> a = won<T>(g, index, n, 0), b = won<T>(g, index, n, 1);
  const Vec<T> c = won<T>(g, index, n, 2), d = won<T>(g, index, n, 3);
  store_some<T>(top, zip_low<T>(a, b), at_most(left, kLanes<T>));
  store_some<T>(bottom, zip_low<T>(c, d), at_most(left, kLanes<T>));
  if (left <= kLanes<T>) return;
  store_some<T>(top + kLanes<T>, zip_high<T>(a, b), at_most(left - kLanes<T>, kLanes<T>));
  store_some<T>(bottom + kLanes<T>, zip_high<T>(c, d), at_most(left - kLanes<T>, kLanes<T>));
}

template <class T>
FASTNN_INLINE void backward_2x2_rows(const MaxRowsBackward<T>& a, int64_t id, int64_t oh) {
  constexpr int64_t n = kLanes<T>;
  const T* g = a.dy + id * a.dy_d + oh * a.dy_h;
  const uint8_t* index = a.index + id * a.index_d + oh * a.index_h;
  T* top = a.dx + id * a.dx_d + 2 * oh * a.dx_h;
  T* bottom = top + a.dx_h;
  int64_t o = 0;
  for (; o + n <= a.w.out; o += n)
    backward_2x2_block<T>(load(g + o), index + o, n, 2 * n, top + 2 * o, bottom + 2 * o);
  if (o < a.w.out)
    backward_2x2_block<T>(load_n(g + o, a.w.out - o), index + o, a.w.out - o, a.w.in - 2 * o,
                          top + 2 * o, bottom + 2 * o);
  else if (a.w.in % 2)
    top[a.w.in - 1] = bottom[a.w.in - 1] = 0;
}

// Calls one(r) for each row of dx that is not half of a pair: at the ends of the range and of odd
// planes.
template <class T, class F>
FASTNN_INLINE void rows_backward_2x2(const MaxRowsBackward<T>& a, F one) {
  for (int64_t r = a.first; r < a.last;) {
    const int64_t id = r / a.h.in, ih = r % a.h.in;
    if (ih % 2 == 0 && ih / 2 < a.h.out && r + 1 < a.last) {
      backward_2x2_rows(a, id, ih / 2);
      r += 2;
    } else {
      one(r++);
    }
  }
}

}  // namespace
}  // namespace fastnn::FASTNN_ISA_NS
