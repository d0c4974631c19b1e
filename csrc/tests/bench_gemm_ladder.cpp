// From three loops to the shipped matrix product, one idea a rung (docs/gemm.md):
//
//   bench_gemm_ladder [SIZE]     float32 squares, 960 unless given; a multiple of 96
#include <cstdlib>
#include <cstring>

#include "fastnn/isa.h"
#include "fastnn/ops/gemm.h"
#include "ladder.h"

namespace {

using namespace fastnn;

// 1. The formula. B is read down its columns: each element from another cache line.
void three_loops(const float* a, const float* b, float* c, int64_t n) {
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j < n; ++j) {
      float sum = 0;
      for (int64_t k = 0; k < n; ++k) sum += a[i * n + k] * b[k * n + j];
      c[i * n + j] = sum;
    }
}

// 2. The same loops in another order: rows of B and C, which the compiler vectorises.
void rows(const float* a, const float* b, float* c, int64_t n) {
  std::memset(c, 0, static_cast<size_t>(n * n) * 4);
  for (int64_t i = 0; i < n; ++i)
    for (int64_t k = 0; k < n; ++k)
      for (int64_t j = 0; j < n; ++j) c[i * n + j] += a[i * n + k] * b[k * n + j];
}

// 3. A block of B stays in the second-level cache while all of A passes it.
void blocked(const float* a, const float* b, float* c, int64_t n) {
  constexpr int64_t kK = 128, kN = 512;
  std::memset(c, 0, static_cast<size_t>(n * n) * 4);
  for (int64_t k0 = 0; k0 < n; k0 += kK)
    for (int64_t j0 = 0; j0 < n; j0 += kN)
      for (int64_t i = 0; i < n; ++i)
        for (int64_t k = k0; k < std::min(n, k0 + kK); ++k)
          for (int64_t j = j0; j < std::min(n, j0 + kN); ++j)
            c[i * n + j] += a[i * n + k] * b[k * n + j];
}

// A tile of C in registers, over a run of k: kRows x 2 vectors.
constexpr int kLanes = 16, kRows = 12, kColumns = 2 * kLanes;
typedef float Vector __attribute__((vector_size(kLanes * 4)));

Vector load(const float* p) {
  Vector v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

void tile(const float* a, int64_t a_row, int64_t a_k, const float* b, int64_t b_k, int64_t k_count,
          float* c, int64_t n) {
  Vector sum[kRows][2];
#pragma GCC unroll 12
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 2
    for (int v = 0; v < 2; ++v) sum[r][v] = load(c + r * n + v * kLanes);
  for (int64_t k = 0; k < k_count; ++k) {
    const Vector b0 = load(b + k * b_k), b1 = load(b + k * b_k + kLanes);
#pragma GCC unroll 12
    for (int r = 0; r < kRows; ++r) {
      const float x = a[r * a_row + k * a_k];
      sum[r][0] += x * b0;
      sum[r][1] += x * b1;
    }
  }
#pragma GCC unroll 12
  for (int r = 0; r < kRows; ++r)
#pragma GCC unroll 2
    for (int v = 0; v < 2; ++v) std::memcpy(c + r * n + v * kLanes, &sum[r][v], sizeof(Vector));
}

// 4. Sums in registers: each loaded vector of B serves twelve rows, each element of A two vectors.
void tiled(const float* a, const float* b, float* c, int64_t n) {
  constexpr int64_t kK = 256;
  std::memset(c, 0, static_cast<size_t>(n * n) * 4);
  for (int64_t k0 = 0; k0 < n; k0 += kK)
    for (int64_t j = 0; j < n; j += kColumns)
      for (int64_t i = 0; i < n; i += kRows)
        tile(a + i * n + k0, n, 1, b + k0 * n + j, n, std::min(n - k0, kK), c + i * n + j, n);
}

// 5. Both operands copied into panels in the order of their use: no cache line, no page of the
// address table and no prefetch is spent on anything else.
void packed(const float* a, const float* b, float* c, int64_t n) {
  constexpr int64_t kK = 256, kM = 20 * kRows;
  static std::vector<float> a_panels, b_panels;
  a_panels.resize(static_cast<size_t>(kM * kK));
  b_panels.resize(static_cast<size_t>(kK * n));
  std::memset(c, 0, static_cast<size_t>(n * n) * 4);
  for (int64_t k0 = 0; k0 < n; k0 += kK) {
    const int64_t depth = std::min(n - k0, kK);
    for (int64_t j = 0; j < n; j += kColumns)
      for (int64_t k = 0; k < depth; ++k)
        std::memcpy(&b_panels[static_cast<size_t>(j * kK + k * kColumns)], b + (k0 + k) * n + j,
                    kColumns * 4);
    for (int64_t i0 = 0; i0 < n; i0 += kM) {
      const int64_t end = std::min(n, i0 + kM);
      for (int64_t i = i0; i < end; i += kRows)
        for (int64_t k = 0; k < depth; ++k)
          for (int r = 0; r < kRows; ++r)
            a_panels[static_cast<size_t>((i - i0) * kK + k * kRows + r)] = a[(i + r) * n + k0 + k];
      for (int64_t j = 0; j < n; j += kColumns)
        for (int64_t i = i0; i < end; i += kRows)
          tile(&a_panels[static_cast<size_t>((i - i0) * kK)], 1, kRows,
               &b_panels[static_cast<size_t>(j * kK)], kColumns, depth, c + i * n + j, n);
    }
  }
}

TensorView square(float* p, int64_t n) {
  TensorView v;
  v.data = p;
  v.dtype = DType::f32;
  v.ndim = 2;
  v.shape[0] = v.shape[1] = n;
  v.stride[0] = n;
  v.stride[1] = 1;
  return v;
}

}  // namespace

int main(int argc, char** argv) {
  const int64_t n = argc > 1 ? std::atoll(argv[1]) : 960;
  if (n <= 0 || n % 96 != 0) {
    std::fprintf(stderr, "bench_gemm_ladder: the size must be a multiple of 96\n");
    return 2;
  }
  const ladder::Floats a(n * n), b(n * n), c(n * n), right(n * n);
  rows(a.p, b.p, right.p, n);
  const double dn = static_cast<double>(n);
  std::printf("matrix product, %lld x %lld, float32\n", static_cast<long long>(n),
              static_cast<long long>(n));
  ladder::Ladder run(2 * dn * dn * dn, right, c);
  run.rung("1. three loops", 1, [&] { three_loops(a.p, b.p, c.p, n); });
  run.rung("2. rows of B and C: vectors", 1, [&] { rows(a.p, b.p, c.p, n); });
  run.rung("3. blocks for the second-level cache", 1, [&] { blocked(a.p, b.p, c.p, n); });
  run.rung("4. a tile of C in registers", 1, [&] { tiled(a.p, b.p, c.p, n); });
  run.rung("5. operands packed in the order of use", 1, [&] { packed(a.p, b.p, c.p, n); });
  const TensorView views[4] = {square(a.p, n), square(b.p, n), square(c.p, n), {}};
  const auto shipped = [&] { launch(gemm_forward, GemmParams{}, views); };
  const bool unit = active_isa() == Isa::amx;
  if (unit) set_isa(Isa::avx512_bf16);
  run.rung("6. fastnn, one thread", 1, shipped);
  run.rung("7. fastnn, two threads", 2, shipped);
  if (!unit) return 0;
  set_isa(Isa::amx);
  run.rung("8. fastnn, matrix unit, one thread", 1, shipped);
  run.rung("9. fastnn, matrix unit, two threads", 2, shipped);
}
