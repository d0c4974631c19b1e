// All maps, in every dtype and through both kernels, against the CPU's.
#include <cmath>

#include "array.h"
#include "ops.h"

using namespace fastnn;
using namespace fastnn::cuda::test;

namespace {

constexpr int kOps = static_cast<int>(MapOp::count);

// A range of inputs in which the op is defined and well-conditioned.
void range_of(MapOp op, double& low, double& high) {
  low = -3, high = 3;
  switch (op) {
    case MapOp::log:
    case MapOp::log2:
    case MapOp::log10:
    case MapOp::sqrt:
    case MapOp::rsqrt:
    case MapOp::pow:
    case MapOp::xlogy:
      low = 0.1;
      return;
    case MapOp::asin:
    case MapOp::acos:
    case MapOp::atanh:
      low = -0.9, high = 0.9;
      return;
    case MapOp::acosh:
      low = 1.5;
      return;
    case MapOp::log1p:
    case MapOp::lgamma:
      low = 0.5, high = 5;
      return;
    case MapOp::tan:
      low = -1, high = 1;
      return;
    default:
      return;
  }
}

ElementwiseParams params_of(MapOp op, DType compute) {
  ElementwiseParams p{op, compute, {1, 2, 3}};
  if (op == MapOp::hardtanh || op == MapOp::hardtanh_backward) p.p[0] = -1, p.p[1] = 1;
  return p;
}

bool divides(MapOp op) {
  return op == MapOp::floor_divide || op == MapOp::trunc_divide || op == MapOp::fmod ||
         op == MapOp::remainder;
}

Tolerance tolerance_for(MapOp op, DType compute, DType t) {
  Tolerance r = tolerance_of(t);
  // Differences that cancel: absolute errors of the larger terms.
  if (t == DType::f32) r.absolute = 4e-6;
  if (compute == DType::f64) r.absolute = 1e-12;
  if (divides(op) && t == DType::f32) r.relative = 1e-5;
  return r;
}

void one(MapOp op, DType in, const Shape& shape, std::vector<Shape> inputs, Layout layout,
         DType result) {
  const MapInfo& info = kMapInfo[static_cast<int>(op)];
  const DType compute = is_float(in)                 ? compute_type(in)
                        : info.kind == MapKind::real ? DType::f32
                                                     : DType::i64;
  if (compute == DType::i64 && !map_has_integers(op)) return;
  if (compute != DType::i64 && (op == MapOp::bitwise_and || op == MapOp::bitwise_or ||
                                op == MapOp::bitwise_xor || op == MapOp::bitwise_not))
    return;
  double low, high;
  range_of(op, low, high);
  if (!is_float(in)) low = in == DType::u8 ? 1 : -9, high = 9;
  const DType out = info.kind == MapKind::test          ? DType::b8
                    : is_float(in) == is_float(compute) ? result
                                                        : compute;
  std::vector<Array> arrays;
  arrays.push_back(Array(shape, out, layout));
  for (int k = 0; k < info.arity; ++k) {
    Array a(inputs[static_cast<size_t>(k)], in, layout);
    a.random(17 + static_cast<uint64_t>(k), low, high);
    if (divides(op) && k == 1)
      for (int64_t i = 0; i < a.numel(); ++i)
        if (std::fabs(a.get(i)) < 0.25) a.set(i, 1);
    arrays.push_back(a);
  }
  context = cat(info.name, " ", name_of(in), " ", arrays[0].view().shape_text(), " layout ",
                static_cast<int>(layout));
  compare(cuda::elementwise, elementwise, params_of(op, compute), arrays,
          tolerance_for(op, compute, out));
}

void special_values() {
  const double values[] = {0.0,    -0.0, INFINITY, -INFINITY, NAN, 1e-40,
                           -1e-40, 3e38, 0.5,      -2.5,      90,  -110};
  for (int i = 0; i < kOps; ++i) {
    const auto op = static_cast<MapOp>(i);
    const MapInfo& info = kMapInfo[i];
    if (op == MapOp::bitwise_and || op == MapOp::bitwise_or || op == MapOp::bitwise_xor ||
        op == MapOp::bitwise_not)
      continue;
    std::vector<Array> arrays{Array({12}, info.kind == MapKind::test ? DType::b8 : DType::f32)};
    for (int k = 0; k < info.arity; ++k) {
      Array a({12}, DType::f32);
      for (int64_t j = 0; j < 12; ++j) a.set(j, k == 0 ? values[j] : 1.5);
      arrays.push_back(a);
    }
    context = cat(info.name, " special values");
    compare(cuda::elementwise, elementwise, params_of(op, DType::f32), arrays, {2e-5, 1e-37});
  }
}

void casts() {
  const DType types[] = {DType::f32, DType::f64, DType::bf16, DType::f16, DType::b8,
                         DType::u8,  DType::i8,  DType::i16,  DType::i32, DType::i64};
  for (DType from : types)
    for (DType to : types) {
      Array x({7, 33}, from, Layout::transposed), y({7, 33}, to);
      x.random(3, from == DType::b8 || from == DType::u8 ? 0 : -5, from == DType::b8 ? 2 : 100);
      context = cat("cast ", name_of(from), " to ", name_of(to));
      const DType compute =
          from == DType::f64 || to == DType::f64 ? DType::f64 : compute_type(from);
      compare(cuda::elementwise, elementwise, {MapOp::copy, compute, {}}, {y, x}, {0, 0});
    }
}

}  // namespace

