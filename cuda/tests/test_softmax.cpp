// softmax, log_softmax and their gradients along every kind of axis.
#include <cmath>

#include "array.h"
#include "fastnn/ops/softmax.h"
#include "ops.h"

using namespace fastnn;
using namespace fastnn::cuda::test;

void test_softmax() {
  const struct {
    Shape shape;
    int axis;
  } cases[] = {{{3, 10}, 1}, {{5, 1500}, 1}, {{2, 7, 40}, 1}, {{40, 3}, 0},
               {{1}, 0},     {{0, 4}, 1},    {{9, 33}, 1}};
  for (const auto& c : cases)
    for (DType t : {DType::f32, DType::bf16, DType::f16, DType::f64})
      for (Layout layout : {Layout::contiguous, Layout::transposed, Layout::sliced})
        for (bool log : {false, true}) {
          Array x(c.shape, t, layout), y(c.shape, t, layout), g(c.shape, t), dx(c.shape, t);
          x.random(1, -4, 4);
          g.random(2);
          y.random(3, log ? -3 : 0, log ? 0 : 0.2);
          context = cat("softmax ", name_of(t), " ", x.view().shape_text(), " axis ", c.axis,
                        " log ", log);
          Tolerance tolerance = tolerance_of(t);
          if (t == DType::f32) tolerance = {2e-5, 1e-5};  // sums of up to 1500 in float
          compare(cuda::softmax_forward, softmax_forward, {c.axis, log}, {x, y}, tolerance);
          if (t == DType::bf16) tolerance.absolute = 1e-4;
          compare(cuda::softmax_backward, softmax_backward, {c.axis, log}, {g, y, dx}, tolerance);
        }
  for (double special : {-HUGE_VAL, HUGE_VAL, static_cast<double>(NAN)})
    for (bool all : {false, true}) {
      Array x({2, 70}, DType::f32), y({2, 70}, DType::f32);
      x.random(4);
      for (int64_t i = 0; i < 70; ++i)
        if (all || i == 40) x.set(i, special);
      context = cat("softmax of ", special);
      compare(cuda::softmax_forward, softmax_forward, {1, false}, {x, y}, {1e-5, 1e-7});
    }
}
