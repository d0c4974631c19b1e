#include "cpu/kernels/resize.h"

#include "cpu/kernels/lanes.h"

namespace fastnn::FASTNN_ISA_NS {
namespace {

// Starts from the first product, not from zero, so that a single weight of 1 copies every value.
template <class T, bool kTail>
FASTNN_INLINE Vec<T> weighted(const T* const* rows, const T* weight, int64_t count, int64_t i,
                              int64_t n) {
  const auto get = [&](const T* p)
                       __attribute__((always_inline)) { return kTail ? load_n(p, n) : load(p); };
  Vec<T> sum = get(rows[0] + i) * weight[0];
  for (int64_t r = 1; r < count; ++r) sum += get(rows[r] + i) * weight[r];
  return sum;
}

template <class T>
void down(const T* const* rows, const T* weight, int64_t count, int64_t n, T* y) {
  int64_t i = 0;
  for (; i + kLanes<T> <= n; i += kLanes<T>)
    store(y + i, weighted<T, false>(rows, weight, count, i, 0));
  if (i < n) store_n(y + i, weighted<T, true>(rows, weight, count, i, n - i), n - i);
}

#ifdef __AVX512F__
// x[index] in the lanes of `mask`, 0 in the others.
FASTNN_INLINE vf gathered(__mmask16 mask, __m512i index, const float* x) {
  return (vf)_mm512_mask_i32gather_ps(__m512{}, mask, index, x, 4);
}
FASTNN_INLINE vd gathered(__mmask8 mask, __m256i index, const double* x) {
  return (vd)_mm512_mask_i32gather_pd(__m512d{}, mask, index, x, 8);
}
FASTNN_INLINE __m512i integers(const int32_t* p, float) { return _mm512_loadu_si512(p); }
FASTNN_INLINE __m256i integers(const int32_t* p, double) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
}
FASTNN_INLINE __mmask16 above(__m512i a, int j) {
  return _mm512_cmpgt_epi32_mask(a, _mm512_set1_epi32(j));
}
FASTNN_INLINE __mmask8 above(__m256i a, int j) {
  return _mm256_cmpgt_epi32_mask(a, _mm256_set1_epi32(j));
}
FASTNN_INLINE vf add_where(__mmask16 mask, vf a, vf b) {
  return (vf)_mm512_mask_add_ps((__m512)a, mask, (__m512)a, (__m512)b);
}
FASTNN_INLINE vd add_where(__mmask8 mask, vd a, vd b) {
  return (vd)_mm512_mask_add_pd((__m512d)a, mask, (__m512d)a, (__m512d)b);
}

FASTNN_INLINE __mmask16 lanes_below(int64_t n) {
  return n >= 16 ? 0xffff : n <= 0 ? 0 : static_cast<__mmask16>((1 << n) - 1);
}

// What neighbouring outputs read lies within 32 inputs: a shuffle of one or two vectors, which is
// much quicker than a gather. `at`: where each lane's first input is, from that of lane 0.
struct NearInputs {
  __m512i at;
  int vectors;  // 0: further apart

