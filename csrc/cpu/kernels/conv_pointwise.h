// Tiles for convolutions of one tap: three vectors of pixels, so that fewer rows of the weight than
// in a matrix product's tiles keep all accumulators, and may be read where they lie: so few rows do
// not evict each other from the cache, however far apart.
#pragma once

#include "cpu/kernels/conv_pointwise_table.h"
#include "cpu/kernels/gemm_tile.h"

namespace fastnn::FASTNN_ISA_NS {

#if defined(__AVX512F__)
constexpr int kPointRows = 8;
#elif defined(__AVX2__) || defined(__aarch64__)
constexpr int kPointRows = 4;
#else
constexpr int kPointRows = 3;  // no fused multiply-add: the product needs a register of its own
#endif
constexpr int kPointVectors = 3, kPointLanes = kLanes<float>;

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
template <int R, int NV>
static void point_tile(const ConvPointwiseTile& t) {
  constexpr int L = kPointLanes, G = (R + 2) / 3, kLine = 16;  // values of a cache line
  const int64_t row = t.a_row;
  const float *a[G], *b = t.b, *ahead = t.ahead;
  FASTNN_UNROLL for (int g = 0; g < G; ++g) a[g] = t.a + 3 * g * row;
  vf acc[R][NV] = {};
  const auto step = [&](int i) __attribute__((always_inline)) {
    vf x[NV];
    FASTNN_UNROLL for (int j = 0; j < NV; ++j) x[j] = load(b + (i * NV + j) * L);
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
    FASTNN_UNROLL for (int r = 0; r < R; ++r) __builtin_prefetch(ahead + r * row, 0, 2);
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
  PointFn fn[kPointRows][kPointVectors];
};
template <int I>
constexpr void fill_points(PointTable& table) {
  if constexpr (I > 0) {
    constexpr int r = (I - 1) / kPointVectors, v = (I - 1) % kPointVectors;
    table.fn[r][v] = &point_tile<r + 1, v + 1>;
    fill_points<I - 1>(table);
  }
}
constexpr PointTable make_points() {
  PointTable table{};
  fill_points<kPointRows * kPointVectors>(table);
  return table;
}

static void run_point_tile(const ConvPointwiseTile& t) {
  static constexpr PointTable table = make_points();
  table.fn[t.rows - 1][(t.columns - 1) / kPointLanes](t);
}

template <int NV>
static void copy_vectors(const ConvPointwiseCopy& c) {
  constexpr int L = kPointLanes, kAhead = 8;  // channels
  const float* src = c.src;
  float* dst = c.dst;
  for (int64_t k = 0; k < c.k; ++k, src += c.src_k, dst += NV * L)
    FASTNN_UNROLL for (int j = 0; j < NV; ++j) {
      __builtin_prefetch(src + kAhead * c.src_k + j * L);
      store(dst + j * L, load(src + j * L));
    }
}

static void copy_strip(const ConvPointwiseCopy& c) {
  switch (c.columns / kPointLanes) {
    case 1:
      return copy_vectors<1>(c);
    case 2:
      return copy_vectors<2>(c);
    default:
      return copy_vectors<3>(c);
  }
}

static constexpr ConvPointwise pointwise_kernels() {
  return {kPointRows, kPointVectors, kPointLanes, &run_point_tile, &copy_strip};
}

}  // namespace fastnn::FASTNN_ISA_NS
