// Panels of floats cut into three bfloat16 each, as the kernels of gemm_split.cpp read them.
//
// A value is the sum of its parts, without a remainder: each part takes the eight bits that the
// ones before left, rounded. A panel begins with a note of how large its values are and goes on
// with steps of 32 values of k: [part][16 lanes or 16 pairs][64 bytes], where a pair are two values
// 16 apart in k. A tile of A has lanes as rows, one of B has pairs as rows. Where parts could be
// subnormal, which the matrix unit takes as zero, or values are infinite or not numbers, the panel
// holds the floats themselves: [k][lane].
#pragma once

#include "cpu/kernels/gemm.h"
#include "cpu/kernels/gemm_pack.h"
#include "cpu/kernels/gemm_tile.h"

namespace fastnn::FASTNN_ISA_NS {

constexpr int kStepK = 32;
constexpr int kSplitHeader = 64;
constexpr int kSplitLanes = 32;  // of a panel
constexpr int kTile = 16;        // rows of a tile
constexpr int kTileBytes = kTile * 64;
constexpr int kPartBytes = kSplitLanes / kTile * kTileBytes;
constexpr int kStepBytes = 3 * kPartBytes;

// Magnitudes of first parts, as the bits of a float without its sign, which are in the order of the
// values.
struct SplitNote {
  uint32_t least, most;  // least: of those that are not zero, minus 1; all zero: the largest number
  bool whole;            // floats, not parts
};
static_assert(sizeof(SplitNote) <= kSplitHeader);

constexpr uint32_t power_bits(int exponent) { return static_cast<uint32_t>(exponent + 127) << 23; }

using Words = uint32_t __attribute__((vector_size(64)));
constexpr uint32_t kUpperHalf = 0xffff0000;

using Halves = uint16_t __attribute__((vector_size(64)));

// What the first parts of values tell of their size, and whether any bits were left over.
struct Magnitudes {
  Halves least = Halves{} - 1, most{};
  Words lost{};

