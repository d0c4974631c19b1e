// Backward of maximum pooling: every element of dx asks the outputs whose windows span it.
#pragma once

#include "cpu/kernels/max_pool_2x2.h"

namespace fastnn::FASTNN_ISA_NS {
namespace {

// sum += g where the index says that `place` was the maximum.
template <class T>
FASTNN_INLINE void add_won(Vec<T>& sum, const T* g, const uint8_t* index, int64_t place) {
#if defined(__AVX512F__)
  const __m128i here = _mm_set1_epi8(static_cast<char>(place));
  if constexpr (sizeof(T) == 4) {
    const __m128i at = _mm_loadu_si128(reinterpret_cast<const __m128i*>(index));
    sum = (Vec<T>)_mm512_mask_add_ps((__m512)sum, _mm_cmpeq_epi8_mask(at, here), (__m512)sum,
                                     (__m512)load(g));
  } else {
    const __m128i at = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(index));
    const __mmask8 won = static_cast<__mmask8>(_mm_cmpeq_epi8_mask(at, here));
    sum = (Vec<T>)_mm512_mask_add_pd((__m512d)sum, won, (__m512d)sum, (__m512d)load(g));
  }
#else
  const IntVec<T> won = widen_bytes<T>(index) == static_cast<LaneInt<T>>(place);
  sum += won ? load(g) : Vec<T>{};
#endif
}

// The same in the lanes of a range.
template <class T>
FASTNN_INLINE void add_won_in(Vec<T>& sum, const T* g, const uint8_t* index, const LaneRange<T>& r,
                              int64_t place) {
#if defined(__AVX512F__)
  const __m128i at = _mm_maskz_loadu_epi8(r.mask, index);
  const __mmask16 won =
      _mm_mask_cmpeq_epi8_mask(r.mask, at, _mm_set1_epi8(static_cast<char>(place)));
  if constexpr (sizeof(T) == 4) {
    const __m512 v = _mm512_maskz_loadu_ps(won, g);
    sum = (Vec<T>)_mm512_mask_add_ps((__m512)sum, won, (__m512)sum, v);
  } else {
    const __mmask8 won8 = static_cast<__mmask8>(won);
    const __m512d v = _mm512_maskz_loadu_pd(won8, g);
    sum = (Vec<T>)_mm512_mask_add_pd((__m512d)sum, won8, (__m512d)sum, v);
  }
#else
  const IntVec<T> won = widen_bytes<T>(index, r) == static_cast<LaneInt<T>>(place);
  const Vec<T> v = load_range<T>(g, r, T{0});
  sum += won ? v : Vec<T>{};
#endif
}

// What a vector of dx asks: was element k of the windows at outputs o, o + 1, ... the maximum?
template <class T>
struct Tap {
  int64_t o, k;
  LaneRange<T> inside;
};

// The taps of elements first, first + stride, ... of dx, in ascending order of outputs; returns
// their number.
template <class T>
FASTNN_INLINE int64_t find_taps(const PoolAxis& w, int64_t first, Tap<T>* taps) {
  int64_t count = 0;
  for (int64_t k = w.kernel - 1; k >= 0; --k) {
    const int64_t at = first + w.padding - k * w.dilation;
    if (at % w.stride != 0) continue;
    const LaneRange<T> inside = lanes_inside<T>(at / w.stride, w.out);
    if (any_lane<T>(inside)) taps[count++] = {at / w.stride, k, inside};
  }
  return count;
}

template <class T, bool kEdge>
FASTNN_INLINE void add_taps(Vec<T>& sum, const Tap<T>* taps, int64_t count, const T* g,
                            const uint8_t* index, int64_t base) {
  for (int64_t t = 0; t < count; ++t) {
    const Tap<T>& tap = taps[t];
    if constexpr (kEdge)
      add_won_in<T>(sum, g + tap.o, index + tap.o, tap.inside, base + tap.k);
    else
      add_won<T>(sum, g + tap.o, index + tap.o, base + tap.k);
  }
}

// A row of outputs whose windows span a row of dx; `place`: of the window's element in that row
// that comes first.
template <class T>
struct Covering {
  const T* g;
  const uint8_t* index;
  int64_t place;
};

template <class T, class Args>
FASTNN_INLINE int64_t find_covering(const Args& a, int64_t id, int64_t ih, Covering<T>* rows) {
  const PoolCover cd = a.d.covers[id], ch = a.h.covers[ih];
  int64_t count = 0;
  for (int64_t od = cd.begin; od < cd.begin + cd.count; ++od) {
    const int64_t jd = id + a.d.padding - od * a.d.stride;
    if (a.d.dilation > 1 && jd % a.d.dilation) continue;
    const int64_t kd = a.d.dilation > 1 ? jd / a.d.dilation : jd;
    for (int64_t oh = ch.begin; oh < ch.begin + ch.count; ++oh) {
      const int64_t jh = ih + a.h.padding - oh * a.h.stride;
      if (a.h.dilation > 1 && jh % a.h.dilation) continue;
      const int64_t kh = a.h.dilation > 1 ? jh / a.h.dilation : jh;
      rows[count++] = {a.dy + od * a.dy_d + oh * a.dy_h, a.index + od * a.index_d + oh * a.index_h,
                       (kd * a.h.kernel + kh) * a.w.kernel};
    }
  }
  return count;
}

// Elements begin .. end of the rows first .. last of dx, a block of lanes * stride at a time.
template <class T, int kStride, bool kEdge>
void backward_columns(const MaxRowsBackward<T>& a, int64_t first, int64_t last, int64_t begin,
                      int64_t end) {
  constexpr int64_t n = kLanes<T>;
  const int64_t stride = kStride ? kStride : a.w.stride;
  Covering<T> rows[kMostTaps];
  Tap<T> taps[2][kMostTaps];  // of the first block; the others' lie n outputs further each
  for (int64_t phase = 0; phase < at_most(stride, a.w.in - begin); phase += 2) {
    const int64_t even = find_taps<T>(a.w, begin + phase, taps[0]);
    int64_t odd = 0;
    if (kStride != 1 && phase + 1 < stride) odd = find_taps<T>(a.w, begin + phase + 1, taps[1]);
    int64_t id = first / a.h.in, ih = first % a.h.in;
    for (int64_t r = first; r < last; ++r) {
      const int64_t count = find_covering(a, id, ih, rows);
      T* dx = a.dx + id * a.dx_d + ih * a.dx_h + begin;
      int64_t left = a.w.in - begin;
      for (int64_t i = begin, o = 0; i < end; i += n * stride, o += n) {
        Vec<T> low{}, high{};
        for (int64_t c = 0; c < count; ++c) {
          const Covering<T>& row = rows[c];
          add_taps<T, kEdge>(low, taps[0], even, row.g + o, row.index + o, row.place);
          if (kStride != 1)
            add_taps<T, kEdge>(high, taps[1], odd, row.g + o, row.index + o, row.place);
        }
        store_phases<T, kStride>(dx, low, high, left, stride, phase);
        dx += n * stride;
        left -= n * stride;
      }
      if (++ih == a.h.in) ih = 0, ++id;
    }
  }
}

// ---- Windows of 3 x 3 -------------------------------------------------------------------------

// How a block of columns meets the ends of a row of outputs: not at all; in lanes that may be read,
// as rows before and after it lie there, but do not count; in lanes that must not be read.
enum class Ends { kNone, kReadable, kMasked };

template <class T, Ends kEnds>
FASTNN_INLINE void add_won_at(Vec<T>& sum, const T* g, const uint8_t* index, const LaneRange<T>& r,
                              int64_t place) {
  if constexpr (kEnds == Ends::kNone) {
    add_won<T>(sum, g, index, place);
  } else if constexpr (kEnds == Ends::kMasked || kMasksAreFree) {
    add_won_in<T>(sum, g, index, r, place);
  } else {
#if !defined(__AVX512F__)
    const IntVec<T> won = widen_bytes<T>(index) == static_cast<LaneInt<T>>(place);
    sum += (won & r.mask) ? load(g) : Vec<T>{};
#endif
  }
}

// Elements i, i + 1, ... of row ih of dx.
template <class T, int kStride, Ends kEnds>
FASTNN_INLINE void backward_3x3_block(const MaxRowsBackward<T>& a, int64_t id, int64_t ih,
                                      int64_t i, const Around<T>& at) {
  Vec<T> low{}, high{};
#pragma GCC unroll 3
  for (int64_t kh = 2; kh >= 0; --kh) {
    const int64_t row = ih + a.h.padding - kh, oh = kStride == 1 ? row : row >> 1;
    if ((kStride == 2 && (row & 1)) || oh < 0 || oh >= a.h.out) continue;
    const T* g = a.dy + id * a.dy_d + oh * a.dy_h;
    const uint8_t* index = a.index + id * a.index_d + oh * a.index_h;
#pragma GCC unroll 3
    for (int64_t kw = 2; kw >= 0; --kw) {
      const int64_t o = output_at<kStride>(a.w, i, kw), place = kh * 3 + kw;
      if (meets_odd<kStride>(a.w, i, kw))
        add_won_at<T, kEnds>(high, g + o, index + o, at.inside[kw], place);
      else
        add_won_at<T, kEnds>(low, g + o, index + o, at.inside[kw], place);
    }
  }
  T* dx = a.dx + id * a.dx_d + ih * a.dx_h + i;
  store_phases<T, kStride>(dx, low, high, a.w.in - i, kStride, 0);
}

// Whether the rows of outputs that row ih meets have others before and after them, without gaps,
// that hold all lanes of a block, which begins at -2 at the earliest, at out + 1 at the latest.
template <class T>
FASTNN_INLINE bool between_rows(const MaxRowsBackward<T>& a, int64_t ih) {
  const int64_t first = ih + a.h.padding - 2, last = ih + a.h.padding;
  return a.dy_h == a.w.out && a.index_h == a.w.out && a.w.out > kLanes<T> && first >= a.h.stride &&
         last < (a.h.out - 1) * a.h.stride;
}

// Inlined into the choice of kernels, it would not keep its masks in registers.
template <class T, int kStride>
__attribute__((noinline)) void rows_backward_3x3(const MaxRowsBackward<T>& args) {
  const MaxRowsBackward<T> a = args;
  for (int64_t r = a.first; r < a.last; r += kRowGroup) {
    const int64_t stop = at_most(r + kRowGroup, a.last);
    for (int64_t i = 0; i < a.w.in; i += kLanes<T> * kStride) {
      const auto at = outputs_around<T, kStride>(a.w, i);
      const bool whole = all_inside(at);
      int64_t id = r / a.h.in, ih = r % a.h.in;
      for (int64_t k = r; k < stop; ++k) {
        if (kMasksAreFree)
          backward_3x3_block<T, kStride, Ends::kMasked>(a, id, ih, i, at);
        else if (whole)
          backward_3x3_block<T, kStride, Ends::kNone>(a, id, ih, i, at);
        else if (between_rows(a, ih))
          backward_3x3_block<T, kStride, Ends::kReadable>(a, id, ih, i, at);
        else
          backward_3x3_block<T, kStride, Ends::kMasked>(a, id, ih, i, at);
        if (++ih == a.h.in) ih = 0, ++id;
      }
    }
  }
}

template <class T, int kStride>
void rows_backward_of(const MaxRowsBackward<T>& a) {
  const int64_t n = kLanes<T>, stride = a.w.stride, span = (a.w.kernel - 1) * a.w.dilation;
  const int64_t step = n * stride;
  // The blocks in the middle meet only outputs that there are.
  const int64_t low = at_least((span - a.w.padding + step - 1) / step * step, 0);
  const int64_t room = (a.w.out - n) * stride - a.w.padding;
  const int64_t high = room < 0 ? 0 : at_most(room / step * step + step, a.w.in);
  for (int64_t r = a.first; r < a.last; r += kRowGroup) {
    const int64_t stop = at_most(r + kRowGroup, a.last);
    if (low < high) backward_columns<T, kStride, false>(a, r, stop, low, high);
    for (int64_t i = 0; i < a.w.in; i += step) {
      if (i >= low && i < high) i = (high + step - 1) / step * step;
      if (i >= a.w.in) break;
      backward_columns<T, kStride, true>(a, r, stop, i, i + 1);
    }
  }
}

template <class T>
void rows_backward(const MaxRowsBackward<T>& a) {
  if (is_2x2(a.d, a.h, a.w)) {
    return for_row_pairs(
        a, [&](int64_t id, int64_t oh) { backward_2x2_rows(a, id, oh); },
        [&](int64_t r) {
          MaxRowsBackward<T> one = a;
          one.first = r;
          one.last = r + 1;
          rows_backward_of<T, 2>(one);
        });
  }
  if (is_3x3(a.d, a.h, a.w))
    return a.w.stride == 1 ? rows_backward_3x3<T, 1>(a) : rows_backward_3x3<T, 2>(a);
  if (a.w.stride == 1) return rows_backward_of<T, 1>(a);
  if (a.w.stride == 2) return rows_backward_of<T, 2>(a);
  rows_backward_of<T, 0>(a);
}

// ---- Channels-last ---------------------------------------------------------------------------

// The output pixels of the covering rows whose windows span column iw.
template <class T>
FASTNN_INLINE int64_t find_covering_pixels(const MaxPixelsBackward<T>& a, int64_t iw,
                                           const Covering<T>* rows, int64_t row_count,
                                           Covering<T>* pixels) {
  const PoolCover cw = a.w.covers[iw];
  int64_t count = 0;
  for (int64_t r = 0; r < row_count; ++r)
    for (int64_t o = cw.begin; o < cw.begin + cw.count; ++o) {
      const int64_t j = iw + a.w.padding - o * a.w.stride;
      if (a.w.dilation > 1 && j % a.w.dilation) continue;
      pixels[count++] = {rows[r].g + o * a.dy_w, rows[r].index + o * a.index_w,
                         rows[r].place + (a.w.dilation > 1 ? j / a.w.dilation : j)};
    }
  return count;
}

template <class T, int kVectors, bool kTail>
FASTNN_INLINE void pixel_backward_block(const Covering<T>* pixels, int64_t count, int64_t c,
                                        int64_t n, T* dx) {
  const LaneRange<T> rest = lanes_between<T>(0, n);
  Vec<T> sum[kVectors] = {};
  for (int64_t i = 0; i < count; ++i) {
    const Covering<T>& p = pixels[i];
    for (int v = 0; v < kVectors; ++v) {
      const int64_t at = c + v * kLanes<T>;
      if constexpr (kTail)
        add_won_in<T>(sum[v], p.g + at, p.index + at, rest, p.place);
      else
        add_won<T>(sum[v], p.g + at, p.index + at, p.place);
    }
  }
  for (int v = 0; v < kVectors; ++v) store_some<T>(dx + c + v * kLanes<T>, sum[v], n);
}

template <class T>
void pixels_backward(const MaxPixelsBackward<T>& a) {
  if (is_2x2(a.d, a.h, a.w)) return pixels_backward_2x2(a);
  constexpr int64_t n = kLanes<T>;
  Covering<T> rows[kMostTaps], pixels[kMostTaps];
  const int64_t row_count = find_covering(a, a.id, a.ih, rows);
  for (int64_t iw = 0; iw < a.w.in; ++iw) {
    const int64_t count = find_covering_pixels(a, iw, rows, row_count, pixels);
    T* dx = a.dx + iw * a.dx_w;
    int64_t c = 0;
    for (; c + 4 * n <= a.channels; c += 4 * n)
      pixel_backward_block<T, 4, false>(pixels, count, c, n, dx);
    for (; c + n <= a.channels; c += n) pixel_backward_block<T, 1, false>(pixels, count, c, n, dx);
    if (c < a.channels) pixel_backward_block<T, 1, true>(pixels, count, c, a.channels - c, dx);
  }
}

}  // namespace
}  // namespace fastnn::FASTNN_ISA_NS
