// Vectors of the widest registers of the level being compiled, on GCC's vector extensions: + - * /,
// comparisons, `mask ? a : b` and shifts are the operators of the language; this header adds loads
// and stores, tails, and what the operators lack. For kernels only: everything is static.
#pragma once

#include "cpu/kernels/vec_types.h"

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
template <>
struct LaneIntOf<int64_t> {
  typedef int64_t type;
};
template <class T>
using LaneInt = typename LaneIntOf<T>::type;
template <class T>
using IntVec = Vec<LaneInt<T>>;

// A vector's lanes, counted.
template <class T>
FASTNN_INLINE IntVec<T> lane_numbers() {
  IntVec<T> lane{};
  for (int i = 0; i < kLanes<T>; ++i) lane[i] = i;
  return lane;
}

// ---- Bits -------------------------------------------------------------------------------------

FASTNN_INLINE vi bits(vf v) { return (vi)v; }
FASTNN_INLINE vl bits(vd v) { return (vl)v; }
FASTNN_INLINE vf from_bits(vi v) { return (vf)v; }
FASTNN_INLINE vd from_bits(vl v) { return (vd)v; }
FASTNN_INLINE vi sign_bit(vf v) { return bits(v) & INT32_MIN; }
FASTNN_INLINE vl sign_bit(vd v) { return bits(v) & INT64_MIN; }

// Mask ? a : b, which may be any vectors with the mask's lanes.
template <class M, class V>
FASTNN_INLINE V select(M mask, V a, V b) {
  return mask ? a : b;
}

template <class V>
FASTNN_INLINE V copysign(V magnitude, V sign) {
  return from_bits((bits(magnitude) & ~sign_bit(magnitude)) | sign_bit(sign));
}

FASTNN_INLINE vf abs(vf v) { return from_bits(bits(v) & INT32_MAX); }
FASTNN_INLINE vd abs(vd v) { return from_bits(bits(v) & INT64_MAX); }
FASTNN_INLINE vf minus_abs(vf v) { return from_bits(bits(v) | INT32_MIN); }
FASTNN_INLINE vd minus_abs(vd v) { return from_bits(bits(v) | INT64_MIN); }

// ---- Arithmetic -------------------------------------------------------------------------------

// One rounding where the level has the instruction, two elsewhere.
#if defined(__AVX512F__)
FASTNN_INLINE vf fma(vf a, vf b, vf c) {
  return (vf)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
}
FASTNN_INLINE vd fma(vd a, vd b, vd c) {
  return (vd)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c);
}
#elif defined(__FMA__)
FASTNN_INLINE vf fma(vf a, vf b, vf c) {
  return (vf)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
}
FASTNN_INLINE vd fma(vd a, vd b, vd c) {
  return (vd)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c);
}
#else
FASTNN_INLINE vf fma(vf a, vf b, vf c) { return a * b + c; }
FASTNN_INLINE vd fma(vd a, vd b, vd c) { return a * b + c; }
#endif

// sum += a * b. Where registers are scarce, GCC puts the sums of a tile into new ones and copies
// them back: the instruction is written out.
#if defined(__FMA__) && !defined(__AVX512F__)
FASTNN_INLINE void add_product(vf& sum, vf a, vf b) {
  asm("vfmadd231ps %2, %1, %0" : "+x"(sum) : "x"(a), "x"(b));
}
FASTNN_INLINE void add_product(vd& sum, vd a, vd b) {
  asm("vfmadd231pd %2, %1, %0" : "+x"(sum) : "x"(a), "x"(b));
}
#else
template <class V>
FASTNN_INLINE void add_product(V& sum, V a, V b) {
  sum = fma(a, b, sum);
}
#endif