  FASTNN_INLINE void see(Magnitudes& m, Words first_parts) {
    const Halves size = (Halves)first_parts & 0x7fff, before = size - 1;
    m.most = size > m.most ? size : m.most;
    m.least = before < m.least ? before : m.least;
  }
};

// The upper halves of x and of y, x in the lower.
FASTNN_INLINE Words join_halves(Words x, Words y) { return x >> 16 | (y & kUpperHalf); }

FASTNN_INLINE Words rounded_to_half(Words bits) { return (bits + 0x8000) & kUpperHalf; }

FASTNN_INLINE void store(char* p, Words x) { memcpy(p, &x, sizeof x); }
FASTNN_INLINE Words load_words(const char* p) {
  Words x;
  memcpy(&x, p, sizeof x);
  return x;
}

// Sixteen pairs: their three parts go to rows of 64 bytes, kPartBytes apart.
FASTNN_INLINE void store_parts(vf x, vf y, char* dst, Magnitudes& seen) {
  FASTNN_UNROLL for (int part = 0; part < 2; ++part) {
    const Words hx = rounded_to_half((Words)x), hy = rounded_to_half((Words)y);
    const Words both = join_halves(hx, hy);
    if (part == 0) Magnitudes::see(seen, both);
    store(dst + part * kPartBytes, both);
    x -= (vf)hx;
    y -= (vf)hy;
  }
  seen.lost |= (Words)x | (Words)y;
  store(dst + 2 * kPartBytes, join_halves((Words)x, (Words)y));
}

// Sixteen values of sixteen lanes from one value of k on, as they lie: rows of lanes where k is
// adjacent, else rows of k. Those beyond the panel's lanes and k are 0.
FASTNN_INLINE void load_square(const GemmPack& p, int lane, int64_t k, vf (&v)[kTile]) {
  const float* src = static_cast<const float*>(p.src) + lane * p.lane_stride + k * p.k_stride;
  const int lanes = p.width - lane < kTile ? p.width - lane : kTile;
  const int count = p.k - k < kTile ? static_cast<int>(p.k - k) : kTile;
  const bool along_k = p.k_stride == 1;
  const int rows = along_k ? lanes : count, columns = along_k ? count : lanes;
  const int64_t stride = along_k ? p.lane_stride : p.k_stride;
  if (rows == kTile && columns == kTile) {
    FASTNN_UNROLL for (int i = 0; i < kTile; ++i) {
      v[i] = load(src + i * stride);
      if (!along_k) __builtin_prefetch(src + i * stride + kSplitLanes, 0, 2);
    }
  } else {
    FASTNN_UNROLL for (int i = 0; i < kTile; ++i) v[i] =
        i < rows && columns > 0 ? load_n(src + i * stride, columns) : vf{};
  }
}

template <bool LanesAreRows>
static void pack_steps(const GemmPack& p, char* dst, Magnitudes& seen) {
  const bool turn = (p.k_stride == 1) != LanesAreRows;
  for (int64_t k = 0; k < p.k; k += kStepK, dst += kStepBytes)
    for (int lane = 0; lane < p.width; lane += kTile) {
      vf x[kTile], y[kTile];
      load_square(p, lane, k, x);
      if (turn) transpose<float>(x);
      load_square(p, lane, k + kTile, y);
      if (turn) transpose<float>(y);
      char* tile = dst + lane / kTile * kTileBytes;
      FASTNN_UNROLL for (int i = 0; i < kTile; ++i) store_parts(x[i], y[i], tile + i * 64, seen);
    }
}

// Any strides: as a matrix with adjacent lanes, a step at a time.
template <bool LanesAreRows>
static void pack_apart(const GemmPack& p, char* dst, Magnitudes& seen) {
  alignas(64) float step[kStepK * kSplitLanes];
  for (int64_t k = 0; k < p.k; k += kStepK, dst += kStepBytes) {
    GemmPack part = p;
    part.src = static_cast<const float*>(p.src) + k * p.k_stride;
    part.k = p.k - k < kStepK ? p.k - k : kStepK;
    part.dst = step;
    pack<float>(part);
    part.src = step;
    part.lane_stride = 1;
    part.k_stride = kSplitLanes;
    pack_steps<LanesAreRows>(part, dst, seen);
  }
}

template <bool LanesAreRows>
static void pack_split(const GemmPack& p) {
  auto* note = static_cast<SplitNote*>(p.dst);
  char* dst = static_cast<char*>(p.dst) + kSplitHeader;
  Magnitudes seen;
  if (p.k_stride == 1 || p.lane_stride == 1)
    pack_steps<LanesAreRows>(p, dst, seen);
  else
    pack_apart<LanesAreRows>(p, dst, seen);
  uint16_t least = 0xffff, most = 0;
  for (int i = 0; i < 32; ++i) {
    if (seen.least[i] < least) least = seen.least[i];
    if (seen.most[i] > most) most = seen.most[i];
  }
  uint32_t lost = 0;
  for (int i = 0; i < 16; ++i) lost |= seen.lost[i] & ~kUpperHalf;
  *note = {uint32_t{least} << 16, uint32_t{most} << 16, false};
  // The last bit of the last part of 2^-100 is 2^-123.
  note->whole = note->most >= power_bits(127) || note->least < power_bits(-100) || lost != 0;
  if (!note->whole) return;
  GemmPack floats = p;
  floats.dst = dst;
  pack<float>(floats);
}

// One step of a panel as floats.
struct FloatStep {
  const float* at;
  int64_t lane, k;  // strides
};

// The halves of 16 pairs of a part, widened.
FASTNN_INLINE vf lower_half(const char* p) { return (vf)(load_words(p) << 16); }
FASTNN_INLINE vf upper_half(const char* p) { return (vf)(load_words(p) & kUpperHalf); }

// Step number `step` of a panel; parts are added up in `room`.
template <bool LanesAreRows>
static FloatStep float_step(const char* panel, int64_t step, float* room) {
  const bool whole = reinterpret_cast<const SplitNote*>(panel)->whole;
  panel += kSplitHeader;
  if (whole)
    return {reinterpret_cast<const float*>(panel) + step * kStepK * kSplitLanes, 1, kSplitLanes};
  constexpr int64_t kRow = LanesAreRows ? kStepK : kSplitLanes;
  for (int tile = 0; tile < kSplitLanes / kTile; ++tile)
    for (int i = 0; i < kTile; ++i) {
      const char* word = panel + step * kStepBytes + tile * kTileBytes + i * 64;
      vf x{}, y{};
      for (int part = 2; part >= 0; --part) {
        x += lower_half(word + part * kPartBytes);
        y += upper_half(word + part * kPartBytes);
      }
      const int lane = tile * kTile;
      float* to = LanesAreRows ? room + (lane + i) * kRow : room + i * kRow + lane;
      store(to, x);
      store(to + kTile * (LanesAreRows ? 1 : kRow), y);
    }
  return LanesAreRows ? FloatStep{room, kRow, 1} : FloatStep{room, 1, kRow};
}

}  // namespace fastnn::FASTNN_ISA_NS