void test_elementwise() {
  const DType types[] = {DType::f32, DType::bf16, DType::f16, DType::f64, DType::i64};
  for (int i = 0; i < kOps; ++i) {
    const auto op = static_cast<MapOp>(i);
    for (DType t : types) one(op, t, {1037}, {{1037}, {1037}, {1037}}, Layout::contiguous, t);
    one(op, DType::f32, {5, 9, 7}, {{9, 1}, {5, 1, 7}, {}}, Layout::contiguous, DType::f32);
    one(op, DType::bf16, {6, 11}, {{6, 11}, {11}, {6, 1}}, Layout::transposed, DType::f32);
  }
  for (Layout layout : {Layout::sliced, Layout::reversed, Layout::offset, Layout::channels_last}) {
    one(MapOp::add, DType::f32, {3, 5, 17}, {{3, 5, 17}, {5, 1}, {}}, layout, DType::f32);
    one(MapOp::where, DType::f16, {3, 5, 17}, {{3, 5, 17}, {5, 17}, {17}}, layout, DType::f16);
    one(MapOp::mul, DType::i32, {3, 5, 17}, {{3, 5, 17}, {5, 1}, {}}, layout, DType::i32);
  }
  one(MapOp::add, DType::f32, {}, {{}, {}, {}}, Layout::contiguous, DType::f32);
  one(MapOp::add, DType::f32, {0, 3}, {{0, 3}, {3}, {}}, Layout::contiguous, DType::f32);
  one(MapOp::exp, DType::f32, {1}, {{1}}, Layout::contiguous, DType::f32);
  one(MapOp::mul, DType::f32, {70001}, {{70001}, {}, {}}, Layout::contiguous, DType::f32);
  special_values();
  casts();

  // In place, and onto a shifted copy of itself.
  Array x({100}, DType::f32);
  x.random(5);
  for (int64_t shift : {0, 1}) {
    Array a = x.clone(), b = x.clone();
    const auto views = [&](const Array& base) {
      TensorView in = base.view(), out = base.view();
      in.shape[0] = out.shape[0] = 90;
      out.data = out.ptr<float>() + shift;
      return std::vector<TensorView>{out, in, in};
    };
    const ElementwiseParams p{MapOp::mul, DType::f32, {}};
    launch(elementwise, p, views(a).data());
    run_cuda(cuda::elementwise, p, views(b));
    context = "mul in place";
    same(b, a, {0, 0}, "elementwise");
  }
}
