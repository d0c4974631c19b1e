// SGD and Adam over many tensors, dense and strided, with all their flags.
#include <cmath>

#include "array.h"
#include "fastnn/ops/optim.h"
#include "ops.h"

using namespace fastnn;
using namespace fastnn::cuda::test;

namespace {

const Shape kShapes[] = {{7}, {3000}, {0}, {4, 3, 5}, {1}, {33, 40}};

void one(OptimKind kind, int flags, DType t, Layout layout, Layout grad_layout, int repeats) {
  const int64_t count = repeats * static_cast<int64_t>(std::size(kShapes));
  OptimParams p{kind, flags, count, 0.1, 0.01, {0.9, kind == OptimKind::sgd ? 0.1 : 0.99, 1e-8, 0}};
  context = cat("optim ", static_cast<int>(kind), " flags ", flags, " ", name_of(t), " layout ",
                static_cast<int>(layout), " ", count, " tensors");
  std::vector<Array> arrays;
  const int states = optim_states(kind, flags);
  for (int k = 0; k < 2 + states; ++k)
    for (int64_t i = 0; i < count; ++i) {
      Array a(kShapes[static_cast<size_t>(i) % std::size(kShapes)], t,
              k == 1 ? grad_layout : layout);
      arrays.push_back(a.random(static_cast<uint64_t>(k * 100 + i), k < 2 ? -1 : 0, 1));
    }
  for (int k = 0; k < optim_scalars(kind); ++k)
    for (int64_t i = 0; i < count; ++i) arrays.push_back(Array({}, DType::f32).fill(3));
  Tolerance tolerance = tolerance_of(t);
  if (t == DType::f32) tolerance = {1e-5, 1e-6};
  if (size_of(t) == 2) tolerance.absolute = 1e-3;
  compare(cuda::optim_step, optim_step, p, arrays, tolerance);
}

}  // namespace

void test_optim() {
  for (DType t : {DType::f32, DType::bf16, DType::f16, DType::f64}) {
    for (int flags : {0, +kOptimMomentum, kOptimMomentum | kOptimNesterov,
                      kOptimMomentum | kOptimFirst, +kOptimMaximize})
      one(OptimKind::sgd, flags, t, Layout::contiguous, Layout::contiguous, 1);
    for (int flags : {0, +kOptimAmsgrad, +kOptimDecoupled, kOptimAmsgrad | kOptimMaximize})
      one(OptimKind::adam, flags, t, Layout::contiguous, Layout::contiguous, 1);
    one(OptimKind::adam, kOptimAmsgrad, t, Layout::transposed, Layout::contiguous, 1);
    one(OptimKind::sgd, kOptimMomentum, t, Layout::sliced, Layout::transposed, 1);
  }
  one(OptimKind::adam, 0, DType::f32, Layout::contiguous, Layout::contiguous, 20);
  one(OptimKind::sgd, 0, DType::f32, Layout::contiguous, Layout::contiguous, 20);
}
