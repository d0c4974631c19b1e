// What the CPU can do in products of bfloat16. Operands are values as they occur, loaded from the
// first-level cache at the rate at which a product has to: zeros in registers would be multiplied
// at a higher clock.
#include "cpu/kernels/probe.h"
#include "cpu/kernels/tiles.h"
#include "cpu/kernels/vec.h"

namespace fastnn {
namespace FASTNN_ISA_NS {

#ifdef __AMX_BF16__

static int64_t multiply_adds(int64_t rounds, float* sink) {
  constexpr int kTileValues = 16 * 32;
  alignas(64) uint16_t a[2 * kTileValues], b[2 * kTileValues];
  for (int i = 0; i < 2 * kTileValues; ++i) {  // 1 to 1.99, of either sign
    a[i] = static_cast<uint16_t>(0x3f80 | i * 37 % 128 | (i * 5 & 8) << 12);
    b[i] = static_cast<uint16_t>(0x3f80 | i * 91 % 128 | (i * 3 & 4) << 13);
  }
  alignas(64) float sums[16 * 16];
  set_up_tiles();
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
#pragma GCC unroll 1
  for (int64_t r = 0; r < rounds; ++r) {
    _tile_loadd(4, a, 64);
    _tile_loadd(6, b, 64);
    _tile_loadd(7, b + kTileValues, 64);
    _tile_loadd(5, a + kTileValues, 64);
    _tile_dpbf16ps(0, 4, 6);
    space_out();
    _tile_dpbf16ps(1, 4, 7);
    space_out();
    _tile_dpbf16ps(2, 5, 6);
    space_out();
    _tile_dpbf16ps(3, 5, 7);
    space_out();
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
