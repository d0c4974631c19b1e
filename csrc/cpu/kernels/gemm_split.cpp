// The matrix product of floats on the matrix unit, with the accuracy of floats: every value is the
// sum of three bfloat16 (gemm_split_pack.h), and of the nine products of parts the six that are not
// far below a float's last bit are summed up in float. The unit multiplies bfloat16 sixteen times
// as fast as vectors multiply floats, so that six are quicker than one.
// (Henry, Tang, Heinecke: Leveraging the bfloat16 artificial intelligence datatype for
// higher-precision computations, ARITH 2019.)
#include "cpu/kernels/gemm.h"

#ifdef __AMX_BF16__
#include "cpu/kernels/gemm_direct.h"
#include "cpu/kernels/gemm_rows.h"
#include "cpu/kernels/gemm_split_pack.h"
#include "cpu/kernels/tiles.h"
#endif

namespace fastnn {
namespace FASTNN_ISA_NS {

#ifdef __AMX_BF16__

constexpr int kColumns = kSplitLanes;

static void enter() { set_up_tiles(); }
static void leave() { release_tiles(); }

// Tiles 0 to 3 hold the sums (1: right of 0, 2 and 3: below), 4 and 5 a part of A, 6 and 7 of B.
template <int MT>
FASTNN_INLINE void load_a(const char* step, int part) {
  _tile_loadd(4, step + part * kPartBytes, 64);
  if constexpr (MT == 2) _tile_loadd(5, step + part * kPartBytes + kTileBytes, 64);
}
template <int NT>
FASTNN_INLINE void load_b(const char* step, int part) {
  _tile_loadd(6, step + part * kPartBytes, 64);
  if constexpr (NT == 2) _tile_loadd(7, step + part * kPartBytes + kTileBytes, 64);
}

// Keeps products apart (see space_out()) by asking for lines of the next step, in each of 24 slots
// another part of these.
template <int kSlot>
FASTNN_INLINE void ask_for_part(const char* next_a, const char* next_b) {
  constexpr int kLines = kStepBytes / 64 / 24;
  FASTNN_UNROLL for (int i = 0; i < kLines; ++i) {
    __builtin_prefetch(next_a + (kSlot * kLines + i) * 64);
    __builtin_prefetch(next_b + (kSlot * kLines + i) * 64);
  }
}

// The product of what is loaded; then another part of A, or of B, each tile as soon as the unit has
// read the one before.
template <int MT, int NT, int kSlot>
FASTNN_INLINE void multiply_then_a(const char* step, int part, const char* next_a,
                                   const char* next_b) {
  ask_for_part<kSlot>(next_a, next_b);
  _tile_dpbf16ps(0, 4, 6);
  ask_for_part<kSlot + 1>(next_a, next_b);
  if constexpr (NT == 2) _tile_dpbf16ps(1, 4, 7);
  ask_for_part<kSlot + 2>(next_a, next_b);
  _tile_loadd(4, step + part * kPartBytes, 64);
  if constexpr (MT == 1) return;
  _tile_dpbf16ps(2, 5, 6);
  ask_for_part<kSlot + 3>(next_a, next_b);
  if constexpr (NT == 2) _tile_dpbf16ps(3, 5, 7);
  _tile_loadd(5, step + part * kPartBytes + kTileBytes, 64);
}
template <int MT, int NT, int kSlot>
FASTNN_INLINE void multiply_then_b(const char* step, int part, const char* next_a,
                                   const char* next_b) {
  ask_for_part<kSlot>(next_a, next_b);
  _tile_dpbf16ps(0, 4, 6);
  ask_for_part<kSlot + 1>(next_a, next_b);
  if constexpr (MT == 2) _tile_dpbf16ps(2, 5, 6);
  ask_for_part<kSlot + 2>(next_a, next_b);
  _tile_loadd(6, step + part * kPartBytes, 64);
  if constexpr (NT == 1) return;
  _tile_dpbf16ps(1, 4, 7);
  ask_for_part<kSlot + 3>(next_a, next_b);
  if constexpr (MT == 2) _tile_dpbf16ps(3, 5, 7);
  _tile_loadd(7, step + part * kPartBytes + kTileBytes, 64);
}

// Small products first; each shares a part with the one before. A's last and B's first part are
// loaded; at the end, those of the next step are.
template <int MT, int NT>
FASTNN_INLINE void add_step(const char* a, const char* b, const char* next_a, const char* next_b) {
  multiply_then_a<MT, NT, 0>(a, 1, next_a, next_b);
  multiply_then_b<MT, NT, 4>(b, 1, next_a, next_b);
  multiply_then_a<MT, NT, 8>(a, 0, next_a, next_b);
  multiply_then_b<MT, NT, 12>(b, 2, next_a, next_b);
  multiply_then_b<MT, NT, 16>(b, 0, next_a, next_b);
  multiply_then_a<MT, NT, 20>(next_a, 2, next_a, next_b);
  load_b<NT>(next_b, 0);
}

// What is asked for in every step of k: some rows of the sums' place, and what is needed next.
class Asking {
 public:
  Asking(const GemmTile& t, int64_t steps)
      : row_(static_cast<const char*>(t.c)),
        stride_(t.c_row * 4),
        rows_(t.m),
        rows_in_step_(static_cast<int>((t.m + steps - 1) / steps)),
        ahead_(static_cast<const char*>(t.ahead)),
        ahead_step_(t.ahead_step) {}

