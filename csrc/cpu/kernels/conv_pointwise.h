// Tiles for convolutions of one tap: three or four vectors of pixels, so that fewer rows of the
// weight than in a matrix product's tiles keep all accumulators, and may be read where they lie: so
// few rows do not evict each other from the cache, however far apart.
#pragma once

#include "cpu/kernels/conv_pointwise_table.h"
#include "cpu/kernels/gemm_tile.h"

namespace fastnn::FASTNN_ISA_NS {

// The fewer loads for each multiply-add the better: cores that share their units with another
// thread, and those that clock lower under loads, are quicker by some per cent.
#if defined(__AVX512F__)
constexpr int kPointRows[] = {8, 8, 8, 6};
#elif defined(__AVX2__) || defined(__aarch64__)
constexpr int kPointRows[] = {4, 4, 4};
#else
constexpr int kPointRows[] = {3, 3, 3};  // no fused multiply-add: the product needs a register
#endif
constexpr int kPointVectors = sizeof kPointRows / sizeof kPointRows[0],
              kPointMostRows = kPointRows[0];
constexpr int kPointLanes = kLanes<float>;

template <int R, int NV>
FASTNN_INLINE void write_point_tile(const ConvPointwiseTile& t, vf (&acc)[R][NV]) {
  constexpr int L = kPointLanes;
  const int last = t.columns - (NV - 1) * L;
  FASTNN_UNROLL for (int r = 0; r < R; ++r) {
    float* row = t.out + r * t.out_row;
    const vf bias = t.bias ? splat(t.bias[r]) : vf{};
    FASTNN_UNROLL for (int j = 0; j < NV; ++j) {
      float* const at = row + j * L;
      const bool part = j == NV - 1 && last < L;
      vf v = acc[r][j];
      if (!t.first) v += part ? load_n(at, last) : load(at);
      if (t.bias) v += bias;
      if (t.rectifier.on) v = rectified(t.rectifier, v);
      if (part)
        store_n(at, v, last);
      else
        store(at, v);
    }
  }
}

// Rows are addressed three to a pointer (p, p + row, p + 2 row), which spares integer registers.
// Copies: t.from is read, and copied to t.b, which takes no time beside the products.
template <int R, int NV, bool Copies>
static void point_tile(const ConvPointwiseTile& t) {
  constexpr int L = kPointLanes, G = (R + 2) / 3, kLine = 16;  // values of a cache line
  constexpr int kAhead = 16;                                   // channels
  const int64_t row = t.a_row, from_k = t.from_k;
  const float *a[G], *from = t.from, *ahead = t.ahead;
  float* b = t.b;
  FASTNN_UNROLL for (int g = 0; g < G; ++g) a[g] = t.a + 3 * g * row;
  vf acc[R][NV] = {};
  const auto step = [&](int i) __attribute__((always_inline)) {
    vf x[NV];
    FASTNN_UNROLL for (int j = 0; j < NV; ++j) {
      x[j] = load(Copies ? from + j * L : b + (i * NV + j) * L);
      if (Copies) {
        store(b + (i * NV + j) * L, x[j]);
        __builtin_prefetch(from + kAhead * from_k + j * L);
      }
    }
    if (Copies) {
      __builtin_prefetch(from + kAhead * from_k + NV * L - 1);
      from += from_k;
    }
    FASTNN_UNROLL for (int r = 0; r < R; ++r) {
      const vf w = splat(a[r / 3][r % 3 * row + i]);
      FASTNN_UNROLL for (int j = 0; j < NV; ++j) acc[r][j] = fma(w, x[j], acc[r][j]);
    }
    asm volatile("" ::: "memory");  // loads stay in their step: registers would run out
  };
  const auto advance = [&](int n) __attribute__((always_inline)) {
    FASTNN_UNROLL for (int g = 0; g < G; ++g) a[g] += n;
    b += n * NV * L;
  };
  int64_t k = t.k;
#pragma GCC unroll 1
  for (; k >= kLine; k -= kLine) {
    FASTNN_UNROLL for (int r = 0; r < R; ++r) __builtin_prefetch(ahead + r * t.ahead_row, 0, 2);
    ahead += kLine;
#pragma GCC unroll 1
    for (int i = 0; i < kLine; i += 4, advance(4)) {
      step(0), step(1), step(2), step(3);
    }
  }
#pragma GCC unroll 1
  for (; k > 0; --k, advance(1)) step(0);
  write_point_tile<R, NV>(t, acc);
}

using PointFn = void (*)(const ConvPointwiseTile&);
struct PointTable {
  PointFn fn[kPointMostRows][kPointVectors][2];  // rows, vectors, whether it copies
};
template <int I>
constexpr void fill_points(PointTable& table) {
  if constexpr (I > 0) {
    constexpr int r = (I - 1) / kPointVectors, v = (I - 1) % kPointVectors;
    if constexpr (r < kPointRows[v]) {
      table.fn[r][v][false] = &point_tile<r + 1, v + 1, false>;
      table.fn[r][v][true] = &point_tile<r + 1, v + 1, true>;
    }
    fill_points<I - 1>(table);
  }
}
constexpr PointTable make_points() {
  PointTable table{};
  fill_points<kPointMostRows * kPointVectors>(table);
  return table;
}

static void run_point_tile(const ConvPointwiseTile& t) {
  static constexpr PointTable table = make_points();
  table.fn[t.rows - 1][(t.columns - 1) / kPointLanes][t.from != nullptr](t);
}

static constexpr ConvPointwise pointwise_kernels() {
  ConvPointwise kernels{kPointVectors, kPointLanes, {}, &run_point_tile};
  for (int i = 0; i < kPointVectors; ++i) kernels.rows[i] = kPointRows[i];
  return kernels;
}

}  // namespace fastnn::FASTNN_ISA_NS
