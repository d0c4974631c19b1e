// Random numbers and dropout: the bits of the CPU's.
#include <cmath>

#include "array.h"
#include "fastnn/ops/random.h"
#include "ops.h"

using namespace fastnn;
using namespace fastnn::cuda::test;

namespace {

void fill(RandomKind kind, DType t, const Shape& shape, Layout layout, double a, double b) {
  const RandomParams p{kind, 0x123456789abcdefULL, (1ULL << 32) - 3, a, b, -7, 1000};
  context =
      cat("random ", static_cast<int>(kind), " ", name_of(t), " layout ", static_cast<int>(layout));
  std::vector<Array> arrays;
  arrays.reserve(2);
  arrays.emplace_back(shape, t, layout);
  if (kind == RandomKind::bernoulli_of)
    arrays.push_back(Array(shape, DType::f32, layout).random(5, 0, 1));
  else
    arrays.emplace_back();
  // float64 normals are as good as the C library; everything else has the same bits.
  const bool exact = kind != RandomKind::normal || t != DType::f64;
  compare(cuda::random_fill, random_fill, p, arrays,
          exact ? Tolerance{0, 0} : Tolerance{1e-14, 1e-15});
}

void dropout(DType t, const Shape& shape, Layout layout, double p) {
  context = cat("dropout ", name_of(t), " p ", p, " layout ", static_cast<int>(layout));
  Array x(shape, t, layout), y(shape, t, layout);
  x.random(6);
  compare(cuda::dropout_apply, dropout_apply, {p, 99, 12345}, {x, y}, {0, 0});
}

}  // namespace

void test_random() {
  for (Layout layout : {Layout::contiguous, Layout::transposed, Layout::sliced, Layout::offset})
    for (const Shape& shape : {Shape{17, 33}, Shape{1, 3}, Shape{0, 2}}) {
      for (DType t : {DType::f32, DType::f64, DType::bf16, DType::f16}) {
        fill(RandomKind::uniform, t, shape, layout, -0.3, 1.7);
        fill(RandomKind::normal, t, shape, layout, 0.5, 2);
        for (double p : {0.0, 0.4, 1.0}) dropout(t, shape, layout, p);
      }
      for (DType t : {DType::i64, DType::i32, DType::u8, DType::f32, DType::b8}) {
        fill(RandomKind::integers, t, shape, layout, 0, 0);
        fill(RandomKind::bernoulli, t, shape, layout, 0.3, 0);
        fill(RandomKind::bernoulli_of, t, shape, layout, 0, 0);
      }
    }
  fill(RandomKind::bernoulli, DType::f32, {100}, Layout::contiguous, 0, 0);
  fill(RandomKind::normal, DType::f32, {5000}, Layout::contiguous, 0, 1);
}