  inline __attribute__((always_inline)) void in_step() {
    for (int i = rows_ < rows_in_step_ ? rows_ : rows_in_step_; i > 0; --i, --rows_) {
      __builtin_prefetch(row_, 1);
      __builtin_prefetch(row_ + 64, 1);
      row_ += stride_;
    }
    FASTNN_UNROLL for (int i = 0; i < kStepK / GemmTile::kAheadStep; ++i) {
      FASTNN_UNROLL for (int at = 0; at < GemmTile::kAheadBytes; at += 64)
          __builtin_prefetch(ahead_ + at, 0, 2);
      ahead_ += ahead_step_;
    }
  }

 private:
  const char* row_;
  int64_t stride_;
  int rows_, rows_in_step_;
  const char* ahead_;
  int64_t ahead_step_;
};

template <int MT, int NT>
static void sum_parts(const GemmTile& t, float* sum, int64_t row) {
  const char* a = static_cast<const char*>(t.a) + kSplitHeader;
  const char* b = static_cast<const char*>(t.b) + kSplitHeader;
  _tile_zero(0);
  if constexpr (NT == 2) _tile_zero(1);
  if constexpr (MT == 2) _tile_zero(2);
  if constexpr (MT == 2 && NT == 2) _tile_zero(3);
  const int64_t steps = (t.k + kStepK - 1) / kStepK;
  Asking asking(t, steps);
  load_a<MT>(a, 2);
  load_b<NT>(b, 0);
  for (int64_t i = steps; i > 0; --i, a += kStepBytes, b += kStepBytes) {
    const int64_t next = i > 1 ? kStepBytes : 0;  // nothing is behind the last
    add_step<MT, NT>(a, b, a + next, b + next);
    asking.in_step();
  }
  _tile_stored(0, sum, 4 * row);
  if constexpr (NT == 2) _tile_stored(1, sum + kTile, 4 * row);
  if constexpr (MT == 2) _tile_stored(2, sum + kTile * row, 4 * row);
  if constexpr (MT == 2 && NT == 2) _tile_stored(3, sum + kTile * row + kTile, 4 * row);
}

// Whether the matrix unit computes what floats would: no sum can be infinite, and what it takes as
// zero, products of parts and differences below 2^-126, is less than 2^-26 of any product of
// values.
static bool fits_parts(const GemmTile& t) {
  const auto& a = *static_cast<const SplitNote*>(t.a);
  const auto& b = *static_cast<const SplitNote*>(t.b);
  if (a.whole || b.whole) return false;
  const int64_t least = static_cast<int64_t>(a.least >> 23) + (b.least >> 23) - 2 * 127;
  const int64_t most = static_cast<int64_t>(a.most >> 23) + (b.most >> 23) - 2 * 127;
  return least >= -100 && most <= 100;
}

// The same sum by vectors of floats.
static void sum_floats(const GemmTile& t, float* sum) {
  alignas(64) float room_a[kStepK * kSplitLanes], room_b[kStepK * kSplitLanes];
  for (int i = 0; i < kSplitLanes * kColumns; ++i) sum[i] = 0;
  for (int64_t k = 0; k < t.k; k += kStepK) {
    const FloatStep a = float_step<true>(static_cast<const char*>(t.a), k / kStepK, room_a);
    const FloatStep b = float_step<false>(static_cast<const char*>(t.b), k / kStepK, room_b);
    GemmTile part{};
    part.a_row = a.lane;
    part.a_k = a.k;
    part.b = b.at;
    part.b_k = kColumns;
    part.k = t.k - k < kStepK ? t.k - k : kStepK;
    part.c_row = part.src_row = kColumns;
    part.n = t.n;
    part.alpha = part.beta = 1;
    for (int i = 0; i < t.m; i += kRows) {
      part.a = a.at + i * a.lane;
      part.src = part.c = sum + i * kColumns;
      part.m = t.m - i < kRows ? t.m - i : kRows;
      run_direct<float>(part);
    }
  }
}

// Whether the sums are the result, and their tiles whole.
static bool is_plain(const GemmTile& t) {
  return t.m == kSplitLanes && t.n == kColumns && t.alpha == 1 && t.beta == 0 && !t.bias_n &&
         !t.bias_m && !t.rectifier.on;
}

template <int NT>
static void product(const GemmTile& t) {
  const bool parts = t.k > 0 && fits_parts(t);
  if (parts && is_plain(t)) return sum_parts<2, 2>(t, static_cast<float*>(t.c), t.c_row);
  alignas(64) float sum[kSplitLanes * kColumns];
  if (!parts)
    sum_floats(t, sum);
  else
    t.m > kTile ? sum_parts<2, NT>(t, sum, kColumns) : sum_parts<1, NT>(t, sum, kColumns);
  write_rows<NT>(t, sum, kColumns);
}

static void run_tile_split(const GemmTile& t) { t.n > kTile ? product<2>(t) : product<1>(t); }

const GemmFamily* gemm_split_family() {
  static constexpr GemmFamily family = {
      .mr = kSplitLanes,
      .nr = kColumns,
      .a_panel = kSplitLanes,
      .elem = 6,
      .header = kSplitHeader,
      .depth = 512,
      .quarters = 3,
      .k_step = kStepK,
      .speed = 2,
      .asks = true,
      .stores_behind = false,
      .row_group = 0,
      .enter = &enter,
      .leave = &leave,
      .packed = &run_tile_split,
      .direct = nullptr,
      .pack_a = &pack_split<true>,
      .pack_b = &pack_split<false>,
      .pack = &pack<float>,
      .finish = &finish<float>,
      .sum = &sum<float>,
      .vector = nullptr,
  };
  return &family;
}

#else

const GemmFamily* gemm_split_family() { return nullptr; }

#endif

}  // namespace FASTNN_ISA_NS
}  // namespace fastnn