  static inline __attribute__((always_inline)) NearInputs of(__m512i first, int32_t base,
                                                             __mmask16 reads) {
    const __m512i at = _mm512_sub_epi32(first, _mm512_set1_epi32(base));
    const bool far = _mm512_mask_cmpgt_epu32_mask(reads, at, _mm512_set1_epi32(31)) != 0;
    const bool wide = _mm512_mask_cmpgt_epu32_mask(reads, at, _mm512_set1_epi32(15)) != 0;
    return {at, far ? 0 : wide ? 2 : 1};
  }
  // x: the first input of lane 0; `left` inputs from there on may be read.
  vf get(__mmask16 reads, const float* x, int64_t left) const {
    const __m512 low = _mm512_maskz_loadu_ps(lanes_below(left), x);
    if (vectors == 1) return (vf)_mm512_maskz_permutexvar_ps(reads, at, low);
    const __m512 high = _mm512_maskz_loadu_ps(lanes_below(left - 16), x + 16);
    return (vf)_mm512_maskz_permutex2var_ps(reads, low, at, high);
  }
};

FASTNN_INLINE vf side_sum(const NearInputs& near, const float* x, const ResizeTaps<float>& taps,
                          int64_t o, __m512i count) {
  const int64_t base = taps.side_first[o], left = taps.side_end - base;
  const float* w = taps.side_weight + o;
  vf sum = near.get(above(count, 0), x + base, left) * load(w);
  for (int j = 1; j < taps.side_taps; ++j) {
    const auto reads = above(count, j);
    sum = add_where(reads, sum,
                    near.get(reads, x + base + j, left - j) * load(w + j * taps.side_step));
  }
  return sum;
}

template <class T, class V>
FASTNN_INLINE void store_outputs(T* y, V sum, int64_t n) {
  if (n >= kLanes<T>)
    store(y, sum);
  else
    store_n(y, sum, n);
}

// A vector of outputs at a time.
template <class T>
void along_side_by_side(const T* x, const ResizeTaps<T>& taps, int64_t out, T* y) {
  for (int64_t o = 0; o < out; o += kLanes<T>) {
    const auto first = integers(taps.side_first + o, T{}),
               count = integers(taps.side_count + o, T{});
    if constexpr (sizeof(T) == 4) {
      const NearInputs near = NearInputs::of(first, taps.side_first[o], above(count, 0));
      if (near.vectors) {
        store_outputs(y + o, side_sum(near, x, taps, o, count), out - o);
        continue;
      }
    }
    const T* w = taps.side_weight + o;
    Vec<T> sum = gathered(above(count, 0), first, x) * load(w);
    for (int j = 1; j < taps.side_taps; ++j) {
      const auto reads = above(count, j);
      sum = add_where(reads, sum, gathered(reads, first, x + j) * load(w + j * taps.side_step));
    }
    store_outputs(y + o, sum, out - o);
  }
}
#endif

template <class T>
void along(const T* x, const ResizeTaps<T>& taps, int64_t out, T* y) {
#ifdef __AVX512F__
  if (taps.side_first) return along_side_by_side(x, taps, out, y);
#endif
  for (int64_t o = 0; o < out; ++o) {
    const T* p = x + taps.first[o];
    const T* w = taps.weight + taps.at[o];
    const int64_t count = taps.at[o + 1] - taps.at[o];
    if (count == 0) {  // backward: an input that no output reads
      y[o] = 0;
      continue;
    }
    T sum = p[0] * w[0];
    for (int64_t j = 1; j < count; ++j) sum += p[j] * w[j];
    y[o] = sum;
  }
}

template <class T, bool kTail>
FASTNN_INLINE void pixel(const T* p, const T* w, int64_t count, int64_t channels, int64_t n, T* y) {
  const auto get = [&](const T* q)
                       __attribute__((always_inline)) { return kTail ? load_n(q, n) : load(q); };
  Vec<T> sum{};
  if (count > 0) sum = get(p) * w[0];
  for (int64_t j = 1; j < count; ++j) sum += get(p + j * channels) * w[j];
  if (kTail)
    store_n(y, sum, n);
  else
    store(y, sum);
}

template <class T>
void along_pixels(const T* x, const ResizeTaps<T>& taps, int64_t out, int64_t channels, T* y,
                  int64_t y_step) {
  for (int64_t o = 0; o < out; ++o) {
    const T* p = x + taps.first[o] * channels;
    const T* w = taps.weight + taps.at[o];
    const int64_t count = taps.at[o + 1] - taps.at[o];
    T* to = y + o * y_step;
    int64_t c = 0;
    for (; c + kLanes<T> <= channels; c += kLanes<T>)
      pixel<T, false>(p + c, w, count, channels, 0, to + c);
    if (c < channels) pixel<T, true>(p + c, w, count, channels, channels - c, to + c);
  }
}

template <class T>
constexpr ResizeTable<T> table() {
  return {down<T>, along<T>, along_pixels<T>};
}

}  // namespace

const ResizeKernels* resize_kernels() {
  static const ResizeKernels kernels = {table<float>(), table<double>()};
  return &kernels;
}

}  // namespace fastnn::FASTNN_ISA_NS
