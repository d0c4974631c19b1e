// The tile registers of AMX, all eight of full size: 16 rows of 64 bytes.
#pragma once

#ifdef __AMX_TILE__

#include <immintrin.h>
#include <stdint.h>

namespace fastnn::FASTNN_ISA_NS {

struct alignas(64) TileConfig {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

// For this thread, until released. Other code of the thread may have set them up differently
// before.
[[maybe_unused]] static void set_up_tiles() {
  static constexpr TileConfig config;
  _tile_loadconfig(&config);
}
[[maybe_unused]] static void release_tiles() { _tile_release(); }

// Between two products of tiles. While another thread runs on the same core, it has half of the
// scheduler's places, and products that wait in the others keep loads out: eight instructions that
// take no such place, these or prefetches, keep products apart. Alone on a core they run as
// fast either way (docs/gemm.md).
inline __attribute__((always_inline)) void space_out() {
  asm volatile("nop\nnop\nnop\nnop\nnop\nnop\nnop\nnop");
}

}  // namespace fastnn::FASTNN_ISA_NS

#endif
