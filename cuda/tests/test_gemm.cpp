// Matrix products: layouts, ragged sizes, batches, epilogues, split sums.
#include <cmath>

#include "array.h"
#include "fastnn/ops/gemm.h"
#include "ops.h"

using namespace fastnn;
namespace shim = fastnn::cuda::shim;
using namespace fastnn::cuda::test;

namespace {

Shape with_batch(Shape batch, int64_t rows, int64_t columns) {
  batch.push_back(rows);
  batch.push_back(columns);
  return batch;
}

void one(DType t, int64_t m, int64_t n, int64_t k, Layout la, Layout lb, Layout lc,
         const GemmParams& p = {}, int bias = 0, Shape batch = {}, Shape b_batch = {},
         bool wide = false) {
  const DType tc = wide ? DType::f32 : t;
  Array a(with_batch(batch, m, k), t, la), b(with_batch(b_batch, k, n), t, lb);
  Array c(with_batch(batch, m, n), tc, lc), with;
  a.random(1);
  b.random(2);
  if (p.beta != 0) c.random(3);
  if (bias == 1) with = Array({n}, t).random(4);
  if (bias == 2) with = Array({m, 1}, t).random(4);
  context = cat("gemm ", name_of(t), " ", m, "x", n, "x", k, wide ? " to float32" : "", " layouts ",
                static_cast<int>(la), static_cast<int>(lb), static_cast<int>(lc), " bias ", bias);
  const double scale = std::sqrt(static_cast<double>(k) + 1);
  Tolerance tolerance{tolerance_of(tc).relative, 2e-6 * scale};
  if (t == DType::f64) tolerance.absolute = 1e-14 * scale;
  compare(cuda::gemm_forward, gemm_forward, p, {a, b, c, with}, tolerance);
}

// On tensor cores: float32 results show every product, rounded ones the epilogue.
void tensor_cores(DType t) {
  const Layout layouts[] = {Layout::contiguous, Layout::transposed};
  const int64_t sizes[][3] = {{1, 1, 1},    {1, 65, 33},   {63, 1, 32},  {65, 63, 31},
                              {64, 64, 64}, {72, 136, 40}, {129, 7, 97}, {130, 150, 8},
                              {16, 8, 0},   {40, 24, 70}};
  for (const auto& [m, n, k] : sizes)
    for (Layout la : layouts)
      for (Layout lb : layouts) {
        one(t, m, n, k, la, lb, Layout::contiguous, {}, 1, {}, {}, true);
        one(t, m, n, k, la, lb, Layout::transposed, {0.5, 2, Activation::relu}, 2);
      }
  for (Layout layout : {Layout::sliced, Layout::reversed, Layout::offset})
    one(t, 40, 48, 72, layout, layout, layout, {}, 0, {}, {}, true);
  one(t, 8 * 128 + 1, 7 * 128 + 8, 40, layouts[0], layouts[1], layouts[0], {}, 1);  // large tiles
  one(t, 8 * 128 + 8, 7 * 128 + 1, 33, layouts[1], layouts[0], layouts[1], {}, 0, {}, {}, true);
  one(t, 24, 40, 1544, layouts[0], layouts[0], layouts[0], {}, 1, {}, {}, true);  // split
  one(t, 24, 40, 1541, layouts[1], layouts[1], layouts[0], {1, 1, Activation::tanh}, 2, {3}, {});
  one(t, 24, 40, 72, layouts[0], layouts[1], layouts[0], {}, 1, {3, 2}, {2}, true);
  one(t, 0, 8, 8, layouts[0], layouts[0], layouts[0]);
}

// The same numbers give the same bits: in every schedule, and copied in chunks or one by one.
void same_bits(DType t) {
  Array first;
  const shim::Schedule before = shim::schedule();
  for (uint64_t seed = 0; seed < 6; ++seed)
    for (Layout layout : {Layout::contiguous, Layout::offset, Layout::sliced}) {
      shim::set_schedule({shim::Order::shuffled, seed, true});
      Array a({72, 1048}, t, layout), b({1048, 80}, t, layout), c({72, 80}, DType::f32);
      a.normal(1);
      b.normal(2);
      context = cat("gemm ", name_of(t), " seed ", seed, " layout ", static_cast<int>(layout));
      run_cuda(cuda::gemm_forward, {}, {a.view(), b.view(), c.view(), TensorView{}});
      if (!first.view()) first = c;
      same(c, first, {0, 0}, "the same bits");
    }
  shim::set_schedule(before);
}

}  // namespace

void test_gemm() {
  for (DType t : {DType::bf16, DType::f16}) {
    tensor_cores(t);
    same_bits(t);
  }
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