// Machine minimum and maximum: b where either is NaN. (The plain AVX-512 intrinsics start from an
// undefined register, about which gcc 12 warns; with a full zeroing mask they are the same
// instruction.)
#if defined(__AVX512F__)
FASTNN_INLINE vf fast_min(vf a, vf b) {
  return (vf)_mm512_maskz_min_ps(0xffff, (__m512)a, (__m512)b);
}
FASTNN_INLINE vf fast_max(vf a, vf b) {
  return (vf)_mm512_maskz_max_ps(0xffff, (__m512)a, (__m512)b);
}
FASTNN_INLINE vd fast_min(vd a, vd b) {
  return (vd)_mm512_maskz_min_pd(0xff, (__m512d)a, (__m512d)b);
}
FASTNN_INLINE vd fast_max(vd a, vd b) {
  return (vd)_mm512_maskz_max_pd(0xff, (__m512d)a, (__m512d)b);
}
FASTNN_INLINE vf sqrt(vf v) { return (vf)_mm512_maskz_sqrt_ps(0xffff, (__m512)v); }
FASTNN_INLINE vd sqrt(vd v) { return (vd)_mm512_maskz_sqrt_pd(0xff, (__m512d)v); }
#elif defined(__AVX2__)
FASTNN_INLINE vf fast_min(vf a, vf b) { return (vf)_mm256_min_ps((__m256)a, (__m256)b); }
FASTNN_INLINE vf fast_max(vf a, vf b) { return (vf)_mm256_max_ps((__m256)a, (__m256)b); }
FASTNN_INLINE vd fast_min(vd a, vd b) { return (vd)_mm256_min_pd((__m256d)a, (__m256d)b); }
FASTNN_INLINE vd fast_max(vd a, vd b) { return (vd)_mm256_max_pd((__m256d)a, (__m256d)b); }
FASTNN_INLINE vf sqrt(vf v) { return (vf)_mm256_sqrt_ps((__m256)v); }
FASTNN_INLINE vd sqrt(vd v) { return (vd)_mm256_sqrt_pd((__m256d)v); }
#elif defined(__SSE2__)
FASTNN_INLINE vf fast_min(vf a, vf b) { return (vf)_mm_min_ps((__m128)a, (__m128)b); }
FASTNN_INLINE vf fast_max(vf a, vf b) { return (vf)_mm_max_ps((__m128)a, (__m128)b); }
FASTNN_INLINE vd fast_min(vd a, vd b) { return (vd)_mm_min_pd((__m128d)a, (__m128d)b); }
FASTNN_INLINE vd fast_max(vd a, vd b) { return (vd)_mm_max_pd((__m128d)a, (__m128d)b); }
FASTNN_INLINE vf sqrt(vf v) { return (vf)_mm_sqrt_ps((__m128)v); }
FASTNN_INLINE vd sqrt(vd v) { return (vd)_mm_sqrt_pd((__m128d)v); }
#else
template <class V>
FASTNN_INLINE V fast_min(V a, V b) {
  return a < b ? a : b;
}
template <class V>
FASTNN_INLINE V fast_max(V a, V b) {
  return a > b ? a : b;
}
FASTNN_INLINE vf sqrt(vf v) {
  for (int i = 0; i < kLanes<float>; ++i) v[i] = __builtin_sqrtf(v[i]);
  return v;
}
FASTNN_INLINE vd sqrt(vd v) {
  for (int i = 0; i < kLanes<double>; ++i) v[i] = __builtin_sqrt(v[i]);
  return v;
}
#endif

// a / b within 1 ulp, for 2^-100 < |b| < 2^100: division takes 16 cycles a vector on Intel's cores.
FASTNN_INLINE vf divide(vf a, vf b) {
#if defined(__AVX512F__)
  const vf guess = (vf)_mm512_maskz_rcp14_ps(0xffff, (__m512)b);
  const vf r = fma(guess, fma(-guess, b, vf{} + 1), guess), q = a * r;
  return fma(fma(-q, b, a), r, q);
#else
  return a / b;
#endif
}
FASTNN_INLINE vd divide(vd a, vd b) { return a / b; }

