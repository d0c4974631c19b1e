// What the matrix kernels need beyond vec.h: edges inside loops, elements of other types.
#pragma once

#include "cpu/kernels/vec.h"
#include "fastnn/float16.h"

namespace fastnn::FASTNN_ISA_NS {

// A vector of B's last columns, inside the loop over k: as load_n, but quick at every level that
// can be.
template <class T>
struct EdgeLoad {
#if defined(__AVX2__) && !defined(__AVX512F__)
  __m256i mask;
  __attribute__((always_inline)) explicit EdgeLoad(int n) {
    alignas(32) int32_t m[8];
    for (int i = 0; i < 8; ++i) m[i] = i * 4 < n * static_cast<int>(sizeof(T)) ? -1 : 0;
    mask = _mm256_load_si256(reinterpret_cast<const __m256i*>(m));
  }
  FASTNN_INLINE Vec<T> apply(const EdgeLoad& e, const T* p) {
    if constexpr (sizeof(T) == 4)
      return reinterpret_cast<Vec<T>>(_mm256_maskload_ps(p, e.mask));
    else
      return reinterpret_cast<Vec<T>>(_mm256_maskload_pd(p, e.mask));
  }
#else
  int n;
  __attribute__((always_inline)) explicit EdgeLoad(int count) : n(count) {}
  FASTNN_INLINE Vec<T> apply(const EdgeLoad& e, const T* p) {
#if !defined(__AVX512F__)
    if (e.n == kLanes<T>) return load(p);
#endif
    return load_n(p, e.n);
  }
#endif
};

// min(max(x, 0), high); keeps NaN
template <class V>
FASTNN_INLINE V rectified(const Rectifier& r, V x) {
  const V high = V{} + static_cast<Elem<V>>(r.high);
  x = V{} > x ? V{} : x;
  return x > high ? high : x;
}

// ---- Elements of other types ----

FASTNN_INLINE float widen(float x) { return x; }
FASTNN_INLINE double widen(double x) { return x; }
FASTNN_INLINE float widen(bf16 x) { return fastnn::to_float(x); }
FASTNN_INLINE float widen(f16 x) {
#ifdef __F16C__
  return _cvtsh_ss(x.bits);
#else
  return fastnn::to_float(x);
#endif
}

FASTNN_INLINE void narrow(float x, float& out) { out = x; }
FASTNN_INLINE void narrow(double x, double& out) { out = x; }
FASTNN_INLINE void narrow(float x, bf16& out) { out = to_bf16(x); }
FASTNN_INLINE void narrow(float x, f16& out) {
#ifdef __F16C__
  out.bits = static_cast<uint16_t>(_cvtss_sh(x, _MM_FROUND_TO_NEAREST_INT));
#else
  out = to_f16(x);
#endif
}

FASTNN_INLINE vf load_wide(const float* p) { return load(p); }
FASTNN_INLINE vd load_wide(const double* p) { return load(p); }
FASTNN_INLINE vf load_wide(const bf16* p) { return load(p); }
FASTNN_INLINE vf load_wide(const f16* p) {
#if defined(__AVX512F__)
  return (vf)_mm512_maskz_cvtph_ps(0xffff, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
#elif defined(__F16C__)
  return (vf)_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
#else
  vf v;
  for (int i = 0; i < kLanes<float>; ++i) v[i] = widen(p[i]);
  return v;
#endif
}

// n < kLanes elements; the other lanes are 0.
FASTNN_INLINE vf load_wide_n(const float* p, int n) { return load_n(p, n); }
FASTNN_INLINE vd load_wide_n(const double* p, int n) { return load_n(p, n); }
template <class Src>
FASTNN_INLINE vf load_wide_n(const Src* p, int n) {
  vf v{};
  for (int i = 0; i < n; ++i) v[i] = widen(p[i]);
  return v;
}

}  // namespace fastnn::FASTNN_ISA_NS
