// Philox4x32-10 on vectors: one counter a 64-bit lane, its four words in the low halves of four
// vectors.
#pragma once

#include "cpu/kernels/vec.h"

namespace fastnn::FASTNN_ISA_NS {

typedef VecOf<uint64_t>::type vu64;

// The product of the low halves of every lane; the high halves do not count.
FASTNN_INLINE vu64 multiply_low_halves(vu64 a, uint32_t b) {
#if defined(__AVX512F__)
  return (vu64)_mm512_maskz_mul_epu32(0xff, (__m512i)a, _mm512_set1_epi64(b));
#elif defined(__AVX2__)
  return (vu64)_mm256_mul_epu32((__m256i)a, _mm256_set1_epi64x(b));
#elif defined(__SSE2__)
  return (vu64)_mm_mul_epu32((__m128i)a, _mm_set1_epi64x(b));
#else
  return (a & 0xffffffffu) * uint64_t{b};
#endif
}

// `Groups` independent sets of counters hide the latency of the rounds. High halves of the result
// are garbage.
template <int Groups>
FASTNN_INLINE void philox_rounds(vu64 (&c)[Groups][4], uint64_t seed) {
  uint32_t k0 = static_cast<uint32_t>(seed), k1 = static_cast<uint32_t>(seed >> 32);
  for (int round = 0; round < 10; ++round) {
    for (int g = 0; g < Groups; ++g) {
      const vu64 p0 = multiply_low_halves(c[g][0], 0xD2511F53u),
                 p1 = multiply_low_halves(c[g][2], 0xCD9E8D57u);
      c[g][0] = (p1 >> 32) ^ c[g][1] ^ uint64_t { k0 };
      c[g][1] = p1;
      c[g][2] = (p0 >> 32) ^ c[g][3] ^ uint64_t { k1 };
      c[g][3] = p0;
    }
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
}

constexpr int kPhiloxGroups = 2;
// Counters, and words, that one call of philox_words makes.
constexpr int kPhiloxBlocks = kPhiloxGroups * kLanes<int64_t>;
constexpr int kPhiloxWords = 4 * kPhiloxBlocks;

// The words of blocks counter .. counter + kPhiloxBlocks - 1, in the order of the stream.
FASTNN_INLINE void philox_words(uint64_t seed, uint64_t counter, uint32_t* out) {
  constexpr int kWide = kLanes<int64_t>, kHalf = kWide / 2;
  // Lanes 0, 2, ... hold the first half of the group's counters, lanes 1, 3, ... the second: then
  // the interleaving below puts the words in order.
  vu64 lane;
  for (int i = 0; i < kWide; ++i) lane[i] = static_cast<uint64_t>(i / 2 + (i % 2) * kHalf);
  vu64 c[kPhiloxGroups][4];
  for (int g = 0; g < kPhiloxGroups; ++g) {
    const vu64 n = lane + (counter + static_cast<uint64_t>(g * kWide));
    c[g][0] = n;
    c[g][1] = n >> 32;
    c[g][2] = c[g][3] = vu64{};
  }
  philox_rounds(c, seed);
  for (int g = 0; g < kPhiloxGroups; ++g) {
    const vu64 front = (c[g][0] & 0xffffffffu) | (c[g][1] << 32),
               back = (c[g][2] & 0xffffffffu) | (c[g][3] << 32);
    vu64 first, second;
#if defined(__AVX512F__)
    first = (vu64)_mm512_maskz_unpacklo_epi64(0xff, (__m512i)front, (__m512i)back);
    second = (vu64)_mm512_maskz_unpackhi_epi64(0xff, (__m512i)front, (__m512i)back);
#elif defined(__AVX2__)
    first = (vu64)_mm256_unpacklo_epi64((__m256i)front, (__m256i)back);
    second = (vu64)_mm256_unpackhi_epi64((__m256i)front, (__m256i)back);
#else
    for (int i = 0; i < kHalf; ++i) {
      first[2 * i] = front[2 * i];
      first[2 * i + 1] = back[2 * i];
      second[2 * i] = front[2 * i + 1];
      second[2 * i + 1] = back[2 * i + 1];
    }
#endif
    memcpy(out + 4 * kWide * g, &first, sizeof first);
    memcpy(out + 4 * kWide * g + 2 * kWide, &second, sizeof second);
  }
}

}  // namespace fastnn::FASTNN_ISA_NS