// NaN where either is NaN, as PyTorch's maximum, minimum and clamp.
template <class V>
FASTNN_INLINE V min(V a, V b) {
  return a != a ? a : fast_min(a, b);
}
template <class V>
FASTNN_INLINE V max(V a, V b) {
  return a != a ? a : fast_max(a, b);
}

// ---- Rounding to whole numbers ----------------------------------------------------------------

#if defined(__AVX512F__)
#define FASTNN_ROUNDING(name, mode)                                     \
  FASTNN_INLINE vf name(vf v) {                                         \
    return (vf)_mm512_maskz_roundscale_ps(0xffff, (__m512)v, mode | 8); \
  }                                                                     \
  FASTNN_INLINE vd name(vd v) { return (vd)_mm512_maskz_roundscale_pd(0xff, (__m512d)v, mode | 8); }
FASTNN_ROUNDING(round_even, 0)
FASTNN_ROUNDING(floor, 1)
FASTNN_ROUNDING(ceil, 2)
FASTNN_ROUNDING(trunc, 3)
#undef FASTNN_ROUNDING
#elif defined(__AVX2__)
#define FASTNN_ROUNDING(name, mode)                                                \
  FASTNN_INLINE vf name(vf v) { return (vf)_mm256_round_ps((__m256)v, mode | 8); } \
  FASTNN_INLINE vd name(vd v) { return (vd)_mm256_round_pd((__m256d)v, mode | 8); }
FASTNN_ROUNDING(round_even, 0)
FASTNN_ROUNDING(floor, 1)
FASTNN_ROUNDING(ceil, 2)
FASTNN_ROUNDING(trunc, 3)
#undef FASTNN_ROUNDING
#else
// Adding and taking off 2^23 (2^52) rounds to even; what is that large is whole already.
template <class V>
FASTNN_INLINE V round_even(V v) {
  const V big = splat<Elem<V>>(sizeof(Elem<V>) == 4 ? 0x1p23f : 0x1p52);
  const V magnitude = abs(v);
  return magnitude < big ? copysign((magnitude + big) - big, v) : v;
}
template <class V>
FASTNN_INLINE V floor(V v) {
  const V r = round_even(v);
  return copysign(r > v ? r - 1 : r, v);
}
template <class V>
FASTNN_INLINE V ceil(V v) {
  const V r = round_even(v);
  return copysign(r < v ? r + 1 : r, v);
}
template <class V>
FASTNN_INLINE V trunc(V v) {
  const V magnitude = abs(v), r = round_even(magnitude);
  return copysign(r > magnitude ? r - 1 : r, v);
}
#endif

// Whole numbers within the range of the integer (anything else gives some integer).
FASTNN_INLINE vi to_int(vf v) { return __builtin_convertvector(v, vi); }
FASTNN_INLINE vf to_float(vi v) { return __builtin_convertvector(v, vf); }
FASTNN_INLINE vl to_int(vd v) {
#if defined(__AVX512DQ__)
  return (vl)_mm512_maskz_cvttpd_epi64(0xff, (__m512d)v);
#else
  // |v| < 2^51: the low bits of v + 1.5 * 2^52 are the integer.
  const vd shifter = splat(0x1.8p52);
  return bits(v + shifter) - bits(shifter);
#endif
}
FASTNN_INLINE vd to_double(vl v) {  // |v| < 2^51
#if defined(__AVX512DQ__)
  return (vd)_mm512_maskz_cvtepi64_pd(0xff, (__m512i)v);
#else
  const vd shifter = splat(0x1.8p52);
  return from_bits(v + bits(shifter)) - shifter;
#endif
}

// ---- 16-bit floats ----------------------------------------------------------------------------

FASTNN_INLINE vf widen_bf16(vh h) { return from_bits(__builtin_convertvector(h, vi) << 16); }

