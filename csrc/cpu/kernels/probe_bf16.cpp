// What the CPU can do in products of bfloat16: operands and sums stay in registers.
#include "cpu/kernels/probe.h"
#include "cpu/kernels/tiles.h"
#include "cpu/kernels/vec.h"

namespace fastnn {
namespace FASTNN_ISA_NS {

#ifdef __AMX_BF16__

static int64_t multiply_adds(int64_t rounds, float* sink) {
  alignas(64) static const uint16_t operand[16 * 32] = {0x3f00};
  alignas(64) float sums[16 * 16];
  set_up_tiles();
  _tile_loadd(4, operand, 64);
  _tile_loadd(5, operand, 64);
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
#pragma GCC unroll 1
  for (int64_t r = 0; r < rounds; ++r) {
    _tile_dpbf16ps(0, 4, 5);
    _tile_dpbf16ps(1, 4, 5);
    _tile_dpbf16ps(2, 4, 5);
    _tile_dpbf16ps(3, 4, 5);
  }
  _tile_stored(0, sums, 64);
  release_tiles();
  *sink = sums[0];
  return 4 * 2 * 16 * 16 * 32;
}

#else

static int64_t multiply_adds(int64_t rounds, float* sink) {
  constexpr int kChains = 12;
  const auto x = (__m512bh)_mm512_set1_epi32(0x3f003f00);
  __m512 sum[kChains];
  for (int i = 0; i < kChains; ++i) sum[i] = _mm512_set1_ps(static_cast<float>(i));
#pragma GCC unroll 1
  for (int64_t r = 0; r < rounds; ++r) {
#pragma GCC unroll 16
    for (int i = 0; i < kChains; ++i) sum[i] = _mm512_dpbf16_ps(sum[i], x, x);
  }
  vf total{};
  for (int i = 0; i < kChains; ++i) total += (vf)sum[i];
  store_n(sink, total, 1);
  return 2 * kChains * 32;
}

#endif

const Bf16ProbeKernels* bf16_probe_kernels() {
  static constexpr Bf16ProbeKernels kernels{&multiply_adds};
  return &kernels;
}

}  // namespace FASTNN_ISA_NS
}  // namespace fastnn
