// Matrix products: layouts, ragged sizes, batches, epilogues, split sums.
#include <cmath>

#include "array.h"
#include "fastnn/ops/gemm.h"
#include "ops.h"

using namespace fastnn;
using namespace fastnn::cuda::test;

namespace {

Shape with_batch(Shape batch, int64_t rows, int64_t columns) {
  batch.push_back(rows);
  batch.push_back(columns);
  return batch;
}

void one(DType t, int64_t m, int64_t n, int64_t k, Layout la, Layout lb, Layout lc,
         const GemmParams& p = {}, int bias = 0, Shape batch = {}, Shape b_batch = {}) {
  Array a(with_batch(batch, m, k), t, la), b(with_batch(b_batch, k, n), t, lb);
  Array c(with_batch(batch, m, n), t, lc), with;
  a.random(1);
  b.random(2);
  if (p.beta != 0) c.random(3);
  if (bias == 1) with = Array({n}, t).random(4);
  if (bias == 2) with = Array({m, 1}, t).random(4);
  context = cat("gemm ", name_of(t), " ", m, "x", n, "x", k, " layouts ", static_cast<int>(la),
                static_cast<int>(lb), static_cast<int>(lc), " bias ", bias);
  const double scale = std::sqrt(static_cast<double>(k) + 1);
  Tolerance tolerance{tolerance_of(t).relative, 2e-6 * scale};
  if (t == DType::f64) tolerance.absolute = 1e-14 * scale;
  if (size_of(t) == 2) tolerance.absolute = 1e-3;
  compare(cuda::gemm_forward, gemm_forward, p, {a, b, c, with}, tolerance);
}

}  // namespace

void test_gemm() {
  const Layout plain = Layout::contiguous, turned = Layout::transposed;
  for (DType t : {DType::f32, DType::bf16, DType::f16, DType::f64})
    for (Layout la : {plain, turned})
      for (Layout lb : {plain, turned})
        for (Layout lc : {plain, turned}) one(t, 67, 35, 41, la, lb, lc);
  one(DType::f32, 1100, 1030, 17, plain, turned, plain);                            // large tiles
  one(DType::f32, 5, 7, 3000, plain, plain, plain, {0.5, 2, Activation::relu}, 1);  // split
  one(DType::bf16, 70, 7, 1500, plain, plain, plain, {1, 0, Activation::none}, 2);
  one(DType::f32, 33, 1, 50, plain, plain, plain);
  one(DType::f32, 1, 90, 50, plain, plain, plain);
  one(DType::f32, 9, 8, 0, plain, plain, plain, {1, 3, Activation::none}, 1);
  one(DType::f32, 0, 8, 4, plain, plain, plain);
  for (int i = 0; i < kActivations; ++i)
    one(DType::f32, 20, 12, 9, plain, plain, plain, {1, 0, static_cast<Activation>(i)}, 1);
  one(DType::f32, 12, 20, 70, plain, turned, plain, {}, 1, {3, 4}, {4});
  one(DType::f32, 12, 20, 2000, turned, plain, plain, {}, 2, {2}, {2});
  for (Layout layout : {Layout::sliced, Layout::reversed, Layout::offset})
    one(DType::f32, 30, 40, 20, layout, layout, layout);
}
