// The matrix product of bfloat16 on CPUs that multiply it: sums of pairs in float, by AMX tiles or
// by AVX-512 dot products. Both take subnormal operands as zero.
#include "cpu/kernels/gemm_bf16_pack.h"
#include "cpu/kernels/gemm_tile.h"
#include "cpu/kernels/tiles.h"

namespace fastnn {
namespace FASTNN_ISA_NS {

constexpr int kColumns = 32;  // of a register tile

#ifdef __AMX_BF16__

constexpr int kRowsAtOnce = 32;
constexpr int kTile = 16;       // rows and columns of sums in a tile
constexpr int kStepsAhead = 2;  // of B: tile loads from the second-level cache wait too long

// Tiles 0 to 3 hold the sums (1: right of 0, 2 and 3: below), 4 and 5 A, 6 and 7 B.
static void enter() { set_up_tiles(); }
static void leave() { release_tiles(); }

// MT x NT tiles += the product.
template <int MT, int NT>
FASTNN_INLINE void add_products(const GemmTile& t) {
  const char* a = static_cast<const char*>(t.a);
  const char* b = static_cast<const char*>(t.b);
  const char* ahead = static_cast<const char*>(t.ahead);
  const int64_t lines = t.ahead_step * (kStepK / GemmTile::kAheadStep) / 64;
#pragma GCC unroll 1
  for (int64_t k = t.k; k > 0; k -= kStepK) {
    for (int64_t i = 0; i < lines; ++i, ahead += 64) __builtin_prefetch(ahead, 0, 2);
#pragma GCC unroll 32
    for (int i = 0; i < kPairs * NT; ++i)
      __builtin_prefetch(b + kStepsAhead * kPairs * 128 + i * 64, 0, 3);
    _tile_loadd(4, a, 64);
    _tile_loadd(6, b, 128);
    _tile_dpbf16ps(0, 4, 6);
    if constexpr (NT == 2) {
      _tile_loadd(7, b + 64, 128);
      _tile_dpbf16ps(1, 4, 7);
    }
    if constexpr (MT == 2) {
      _tile_loadd(5, a + 1024, 64);
      _tile_dpbf16ps(2, 5, 6);
      if constexpr (NT == 2) _tile_dpbf16ps(3, 5, 7);
    }
    a += kRowsAtOnce * 64;
    b += kPairs * 128;
  }
}

template <int MT, int NT>
FASTNN_INLINE void load_sums(const void* from, int64_t row) {
  const float* p = static_cast<const float*>(from);
  _tile_loadd(0, p, row * 4);
  if constexpr (NT == 2) _tile_loadd(1, p + kTile, row * 4);
  if constexpr (MT == 2) _tile_loadd(2, p + kTile * row, row * 4);
  if constexpr (MT == 2 && NT == 2) _tile_loadd(3, p + kTile * row + kTile, row * 4);
}

template <int MT, int NT>
FASTNN_INLINE void store_sums(void* to, int64_t row) {
  float* p = static_cast<float*>(to);
  _tile_stored(0, p, row * 4);
  if constexpr (NT == 2) _tile_stored(1, p + kTile, row * 4);
  if constexpr (MT == 2) _tile_stored(2, p + kTile * row, row * 4);
  if constexpr (MT == 2 && NT == 2) _tile_stored(3, p + kTile * row + kTile, row * 4);
}

// alpha, beta, bias and rectifier, row by row: tiles can only be stored.
template <int NT>
static void write_rows(const GemmTile& t, const float* sum) {
  GemmTile row = t;
  for (int i = 0; i < t.m; ++i, sum += kColumns) {
    vf acc[1][NT];
    for (int j = 0; j < NT; ++j) acc[0][j] = load(sum + j * kTile);
    write_tile<float, 1, NT>(row, acc);
    row.c = static_cast<float*>(row.c) + t.c_row;
    row.src = static_cast<const float*>(row.src) + t.src_row;
    if (row.bias_m) row.bias_m = static_cast<const float*>(row.bias_m) + 1;
  }
}

template <int MT, int NT>
static void product(const GemmTile& t) {
  const bool whole = t.m == MT * kTile && t.n == NT * kTile;
  const bool resumed = whole && t.k > 0 && t.alpha == 1 && t.beta == 1;  // the sum goes on
  const bool plain = whole && t.k > 0 && t.alpha == 1 && (resumed || t.beta == 0) && !t.bias_n &&
                     !t.bias_m && !t.rectifier.on;
  alignas(64) float sum[kRowsAtOnce * kColumns];
  if (t.k > 0) {
    if (resumed) {
      load_sums<MT, NT>(t.src, t.src_row);
    } else {
      _tile_zero(0);
      if constexpr (NT == 2) _tile_zero(1);
      if constexpr (MT == 2) _tile_zero(2);
      if constexpr (MT == 2 && NT == 2) _tile_zero(3);
    }
    add_products<MT, NT>(t);
    if (plain) return store_sums<MT, NT>(t.c, t.c_row);
    store_sums<MT, NT>(sum, kColumns);
  } else {
    for (float& s : sum) s = 0;
  }
  GemmTile rest = t;
  if (resumed) rest.beta = 0;
  write_rows<NT>(rest, sum);
}

static void run_tile_bf16(const GemmTile& t) {
  static constexpr void (*kTable[2][2])(const GemmTile&) = {{&product<1, 1>, &product<1, 2>},
                                                            {&product<2, 1>, &product<2, 2>}};
  kTable[t.m > kTile][t.n > kTile](t);
}

constexpr int kSpeed = 16;

#else

constexpr int kRowsAtOnce = kRows;

static void enter() {}
static void leave() {}

// R rows of A, pairs broadcast, times NV vectors of B.
template <int R, int NV>
static void product(const GemmTile& t) {
  const char* a = static_cast<const char*>(t.a);
  const char* b = static_cast<const char*>(t.b);
  vf acc[R][NV] = {};
#pragma GCC unroll 1
  for (int64_t k = t.k; k > 0; k -= kStepK) {
#pragma GCC unroll 1
    for (int pair = 0; pair < kPairs; ++pair, b += 128) {
      __m512bh bv[NV];
      FASTNN_UNROLL for (int j = 0; j < NV; ++j) bv[j] = (__m512bh)_mm512_load_si512(b + j * 64);
      FASTNN_UNROLL for (int r = 0; r < R; ++r) {
        int32_t both;
        memcpy(&both, a + r * 64 + pair * 4, 4);
        const auto x = (__m512bh)_mm512_set1_epi32(both);
        FASTNN_UNROLL for (int j = 0; j < NV; ++j) acc[r][j] =
            (vf)_mm512_dpbf16_ps((__m512)acc[r][j], x, bv[j]);
      }
    }
    a += kRowsAtOnce * 64;
  }
  write_tile<float, R, NV>(t, acc);
}

template <int R>
constexpr void fill_products(TileTable& table) {
  if constexpr (R > 0) {
    table.fn[R - 1][0] = &product<R, 1>;
    table.fn[R - 1][1] = &product<R, 2>;
    fill_products<R - 1>(table);
  }
}
constexpr TileTable product_table() {
  TileTable table{};
  fill_products<kRowsAtOnce>(table);
  return table;
}

static void run_tile_bf16(const GemmTile& t) {
  static constexpr TileTable table = product_table();
  table.fn[t.m - 1][t.n > kLanes<float>](t);
}

constexpr int kSpeed = 1;

#endif

const GemmFamily* gemm_bf16_family() {
  static constexpr GemmFamily family = {kRowsAtOnce,    kColumns,     kRowsAtOnce,  kStepK,
                                        kSpeed,         &enter,       &leave,       &run_tile_bf16,
                                        nullptr,        &pack_a_bf16, &pack_b_bf16, &pack<float>,
                                        &finish<float>, &sum<float>,  nullptr};
  return &family;
}

}  // namespace FASTNN_ISA_NS
}  // namespace fastnn
