// What the normalisations share: checks, kernels of a type, statistics.
#pragma once

#include <algorithm>
#include <cmath>

#include "cpu/kernels/norm.h"
#include "fastnn/ops/norm.h"

namespace fastnn {

template <class T>
const NormLoops<T>& norm_loops();
template <>
inline const NormLoops<float>& norm_loops<float>() {
  return active_norm_kernels().f32;
}
template <>
inline const NormLoops<double>& norm_loops<double>() {
  return active_norm_kernels().f64;
}

// A mean in two parts, whose sum is exact to more than T: x - high - low keeps its digits where the
// mean is large.
template <class T>
struct Statistics {
  T high, low, rstd;

  // From sums of x - high over n elements, and of its square.
  Statistics(T high, double first, double second, double n, double eps) : high(high) {
    low = static_cast<T>(first / n);
    const double variance = (second - first / n * first) / n;
    rstd = static_cast<T>(1 / std::sqrt((variance < 0 ? 0 : variance) + eps));
  }
  T mean() const { return high + low; }
};

// x and the arrays that go with it: float32 or float64, one shape.
inline void check_norm_arrays(const char* op, const TensorView& x,
                              std::initializer_list<const TensorView*> others) {
  if (x.dtype != DType::f32 && x.dtype != DType::f64)
    fail(ErrorKind::dtype, op, ": input must be float32 or float64, got ", name_of(x.dtype));
  for (const TensorView* v : others)
    if (*v && (v->dtype != x.dtype || v->numel() != x.numel()))
      fail(ErrorKind::shape, op, ": expected ", name_of(x.dtype), " of shape ", x.shape_text(),
           ", got ", name_of(v->dtype), " of shape ", v->shape_text());
}

// A contiguous vector of n elements of x's dtype, or nothing.
inline void check_norm_vector(const char* op, const char* name, const TensorView& x,
                              const TensorView& v, int64_t n) {
  if (v && (v.dtype != x.dtype || v.numel() != n || !v.contiguous()))
    fail(ErrorKind::shape, op, ": ", name, " must be ", name_of(x.dtype), " of ", n,
         " elements, got ", name_of(v.dtype), " of shape ", v.shape_text());
}

// [N, C, S]: planes of S positions one after the other, or rows of C channels.
struct Channels {
  int64_t n, channels, positions;
  bool columns;

  explicit Channels(const TensorView& x)
      : n(x.shape[0]), channels(x.shape[1]), positions(x.shape[2]) {
    columns = channels > 1 && x.stride[1] == 1;
  }
  int64_t count() const { return n * positions; }
};

inline void check_channels(const char* op, const TensorView& x,
                           std::initializer_list<const TensorView*> others) {
  check_norm_arrays(op, x, others);
  const Channels s(x);
  const auto laid_out = [&](const TensorView& v) {
    const int64_t want[3] = {s.channels * s.positions, s.columns ? 1 : s.positions,
                             s.columns ? s.channels : 1};
    for (int d = 0; d < 3; ++d)
      if (v.shape[d] > 1 && v.stride[d] != want[d]) return false;
    return true;
  };
  if (x.numel() == 0) return;
  if (!laid_out(x)) fail(ErrorKind::value, op, ": input must be row-major or channels-last");
  for (const TensorView* v : others)
    if (*v && !laid_out(*v))
      fail(ErrorKind::value, op, ": arrays must have the input's memory layout");
}

}  // namespace fastnn
