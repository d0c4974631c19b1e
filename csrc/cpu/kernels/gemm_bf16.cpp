// The matrix product of bfloat16 on CPUs that multiply it: sums of pairs in float, by AMX tiles or
// by AVX-512 dot products. Both take subnormal operands as zero.
#include "cpu/kernels/gemm_bf16_pack.h"
#include "cpu/kernels/gemm_direct.h"
#include "cpu/kernels/gemm_rows.h"
#include "cpu/kernels/tiles.h"

namespace fastnn {
namespace FASTNN_ISA_NS {

constexpr int kColumns = 32;  // of a register tile

#ifdef __AMX_BF16__

constexpr int kRowsAtOnce = 64;
constexpr int kTile = 16;         // rows and columns of a tile of sums
constexpr int kHalf = 2 * kTile;  // rows that are summed in tiles at a time
// Steps of k for one half, then for the other: so few that they share B's in the first-level cache,
// where the sums wait, too.
constexpr int64_t kChunk = 8;
constexpr int kSumRow = kColumns * 4;      // bytes, of sums that wait in memory
constexpr int kLower = kTile * kColumns;   // where the lower tiles begin
constexpr int kSecond = kHalf * kColumns;  // and the second half

static void enter() { set_up_tiles(); }
static void leave() { release_tiles(); }

// Rows of A, so many bytes apart.
struct Rows {
  const char* at;
  int64_t row;
};

// In every step of k, while the multiplier works: some rows of the tile before are stored, and for
// some of this one's the caches are asked to hold their place in the output, as a store that waits
// for a line further away than the second level keeps all behind it waiting.
class Meanwhile {
 public:
  Meanwhile(const GemmTile& t, int64_t steps) : behind_(t.behind) {
    place_ = static_cast<const char*>(t.place);
    place_row_ = t.place_row;
    places_ = place_ ? t.m : 0;
    places_in_step_ = static_cast<int>((places_ + steps - 1) / steps);
    if (!behind_) return;
    left_ = behind_->m;
    in_step_ = static_cast<int>((left_ + steps - 1) / steps);
    sum_ = static_cast<const float*>(behind_->tile);
    out_ = static_cast<bf16*>(behind_->out);
    row_ = behind_->out_row;
  }
  ~Meanwhile() {
    if (behind_) behind_->m = left_;
  }

  inline __attribute__((always_inline)) void work() {
    for (int i = places_ < places_in_step_ ? places_ : places_in_step_; i > 0; --i, --places_) {
      __builtin_prefetch(place_, 1, 2);
      place_ += place_row_;
    }
    for (int i = left_ < in_step_ ? left_ : in_step_; i > 0; --i, --left_) {
      store_row(sum_, kColumns, out_);
      sum_ += kColumns;
      out_ += row_;
    }
  }

