// Reductions of every kind: lines, columns, several parts, all dtypes.
#include <cmath>

#include "array.h"
#include "ops.h"

using namespace fastnn;
using namespace fastnn::cuda::test;

namespace {

Shape reduced_shape(const Shape& shape, uint32_t axes) {
  Shape out = shape;
  for (size_t d = 0; d < shape.size(); ++d)
    if (axes >> d & 1) out[d] = 1;
  return out;
}

void one(ReduceOp op, DType t, const Shape& shape, uint32_t axes, Layout layout, double p = 0,
         bool index = false) {
  const bool counts = op == ReduceOp::any || op == ReduceOp::all;
  const bool integer = !is_float(t) || op == ReduceOp::count_nonzero;
  const DType out = counts ? DType::b8 : integer ? DType::i64 : t;
  Array x(shape, t, layout);
  x.random(11, -2, 3);
  if (op == ReduceOp::prod) x.random(11, is_float(t) ? 0.8 : 1, is_float(t) ? 1.25 : 3);
  if (counts && x.numel() > 3) x.set(2, 0);
  const Shape small = reduced_shape(shape, axes);
  std::vector<Array> arrays{x, Array(small, out), index ? Array(small, DType::i64) : Array()};
  context = cat("reduce ", static_cast<int>(op), " ", name_of(t), " ", x.view().shape_text(),
                " axes ", axes, " p ", p, " layout ", static_cast<int>(layout));
  Tolerance tolerance = tolerance_of(out);
  if (out == DType::f64) tolerance.absolute = 1e-11;
  compare(cuda::reduce, reduce, {op, axes, p}, arrays, tolerance);
}

}  // namespace

void test_reduce() {
  constexpr int kOps = static_cast<int>(ReduceOp::logsumexp) + 1;
  const struct {
    Shape shape;
    uint32_t axes;
  } shapes[] = {{{7, 5, 33}, 4}, {{7, 5, 33}, 2}, {{7, 5, 33}, 5},   {{3, 5000}, 2},
                {{900, 70}, 1},  {{40000}, 1},    {{2, 3, 4, 5}, 0}, {{5, 1}, 2}};
  for (const auto& s : shapes)
    for (int i = 0; i < kOps; ++i) {
      const auto op = static_cast<ReduceOp>(i);
      const bool extreme = op == ReduceOp::max || op == ReduceOp::min;
      const bool one_axis = (s.axes & (s.axes - 1)) == 0 && s.axes != 0;
      const bool floats_only = op == ReduceOp::mean || op >= ReduceOp::norm;
      for (DType t : {DType::f32, DType::bf16, DType::f64, DType::i32}) {
        if (!is_float(t) && floats_only) continue;
        if (op == ReduceOp::prod && s.shape[0] > 100) continue;
        one(op, t, s.shape, s.axes, Layout::contiguous, op == ReduceOp::norm ? 2 : 1,
            extreme && one_axis);
      }
    }
  for (double p : {0.0, 1.0, 3.0, HUGE_VAL, -HUGE_VAL})
    one(ReduceOp::norm, DType::f32, {9, 40}, 2, Layout::contiguous, p);
  for (Layout layout : {Layout::transposed, Layout::sliced, Layout::reversed, Layout::offset}) {
    one(ReduceOp::sum, DType::f16, {6, 50, 40}, 2, layout);
    one(ReduceOp::max, DType::f32, {6, 50, 40}, 4, layout, 0, true);
  }
  for (const Shape& shape : {Shape{0, 3}, Shape{3, 0}})
    for (ReduceOp op : {ReduceOp::sum, ReduceOp::mean, ReduceOp::prod, ReduceOp::logsumexp})
      one(op, DType::f32, shape, 2, Layout::contiguous);
  one(ReduceOp::sum, DType::f32, {}, 0, Layout::contiguous);

  Array x({2, 300}, DType::f32), y({2, 1}, DType::f32), at({2, 1}, DType::i64);
  x.fill(3);
  x.set(170, NAN);
  x.set(270, NAN);
  context = "the first NaN, the first of equals";
  compare(cuda::reduce, reduce, {ReduceOp::max, 2, 0}, {x, y, at}, {0, 0});
  x.fill(-INFINITY);
  compare(cuda::reduce, reduce, {ReduceOp::max, 2, 0}, {x, y, at}, {0, 0});
  compare(cuda::reduce, reduce, {ReduceOp::logsumexp, 2, 0}, {x, y, Array()}, {0, 0});
}
