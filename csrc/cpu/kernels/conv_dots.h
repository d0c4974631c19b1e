// Products of rows of pixels with rows of pixels: sums are vectors of pixels until the end of a
// row, so that nothing is packed.
#pragma once

#include "cpu/kernels/conv_dots_table.h"
#include "cpu/kernels/gemm_vec.h"

namespace fastnn::FASTNN_ISA_NS {

#ifdef __AVX512F__
constexpr int kDotsA = 4, kDotsB = 6, kPackingPays = 112, kManyChannels = 1024;
#else
constexpr int kDotsA = 3, kDotsB = 4, kPackingPays = 56;
constexpr int64_t kManyChannels = INT64_MAX;  // registers for small tiles only
#endif
constexpr int kDotsPlaces = (kDotsA * kDotsB + kLanes<float> - 1) / kLanes<float> * kLanes<float>;

// v[0..N) become v[0..N/2): lanes [H, 2H) of every 2H lanes are added to [0, H), in the first of a
// pair; the other way round, and so that they end up in lanes [H, 2H), in the second.
template <int H, int N>
FASTNN_INLINE void fold_round(vf* v) {
  constexpr int L = kLanes<float>;
  vi keep{}, cross{};
#pragma GCC unroll 16
  for (int i = 0; i < L; ++i) {
    keep[i] = i & H ? i + L : i;
    cross[i] = i & H ? i - H + L : i + H;
  }
#pragma GCC unroll 16
  for (int i = 0; i < N / 2; ++i)
    v[i] = __builtin_shuffle(v[2 * i], v[2 * i + 1], keep) +
           __builtin_shuffle(v[2 * i], v[2 * i + 1], cross);
}

// Lane i of the result is the sum of v[i].
FASTNN_INLINE vf fold(vf (&v)[kLanes<float>]) {
  constexpr int L = kLanes<float>;
  fold_round<1, L>(v);
  fold_round<2, L / 2>(v);
  if constexpr (L >= 8) fold_round<4, L / 4>(v);
  if constexpr (L >= 16) fold_round<8, L / 8>(v);
  return v[0];
}

// One vector of pixels of each row.
template <int R, int C, class Load>
FASTNN_INLINE void add_dots(const float* a, int64_t a_row, const float* b, int64_t b_row,
                            vf (&acc)[R][C], Load load_pixels) {
  vf x[R];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) x[r] = load_pixels(a + r * a_row);
#pragma GCC unroll 8
  for (int c = 0; c < C; ++c) {
    const vf y = load_pixels(b + c * b_row);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) acc[r][c] = fma(x[r], y, acc[r][c]);
  }
}

struct DotsTile {
  const float* a;
  const float* b;
  float* sum;
  const float* ahead[2];  // rows of the next block
};

template <int R, int C>
static void dots_tile(const ConvDotsBlock& t, const DotsTile& tile) {
  constexpr int L = kLanes<float>;
  const float *a = tile.a, *b = tile.b, *ahead0 = tile.ahead[0], *ahead1 = tile.ahead[1];
  const int64_t a_row = t.a_row, b_row = t.b_row;
  vf acc[R][C] = {};
  int64_t k = t.k;
#pragma GCC unroll 1
  for (; k >= L; k -= L, a += L, b += L) {
    __builtin_prefetch(ahead0, 0, 2);
    __builtin_prefetch(ahead1, 0, 2);
    ahead0 += L;
    ahead1 += L;
    add_dots<R, C>(a, a_row, b, b_row, acc, [](const float* p) { return load(p); });
  }
  if (k > 0)
    add_dots<R, C>(a, a_row, b, b_row, acc,
                   [n = static_cast<int>(k)](const float* p) { return load_n(p, n); });
#pragma GCC unroll 8
  for (int i = 0; i < kDotsPlaces; i += L) {
    vf v[L];
#pragma GCC unroll 16
    for (int l = 0; l < L; ++l) {
      const int r = (i + l) / kDotsB, c = (i + l) % kDotsB;
      v[l] = r < R && c < C ? acc[r < R ? r : 0][c < C ? c : 0] : vf{};
    }
    const vf total = fold(v);
    store(tile.sum + i, t.first ? total : load(tile.sum + i) + total);
  }
}

using DotsFn = void (*)(const ConvDotsBlock&, const DotsTile&);
struct DotsTable {
  DotsFn fn[kDotsA][kDotsB];
};
template <int I>
constexpr void fill_dots(DotsTable& table) {
  if constexpr (I > 0) {
    constexpr int r = (I - 1) / kDotsB, c = (I - 1) % kDotsB;
    table.fn[r][c] = &dots_tile<r + 1, c + 1>;
    fill_dots<I - 1>(table);
  }
}
constexpr DotsTable make_dots() {
  DotsTable table{};
  fill_dots<kDotsA * kDotsB>(table);
  return table;
}

// Row i of a and b of the next block; behind the last, some row.
FASTNN_INLINE const float* next_row(const ConvDotsBlock& t, int64_t i, int64_t rows) {
  if (i >= rows) return t.a;
  return i < t.m ? t.next_a + i * t.a_row : t.next_b + (i - t.m) * t.b_row;
}

// The rows of b stay in the first-level cache while those of a stream.
static void dots_block(const ConvDotsBlock& t) {
  static constexpr DotsTable table = make_dots();
  const int64_t down = (t.m + kDotsA - 1) / kDotsA, across = (t.n + kDotsB - 1) / kDotsB;
  const int64_t tiles = down * across, rows = t.m + (t.b_is_near ? 0 : t.n);
  DotsTile tile{};
  tile.sum = t.sum;
  for (int64_t number = 0; number < tiles; ++number, tile.sum += kDotsPlaces) {
    const int64_t i = number % down, j = number / down, ahead = number * rows / tiles;
    const int64_t a0 = i * t.m / down, a1 = (i + 1) * t.m / down;
    const int64_t b0 = j * t.n / across, b1 = (j + 1) * t.n / across;
    tile.a = t.a + a0 * t.a_row;
    tile.b = t.b + b0 * t.b_row;
    tile.ahead[0] = next_row(t, ahead, rows);
    tile.ahead[1] = next_row(t, ahead + 1, rows);
    table.fn[a1 - a0 - 1][b1 - b0 - 1](t, tile);
  }
}

static void write_dots(const ConvDotsOut& t) {
  constexpr int L = kLanes<float>;
  static_assert(kDotsB <= L);
  const int64_t down = (t.m + kDotsA - 1) / kDotsA, across = (t.n + kDotsB - 1) / kDotsB;
  const float* sum = t.sum;
  for (int64_t j = 0; j < across; ++j) {
    const int64_t first = j * t.n / across;
    const int columns = static_cast<int>((j + 1) * t.n / across - first);
    for (int64_t i = 0; i < down; ++i, sum += kDotsPlaces)
      for (int64_t row = i * t.m / down, r = 0; row < (i + 1) * t.m / down; ++row, ++r) {
        vf v = load_n(sum + r * kDotsB, columns);
        if (t.bias) v += splat(t.bias[row * t.bias_step]);
        if (t.rectifier.on) v = rectified(t.rectifier, v);
        store_n(t.out + row * t.out_row + first, v, columns);
      }
  }
}

static constexpr ConvDots dots_kernels() {
  return {kDotsA, kDotsB, kDotsPlaces, kPackingPays, kManyChannels, &dots_block, &write_dots};
}

}  // namespace fastnn::FASTNN_ISA_NS
