// Panels of bfloat16, as the kernels of gemm_bf16.cpp read them:
//   A: steps of 32 values of k, as far apart as the kernel wants them; B: [k / 2][lane][2].
// K is filled up with zeros to whole steps of 32.
#pragma once

#include "cpu/kernels/gemm.h"
#include "cpu/kernels/gemm_pack.h"

namespace fastnn::FASTNN_ISA_NS {

constexpr int kStepK = 32;  // values of k: one row of a tile, 64 bytes
constexpr int kPairs = kStepK / 2;

FASTNN_INLINE __mmask32 first_of_32(int64_t n) {
  return n >= 32 ? ~0u : n <= 0 ? 0 : (1u << n) - 1;
}

FASTNN_INLINE __m512i load_masked(const bf16* p, __mmask32 mask) {
  return mask ? _mm512_maskz_loadu_epi16(mask, p) : _mm512_setzero_si512();
}

// 16 lanes of two rows of k as pairs.
FASTNN_INLINE vf load_pairs(const bf16* even, const bf16* odd, __mmask16 even_mask,
                            __mmask16 odd_mask) {
  const auto row = [](const bf16* p, __mmask16 mask) {
    const auto half = mask ? _mm256_maskz_loadu_epi16(mask, p) : _mm256_setzero_si256();
    return __builtin_convertvector((vh)half, vi);
  };
  return from_bits(row(even, even_mask) | row(odd, odd_mask) << 16);
}

// Any strides: `at(lane, k)` is where a value goes.
template <class At>
FASTNN_INLINE void pack_one_by_one(const GemmPack& p, At at) {
  const bf16* src = static_cast<const bf16*>(p.src);
  bf16* dst = static_cast<bf16*>(p.dst);
  const int64_t steps = (p.k + kStepK - 1) / kStepK;
  for (int lane = 0; lane < p.panel; ++lane)
    for (int64_t k = 0; k < steps * kStepK; ++k)
      dst[at(lane, k)] =
          lane < p.width && k < p.k ? src[lane * p.lane_stride + k * p.k_stride] : bf16{0};
}

// ---- A ----

struct PanelA {
  int64_t lane, step;  // bytes to the next
};

// Lanes beyond the width that a kernel reads: it takes up to 16 at a time.
FASTNN_INLINE int lanes_of_a(const GemmPack& p) {
  const int lanes = (p.width + 15) / 16 * 16;
  return lanes < p.panel ? lanes : p.panel;
}

// k adjacent: rows are cut into steps.
static void pack_a_rows(const GemmPack& p, const PanelA& to) {
  for (int lane = 0; lane < lanes_of_a(p); ++lane) {
    char* dst = static_cast<char*>(p.dst) + lane * to.lane;
    const bf16* src = static_cast<const bf16*>(p.src) + lane * p.lane_stride;
    int64_t k = 0;
    if (lane < p.width)
      for (; k + kStepK <= p.k; k += kStepK, dst += to.step)
        _mm512_store_si512(dst, _mm512_loadu_si512(src + k));
    for (; k < p.k; k += kStepK, dst += to.step)
      _mm512_store_si512(dst, load_masked(src + k, lane < p.width ? first_of_32(p.k - k) : 0));
  }
}

// Lanes adjacent: squares of pairs are transposed.
static void pack_a_columns(const GemmPack& p, const PanelA& to) {
  char* dst = static_cast<char*>(p.dst);
  for (int64_t k = 0; k < p.k; k += kStepK, dst += to.step) {
    const bf16* src = static_cast<const bf16*>(p.src) + k * p.k_stride;
    for (int lane = 0; lane < lanes_of_a(p); lane += 16) {
      const auto lanes = static_cast<__mmask16>(first_of_32(p.width - lane));
      vf v[16];
#pragma GCC unroll 16
      for (int i = 0; i < kPairs; ++i) {
        const bf16* pair = src + 2 * i * p.k_stride + lane;
        v[i] = load_pairs(pair, pair + p.k_stride, k + 2 * i < p.k ? lanes : 0,
                          k + 2 * i + 1 < p.k ? lanes : 0);
      }
      transpose<float>(v);
      const int count = p.panel - lane < 16 ? p.panel - lane : 16;
      for (int i = 0; i < count; ++i)
        store(reinterpret_cast<float*>(dst + (lane + i) * to.lane), v[i]);
    }
  }
}

static void pack_a_bf16(const GemmPack& p, const PanelA& to) {
  if (p.k_stride == 1) return pack_a_rows(p, to);
  if (p.lane_stride == 1) return pack_a_columns(p, to);
  pack_one_by_one(p, [&](int lane, int64_t k) {
    return (lane * to.lane + k / kStepK * to.step) / 2 + k % kStepK;
  });
}

// ---- B: panels of 32 lanes ----

// Which of the lanes of two rows, one behind the other, make pairs.
struct PairOrder {
  alignas(64) uint16_t at[2][32] = {};
  constexpr PairOrder() {
    for (int i = 0; i < 64; ++i) at[i / 32][i % 32] = static_cast<uint16_t>(i / 2 + i % 2 * 32);
  }
};
constexpr PairOrder kPairOrder;

// Lanes adjacent: rows are interleaved.
static void pack_b_rows(const GemmPack& p) {
  char* dst = static_cast<char*>(p.dst);
  const bf16* src = static_cast<const bf16*>(p.src);
  const __mmask32 lanes = first_of_32(p.width);
  const __m512i low = _mm512_load_si512(kPairOrder.at[0]),
                high = _mm512_load_si512(kPairOrder.at[1]);
  const int64_t whole = p.k / 2 * 2, end = (p.k + kStepK - 1) / kStepK * kStepK;
  int64_t k = 0;
  for (; k < whole; k += 2, src += 2 * p.k_stride, dst += 128) {
    const __m512i even = load_masked(src, lanes), odd = load_masked(src + p.k_stride, lanes);
    _mm512_store_si512(dst, _mm512_permutex2var_epi16(even, low, odd));
    _mm512_store_si512(dst + 64, _mm512_permutex2var_epi16(even, high, odd));
  }
  for (; k < end; k += 2, dst += 128) {
    const __m512i even = load_masked(src, k < p.k ? lanes : 0), zero = _mm512_setzero_si512();
    _mm512_store_si512(dst, _mm512_permutex2var_epi16(even, low, zero));
    _mm512_store_si512(dst + 64, _mm512_permutex2var_epi16(even, high, zero));
  }
}

// k adjacent: squares of pairs are transposed.
static void pack_b_columns(const GemmPack& p) {
  char* dst = static_cast<char*>(p.dst);
  for (int64_t k = 0; k < p.k; k += kStepK, dst += kPairs * 128) {
    const __mmask32 mask = first_of_32(p.k - k);
    for (int lane = 0; lane < p.panel; lane += 16) {
      const bf16* src = static_cast<const bf16*>(p.src) + k + lane * p.lane_stride;
      vf v[16];
#pragma GCC unroll 16
      for (int i = 0; i < 16; ++i)
        v[i] = (vf)load_masked(src + i * p.lane_stride, lane + i < p.width ? mask : 0);
      transpose<float>(v);
#pragma GCC unroll 16
      for (int i = 0; i < kPairs; ++i)
        store(reinterpret_cast<float*>(dst + i * 128 + lane * 4), v[i]);
    }
  }
}

static void pack_b_bf16(const GemmPack& p) {
  if (p.lane_stride == 1) return pack_b_rows(p);
  if (p.k_stride == 1) return pack_b_columns(p);
  pack_one_by_one(p, [&](int lane, int64_t k) { return (k / 2 * p.panel + lane) * 2 + k % 2; });
}

}  // namespace fastnn::FASTNN_ISA_NS
