// Cross-entropy with class indices and probabilities, weights, smoothing, ignored positions.
#include <cmath>

#include "array.h"
#include "fastnn/ops/cross_entropy.h"
#include "ops.h"

using namespace fastnn;
using namespace fastnn::cuda::test;

namespace {

void one(DType t, const Shape& shape, const CrossEntropyParams& p, bool weighted, Layout layout) {
  const int64_t n = shape[0], c = shape[1], d = shape[2], positions = n * d;
  const DType wide = t == DType::f64 ? DType::f64 : DType::f32;
  Array x(shape, t, layout), dx(shape, t, layout), weight, target;
  x.random(5, -3, 3);
  if (weighted) weight = Array({c}, wide).random(6, 0.5, 2);
  if (p.probabilities) {
    target = Array(shape, t, layout).random(7, 0, 1);
  } else {
    target = Array({n, d}, DType::i64).random(7, 0, static_cast<double>(c));
    if (positions > 2) target.set(1, static_cast<double>(p.ignore_index));
  }
  const bool none = p.reduction == Reduction::none;
  Array loss(none ? Shape{n, d} : Shape{}, wide), saved({2 * positions + 1}, wide);
  Array dy(none ? Shape{n, d} : Shape{}, wide);
  dy.random(8, 0.5, 2);
  context = cat("cross_entropy ", name_of(t), " ", x.view().shape_text(), " prob ", p.probabilities,
                " smooth ", p.smoothing, " reduction ", static_cast<int>(p.reduction));
  Tolerance tolerance{t == DType::f64 ? 1e-11 : 3e-5, t == DType::f64 ? 1e-12 : 1e-5};
  compare(cuda::cross_entropy_forward, cross_entropy_forward, p, {x, target, weight, loss, saved},
          tolerance);
  std::vector<Array> forward{x, target, weight, loss, saved};
  launch(cross_entropy_forward, p, views_of(forward).data());
  if (is_float(t) && size_of(t) == 2) tolerance.relative = tolerance_of(t).relative;
  compare(cuda::cross_entropy_backward, cross_entropy_backward, p,
          {x, target, weight, saved, dy, dx}, tolerance);
}

}  // namespace

void test_cross_entropy() {
  for (const Shape& shape : {Shape{64, 10, 1}, Shape{3, 1300, 1}, Shape{2, 5, 77}, Shape{300, 3, 2},
                             Shape{1, 1, 1}, Shape{0, 4, 1}})
    for (Reduction reduction : {Reduction::none, Reduction::mean, Reduction::sum})
      for (bool probabilities : {false, true})
        for (double smoothing : {0.0, 0.2})
          for (DType t : {DType::f32, DType::bf16, DType::f64})
            one(t, shape, {probabilities, -100, smoothing, reduction}, smoothing != 0,
                t == DType::f32 ? Layout::contiguous : Layout::transposed);

  // What the CPU refuses is NaN here, and nothing else is harmed.
  Array x({4, 3, 1}, DType::f32), target({4, 1}, DType::i64), loss({4, 1}, DType::f32),
      saved({9}, DType::f32);
  x.random(9);
  target.fill(1);
  target.set(2, 7);
  run_cuda(cuda::cross_entropy_forward, {false, -100, 0, Reduction::none},
           views_of({x, target, Array(), loss, saved}));
  for (int64_t i = 0; i < 4; ++i) CHECK_EQ(std::isnan(loss.get(i)), i == 2);
}