// To nearest even; a NaN stays a quiet NaN.
FASTNN_INLINE vh narrow_bf16(vf v) {
  typedef uint32_t vu __attribute__((vector_size(kVecBytes)));
  const vu u = (vu)v;
  const vu rounded = u + (0x7fffu + ((u >> 16) & 1u));
  return __builtin_convertvector(((v == v) ? rounded : (u | 0x400000u)) >> 16, vh);
}

FASTNN_INLINE vf load(const bf16* p) {
  vh h;
  memcpy(&h, p, sizeof h);
  return widen_bf16(h);
}
FASTNN_INLINE void store(bf16* p, vf v) {
  const vh h = narrow_bf16(v);
  memcpy(p, &h, sizeof h);
}
FASTNN_INLINE vf load_n(const bf16* p, int64_t n) {
  uint16_t buffer[kLanes<float>] = {};
  for (int64_t i = 0; i < n; ++i) buffer[i] = p[i].bits;
  return load(reinterpret_cast<const bf16*>(buffer));
}
FASTNN_INLINE void store_n(bf16* p, vf v, int64_t n) {
  const vh h = narrow_bf16(v);
  for (int64_t i = 0; i < n; ++i) p[i].bits = h[i];
}

// ---- Across lanes, in a fixed tree ------------------------------------------------------------

template <class T, class V, class F>
FASTNN_INLINE T reduce_lanes(V v, F f) {
  T lane[sizeof(V) / sizeof(T)];
  memcpy(lane, &v, sizeof v);
  for (int half = sizeof(V) / sizeof(T) / 2; half > 0; half /= 2)
    for (int i = 0; i < half; ++i) lane[i] = f(lane[i], lane[i + half]);
  return lane[0];
}

// Every lane gets the one that is `half` lanes away (half a power of two).
template <int half>
FASTNN_INLINE vf swap_lanes(vf v) {
  vi index{};
  for (int i = 0; i < kLanes<float>; ++i) index[i] = i ^ half;
  return __builtin_shuffle(v, index);
}
template <int half, class V>
FASTNN_INLINE V swap_lanes(V v) {
  vl index{};
  for (int i = 0; i < kLanes<double>; ++i) index[i] = i ^ half;
  return __builtin_shuffle(v, index);
}

// f(v, w) combines two vectors; the tree is that of reduce_lanes.
template <class V, class F, int half = static_cast<int>(kLanes<Elem<V>>) / 2>
FASTNN_INLINE Elem<V> tree(V v, F f) {
  v = f(v, swap_lanes<half>(v));
  if constexpr (half > 1)
    return tree<V, F, half / 2>(v, f);
  else
    return v[0];
}
template <class V>
FASTNN_INLINE Elem<V> sum_lanes(V v) {
  return tree(v, [](V a, V b) __attribute__((always_inline)) { return a + b; });
}
// The largest lane that is no NaN.
template <class V>
FASTNN_INLINE Elem<V> max_lanes(V v) {
  return tree(v, [](V a, V b) __attribute__((always_inline)) { return fast_max(a, b); });
}

// A mask of the first n lanes.
template <class T>
FASTNN_INLINE auto first_lanes(int64_t n) {
  return lane_numbers<T>() < static_cast<LaneInt<T>>(n);
}

// True when some lane of the mask is set.
template <class M>
FASTNN_INLINE bool any(M mask) {
#if defined(__AVX512F__)
  return _mm512_test_epi32_mask((__m512i)mask, (__m512i)mask) != 0;
#elif defined(__AVX2__)
  return _mm256_movemask_epi8((__m256i)mask) != 0;
#elif defined(__SSE2__)
  return _mm_movemask_epi8((__m128i)mask) != 0;
#else
  int64_t word[kVecBytes / 8], all = 0;
  memcpy(word, &mask, sizeof word);
  for (int i = 0; i < kVecBytes / 8; ++i) all |= word[i];
  return all != 0;
#endif
}

}  // namespace fastnn::FASTNN_ISA_NS