 private:
  GemmFinish* behind_;
  const char* place_;
  int64_t place_row_;
  int places_, places_in_step_;
  int left_ = 0, in_step_ = 0;
  const float* sum_ = nullptr;
  bf16* out_ = nullptr;
  int64_t row_ = 0;
};

// A's panel: rows of whole steps, an odd number of them, so that they lie on different sets of the
// cache.
FASTNN_INLINE int64_t row_of_a(int64_t k) { return ((k + kStepK - 1) / kStepK | 1) * 64; }

static void pack_a(const GemmPack& p) { pack_a_bf16(p, {row_of_a(p.k), 64}); }

// Tiles 0 to 3 hold the sums (1: right of 0, 2 and 3: below), 4 and 5 A, 6 and 7 B. All operands
// are loaded first: while the multiplier is at the step before.
template <int MT, int NT>
FASTNN_INLINE void load_step(const char* a, int64_t a_row, const char* b) {
  _tile_loadd(4, a, a_row);
  _tile_loadd(6, b, 128);
  if constexpr (NT == 2) _tile_loadd(7, b + 64, 128);
  if constexpr (MT == 2) _tile_loadd(5, a + kTile * a_row, a_row);
}

template <int MT, int NT>
FASTNN_INLINE void multiply_step() {
  _tile_dpbf16ps(0, 4, 6);
  space_out();
  if constexpr (NT == 2) _tile_dpbf16ps(1, 4, 7);
  space_out();
  if constexpr (MT == 2) _tile_dpbf16ps(2, 5, 6);
  space_out();
  if constexpr (MT == 2 && NT == 2) _tile_dpbf16ps(3, 5, 7);
  space_out();
}

template <int NT>
FASTNN_INLINE void begin_upper(const float* sum, bool fresh) {
  if (fresh) {
    _tile_zero(0);
    if constexpr (NT == 2) _tile_zero(1);
  } else {
    _tile_loadd(0, sum, kSumRow);
    if constexpr (NT == 2) _tile_loadd(1, sum + kTile, kSumRow);
  }
}
template <int NT>
FASTNN_INLINE void begin_lower(const float* sum, bool fresh) {
  if (fresh) {
    _tile_zero(2);
    if constexpr (NT == 2) _tile_zero(3);
  } else {
    _tile_loadd(2, sum + kLower, kSumRow);
    if constexpr (NT == 2) _tile_loadd(3, sum + kLower + kTile, kSumRow);
  }
}
template <int NT>
FASTNN_INLINE void store_upper(float* sum) {
  _tile_stored(0, sum, kSumRow);
  if constexpr (NT == 2) _tile_stored(1, sum + kTile, kSumRow);
}
template <int NT>
FASTNN_INLINE void store_lower(float* sum) {
  _tile_stored(2, sum + kLower, kSumRow);
  if constexpr (NT == 2) _tile_stored(3, sum + kLower + kTile, kSumRow);
}

// MT x NT tiles of sums += the product of some steps of k. The lower ones stay in their tiles, as
// storing them would keep the next products waiting: the caller stores them, or has them stored as
// `late` by the next call, between its first products.
template <int MT, int NT>
FASTNN_INLINE void add_products(Rows a, const char* b, int64_t steps, float* sum, bool fresh,
                                float* late, Meanwhile& meanwhile) {
  load_step<MT, NT>(a.at, a.row, b);
  begin_upper<NT>(sum, fresh);
  _tile_dpbf16ps(0, 4, 6);
  if constexpr (NT == 2) _tile_dpbf16ps(1, 4, 7);
  if (late) store_lower<NT>(late);
  if constexpr (MT == 2) {
    begin_lower<NT>(sum, fresh);
    _tile_dpbf16ps(2, 5, 6);
    if constexpr (NT == 2) _tile_dpbf16ps(3, 5, 7);
  }
  meanwhile.work();
  while (--steps > 0) {
    a.at += 64;
    b += kPairs * 128;
    load_step<MT, NT>(a.at, a.row, b);
    multiply_step<MT, NT>();
    meanwhile.work();
  }
  store_upper<NT>(sum);
}

static Rows rows_of(const GemmTile& t) {
  return {static_cast<const char*>(t.a), t.a_row == 1 ? row_of_a(t.k) : 2 * t.a_row};
}

// Up to 32 rows.
template <int MT, int NT>
static void sum_half(const GemmTile& t, float* sum, bool fresh) {
  const int64_t steps = (t.k + kStepK - 1) / kStepK;
  Meanwhile meanwhile(t, steps);
  add_products<MT, NT>(rows_of(t), static_cast<const char*>(t.b), steps, sum, fresh, nullptr,
                       meanwhile);
  if constexpr (MT == 2) store_lower<NT>(sum);
}

// 32 rows, and MT * 16.
template <int MT, int NT>
static void sum_halves(const GemmTile& t, float* sum, bool fresh) {
  Rows upper = rows_of(t), lower = upper;
  lower.at += kHalf * lower.row;
  const char* b = static_cast<const char*>(t.b);
  float* late = nullptr;
  int64_t left = (t.k + kStepK - 1) / kStepK;
  Meanwhile meanwhile(t, 2 * left);
  for (; left > 0; left -= kChunk, fresh = false) {
    const int64_t steps = left < kChunk ? left : kChunk;
    add_products<2, NT>(upper, b, steps, sum, fresh, late, meanwhile);
    add_products<MT, NT>(lower, b, steps, sum + kSecond, fresh, sum, meanwhile);
    if constexpr (MT == 2) late = sum + kSecond;
    upper.at += steps * 64;
    lower.at += steps * 64;
    b += steps * kPairs * 128;
  }
  if (late) store_lower<NT>(late);
}

template <int NT>
static void product(const GemmTile& t) {
  using SumRows = void (*)(const GemmTile&, float*, bool);
  static constexpr SumRows kSum[kRowsAtOnce / kTile] = {&sum_half<1, NT>, &sum_half<2, NT>,
                                                        &sum_halves<1, NT>, &sum_halves<2, NT>};
  // Rows of other sums may be so far apart that they evict each other.
  const bool dense = t.c_row == kColumns && t.n == NT * kTile && t.m % kTile == 0;
  const bool resumed = dense && t.k > 0 && t.alpha == 1 && t.beta == 1 && t.src == t.c;
  const bool in_place = resumed || (dense && t.k > 0 && t.beta == 0);
  alignas(64) float elsewhere[kRowsAtOnce * kColumns];
  float* sum = in_place ? static_cast<float*>(t.c) : elsewhere;
  if (t.k > 0)
    kSum[(t.m - 1) / kTile](t, sum, !resumed);
  else
    for (int i = 0; i < t.m * kColumns; ++i) sum[i] = 0;
  GemmTile rest = t;
  if (resumed) rest.beta = 0;
  const bool plain = rest.alpha == 1 && rest.beta == 0 && !t.bias_n && !t.bias_m && !t.rectifier.on;
  if (!in_place || !plain) write_rows<NT>(rest, sum, kColumns);
}

static void run_tile_bf16(const GemmTile& t) { t.n > kTile ? product<2>(t) : product<1>(t); }

constexpr bool kStoresBehind = true;
constexpr int kRowGroup = kTile;
constexpr int kSpeed = 16;
// Small parts of K are summed in turn, whatever K is: only the panels have to fit the second level.
constexpr int kDepth = 2048, kQuarters = 2;

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
    table.fn[0][R - 1] = &product<R, 1>;
    table.fn[1][R - 1] = &product<R, 2>;
    fill_products<R - 1>(table);
  }
}
constexpr TileTable product_table() {
  TileTable table{};
  fill_products<kRowsAtOnce>(table);
  return table;
}

