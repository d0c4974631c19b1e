// Maximum pooling over windows of 2 x 2.
#pragma once

#include "cpu/kernels/max_pool_running.h"
#include "cpu/kernels/pool_2x2.h"

namespace fastnn::FASTNN_ISA_NS {
namespace {

// The winner of each window.
template <class T, bool kIndex>
FASTNN_INLINE Running<T, kIndex> best_of(const Quad<T>& x) {
  Running<T, kIndex> run;
  run.value = x.at[0];
  run.place = IntVec<T>{};
  for (int64_t place = 1; place < 4; ++place) run.see(x.at[place], place);
  return run;
}

template <class T, bool kIndex, bool kTail>
FASTNN_INLINE void forward_2x2_block(const T* top, const T* bottom, const LanePair<T>& inside,
                                     int64_t n, T* y, uint8_t* index) {
  const auto run = best_of<T, kIndex>(load_quad<T, kTail>(top, bottom, inside));
  if constexpr (kTail)
    store_some<T>(y, run.value, n);
  else
    store(y, run.value);
  if constexpr (kIndex) store_bytes<T>(index, run.place, n);
}

// Rows that follow each other without gaps, kOut outputs to each: a vector takes as many rows as it
// has room for. Returns the first row that is left over.
template <class T, bool kIndex, int kOut>
int64_t short_rows_2x2(const MaxRows<T>& a) {
  constexpr int64_t n = kLanes<T>, rows = n / kOut;
  const T* x = a.x + a.first * 4 * kOut;
  int64_t r = a.first;
  for (; r + rows <= a.last; r += rows, x += 4 * n) {
    const Vec<T> v[] = {load(x), load(x + n), load(x + 2 * n), load(x + 3 * n)};
    const Vec<T> even[] = {even_lanes<T>(v[0], v[1]), even_lanes<T>(v[2], v[3])};
    const Vec<T> odd[] = {odd_lanes<T>(v[0], v[1]), odd_lanes<T>(v[2], v[3])};
    const auto run = best_of<T, kIndex>(
        {{even_runs<T, kOut>(even[0], even[1]), even_runs<T, kOut>(odd[0], odd[1]),
          odd_runs<T, kOut>(even[0], even[1]), odd_runs<T, kOut>(odd[0], odd[1])}});
    store(a.y + r * kOut, run.value);
    if constexpr (kIndex) store_bytes<T>(a.index + r * kOut, run.place, n);
  }
  return r;
}
template <class T, bool kIndex>
int64_t short_rows_2x2(const MaxRows<T>& a) {
  const int64_t out = a.w.out;
  const bool follow = a.x_h == 2 * out && a.y_h == out && (!kIndex || a.index_h == out);
  if (!follow || a.last > a.h.out) return a.first;
  if (out == 1) return short_rows_2x2<T, kIndex, 1>(a);
  if (out == 2) return short_rows_2x2<T, kIndex, 2>(a);
  if constexpr (kLanes<T> > 4)
    if (out == 4) return short_rows_2x2<T, kIndex, 4>(a);
  if constexpr (kLanes<T> > 8)
    if (out == 8) return short_rows_2x2<T, kIndex, 8>(a);
  return a.first;
}

template <class T, bool kIndex>
void rows_2x2(const MaxRows<T>& a) {
  const LanePair<T> inside = first_lanes<T>(2 * (a.w.out % kLanes<T>));
  const int64_t first = short_rows_2x2<T, kIndex>(a);
  int64_t od = first / a.h.out, oh = first % a.h.out;
  for (int64_t r = first; r < a.last; ++r) {
    const T* top = a.x + od * a.x_d + 2 * oh * a.x_h;
    const T* bottom = top + a.x_h;
    T* y = a.y + od * a.y_d + oh * a.y_h;
    uint8_t* index = kIndex ? a.index + od * a.index_d + oh * a.index_h : nullptr;
    for_outputs<T>(a.w.out, [&](int64_t o, int64_t n) __attribute__((always_inline)) {
      const T *here = top + 2 * o, *below = bottom + 2 * o;
      if (n == kLanes<T>)
        forward_2x2_block<T, kIndex, false>(here, below, inside, n, y + o, index + o);
      else
        forward_2x2_block<T, kIndex, true>(here, below, inside, n, y + o, index + o);
    });
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
  const IntVec<T> at =
      n == kLanes<T> ? widen_bytes<T>(index) : widen_bytes<T>(index, lanes_between<T>(0, n));
  return at == static_cast<LaneInt<T> >(place) ? g : Vec<T>{};
#endif
}

// The two rows of dx that belong to one row of n <= lanes outputs.
template <class T>
FASTNN_INLINE void backward_2x2_block(Vec<T> g, const uint8_t* index, int64_t n, int64_t left,
                                      T* top, T* bottom) {
  const Vec<T> a = won<T>(g, index, n, 0), b = won<T>(g, index, n, 1);
  const Vec<T> c = won<T>(g, index, n, 2), d = won<T>(g, index, n, 3);
  store_pair<T>(top, a, b, left);
  store_pair<T>(bottom, c, d, left);
}

template <class T>
FASTNN_INLINE void backward_2x2_rows(const MaxRowsBackward<T>& a, int64_t id, int64_t oh) {
  const T* g = a.dy + id * a.dy_d + oh * a.dy_h;
  const uint8_t* index = a.index + id * a.index_d + oh * a.index_h;
  T* top = a.dx + id * a.dx_d + 2 * oh * a.dx_h;
  T* bottom = top + a.dx_h;
  for_outputs<T>(a.w.out, [&](int64_t o, int64_t n) __attribute__((always_inline)) {
    const Vec<T> here = n == kLanes<T> ? load(g + o) : load_n(g + o, n);
    backward_2x2_block<T>(here, index + o, n, 2 * n, top + 2 * o, bottom + 2 * o);
  });
  if (a.w.in % 2) top[a.w.in - 1] = bottom[a.w.in - 1] = 0;
}

// ---- Channels-last ---------------------------------------------------------------------------

template <class T, bool kIndex>
void pixels_2x2(const MaxPixels<T>& a) {
  const T* top = a.x + a.od * a.x_d + 2 * a.oh * a.x_h;
  for (int64_t o = 0; o < a.w.out; ++o, top += 2 * a.x_w) {
    const T* bottom = top + a.x_h;
    for_channels<T>(a.channels, [&](int64_t c, int64_t n) __attribute__((always_inline)) {
      const auto get = [&](const T* p)
                           __attribute__((always_inline)) { return load_channels(p + c, n); };
      const auto run =
          best_of<T, kIndex>({{get(top), get(top + a.x_w), get(bottom), get(bottom + a.x_w)}});
      store_some<T>(a.y + o * a.y_w + c, run.value, n);
      if constexpr (kIndex) store_bytes<T>(a.index + o * a.index_w + c, run.place, n);
    });
  }
}

template <class T>
FASTNN_INLINE void clear_channels(T* p, int64_t channels) {
  for_channels<T>(channels, [&](int64_t c, int64_t n) __attribute__((always_inline)) {
    store_some<T>(p + c, Vec<T>{}, n);
  });
}

template <class T>
void pixels_backward_2x2(const MaxPixelsBackward<T>& a) {
  const int64_t oh = a.ih / 2, place = a.ih % 2 * 2;
  const int64_t pairs = oh < a.h.out ? a.w.out : 0;
  const T* g = a.dy + a.id * a.dy_d + oh * a.dy_h;
  const uint8_t* index = a.index + a.id * a.index_d + oh * a.index_h;
  T* dx = a.dx;
  for (int64_t o = 0; o < pairs; ++o, g += a.dy_w, index += a.index_w, dx += 2 * a.dx_w)
    for_channels<T>(a.channels, [&](int64_t c, int64_t n) __attribute__((always_inline)) {
      const Vec<T> here = load_channels(g + c, n);
      store_some<T>(dx + c, won<T>(here, index + c, n, place), n);
      store_some<T>(dx + a.dx_w + c, won<T>(here, index + c, n, place + 1), n);
    });
  for (int64_t i = 2 * pairs; i < a.w.in; ++i, dx += a.dx_w) clear_channels(dx, a.channels);
}

}  // namespace
}  // namespace fastnn::FASTNN_ISA_NS