static void pack_a(const GemmPack& p) { pack_a_bf16(p, {64, p.panel * 64}); }

static void run_tile_bf16(const GemmTile& t) {
  static constexpr TileTable table = product_table();
  table.fn[t.n > kLanes<float>][t.m - 1](t);
}

constexpr int kSpeed = 1;
constexpr bool kStoresBehind = false;
constexpr int kRowGroup = 0;
constexpr int kDepth = 0, kQuarters = 1;

#endif

const GemmFamily* gemm_bf16_family() {
  static constexpr GemmFamily family = {
      .mr = kRowsAtOnce,
      .nr = kColumns,
      .a_panel = kRowsAtOnce,
      .elem = 2,
      .header = 0,
      .depth = kDepth,
      .quarters = kQuarters,
      .k_step = kStepK,
      .speed = kSpeed,
      .asks = kSpeed == 1,  // tiles wait for their operands: the room of these is all taken
      .stores_behind = kStoresBehind,
      .row_group = kRowGroup,
      .enter = &enter,
      .leave = &leave,
      .packed = &run_tile_bf16,
      .direct = nullptr,
      .pack_a = &pack_a,
      .pack_b = &pack_b_bf16,
      .pack = &pack<float>,
      .finish = &finish<float>,
      .sum = &sum<float>,
      .vector = nullptr,
  };
  return &family;
}

}  // namespace FASTNN_ISA_NS
}  // namespace fastnn
