// The taps of interpolation along one axis: which inputs an output reads, with which weights.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "cpu/kernels/resize.h"
#include "fastnn/ops/resize.h"

namespace fastnn {

struct ResizeAxis {
  ResizeMode mode = ResizeMode::nearest;
  bool align_corners = false, antialias = false;
  double scale = 0;  // 0: from the sizes
  int64_t in = 1, out = 1;

  // Inputs per output, where positions are not aligned to corners.
  double step() const {
    if (align_corners && smooth())
      return out > 1 ? static_cast<double>(in - 1) / static_cast<double>(out - 1) : 0.0;
    return scale > 0 ? 1.0 / scale : static_cast<double>(in) / static_cast<double>(out);
  }
  bool smooth() const { return mode == ResizeMode::linear || mode == ResizeMode::cubic; }
  bool filtered() const { return antialias && smooth(); }
  double support() const {
    const double half = mode == ResizeMode::cubic ? 2.0 : 1.0;
    return half * std::max(1.0, step());
  }
  // Most inputs that one output reads.
  int64_t most_taps() const {
    if (filtered()) {
      const double reach = std::min(std::ceil(support()), static_cast<double>(in));
      return std::min<int64_t>(in, 2 * static_cast<int64_t>(reach) + 1);
    }
    return std::min<int64_t>(in, mode == ResizeMode::cubic    ? 4
                                 : mode == ResizeMode::linear ? 2
                                                              : 1);
  }
};

// Keys' cubic convolution kernel with parameter a, at distance x.
inline double cubic_weight(double x, double a) {
  x = std::fabs(x);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return (((x - 5) * x + 8) * x - 4) * a;
  return 0;
}

// PyTorch finds the nearest pixel in float arithmetic, whatever the element type; so do we, since
// another rounding would pick another pixel.
inline int64_t nearest_input(const ResizeAxis& a, int64_t o) {
  if (a.mode == ResizeMode::nearest && a.scale == 0) {
    if (a.out == a.in) return o;
    if (a.out == 2 * a.in) return o / 2;
  }
  const float step = a.scale > 0 ? static_cast<float>(1.0 / a.scale)
                                 : static_cast<float>(a.in) / static_cast<float>(a.out);
  const float shift = a.mode == ResizeMode::nearest_exact ? 0.5f : 0.0f;
  const float position = std::floor((static_cast<float>(o) + shift) * step);
  return static_cast<int64_t>(std::min(position, static_cast<float>(a.in - 1)));
}

// Calls f(input, weight) for every tap of output o, inputs in ascending order (equal ones may
// follow each other).
template <class F>
void for_taps(const ResizeAxis& a, int64_t o, F&& f) {
  if (!a.smooth()) return f(nearest_input(a, o), 1.0);
  if (a.filtered()) {
    const double center = a.step() * (static_cast<double>(o) + 0.5),
                 shrink = std::max(1.0, a.step());
    const auto size = static_cast<double>(a.in);
    const auto begin = static_cast<int64_t>(std::clamp(center - a.support() + 0.5, 0.0, size - 1));
    const auto end =
        std::max(static_cast<int64_t>(std::min(center + a.support() + 0.5, size)), begin + 1);
    const auto weight = [&](int64_t i) {
      const double x = (static_cast<double>(i) - center + 0.5) / shrink;
      return a.mode == ResizeMode::cubic ? cubic_weight(x, -0.5)
                                         : std::max(0.0, 1.0 - std::fabs(x));
    };
    double total = 0;
    for (int64_t i = begin; i < end; ++i) total += weight(i);
    for (int64_t i = begin; i < end; ++i) f(i, total != 0 ? weight(i) / total : weight(i));
    return;
  }
  const bool cubic = a.mode == ResizeMode::cubic;
  if (a.in == a.out && !cubic) return f(o, 1.0);
  double x = a.align_corners ? a.step() * static_cast<double>(o)
                             : a.step() * (static_cast<double>(o) + 0.5) - 0.5;
  x = std::min(x, static_cast<double>(a.in));
  if (!cubic) {
    x = std::max(x, 0.0);
    const int64_t low = std::min(static_cast<int64_t>(x), a.in - 1);
    const double t = std::clamp(x - static_cast<double>(low), 0.0, 1.0);
    f(low, 1.0 - t);
    f(std::min(low + 1, a.in - 1), t);
    return;
  }
  const int64_t low = std::min(static_cast<int64_t>(std::floor(x)), a.in - 1);
  const double t = std::clamp(x - static_cast<double>(low), 0.0, 1.0);
  for (int64_t j = -1; j <= 2; ++j)
    f(std::clamp(low + j, int64_t{0}, a.in - 1), cubic_weight(t - static_cast<double>(j), -0.75));
}

// Memory of one axis' taps. Both directions have at most out * most_taps weights.
template <class T>
size_t taps_list_bytes(const ResizeAxis& a, bool transposed) {
  const auto rows = static_cast<size_t>(transposed ? a.in : a.out);
  const auto weights = static_cast<size_t>(a.out * a.most_taps() + (transposed ? a.in : 0));
  return ((2 * rows + 1) * sizeof(int64_t) + weights * sizeof(T) + 63) / 64 * 64;
}
constexpr int64_t side_step(int64_t rows) { return (rows + 15) / 16 * 16; }  // whole vectors
template <class T>
size_t taps_bytes(const ResizeAxis& a, bool transposed) {
  const auto step = static_cast<size_t>(side_step(transposed ? a.in : a.out));
  return taps_list_bytes<T>(a, transposed) + 2 * step * sizeof(int32_t) +
         ResizeTaps<T>::kSideTaps * step * sizeof(T);
}

// Lays the taps of `rows` outputs side by side.
template <class T>
void put_side_by_side(ResizeTaps<T>& taps, int64_t rows, void* memory) {
  int64_t most = 0, last = 0;
  for (int64_t o = 0; o < rows; ++o) {
    most = std::max(most, taps.at[o + 1] - taps.at[o]);
    last = std::max(last, taps.first[o]);
  }
  if (most > ResizeTaps<T>::kSideTaps || last > INT32_MAX - most) return;
  const int64_t step = side_step(rows);
  auto* first = static_cast<int32_t*>(memory);
  int32_t* count = first + step;
  T* weight = reinterpret_cast<T*>(count + step);
  std::fill(weight, weight + most * step, T{0});
  for (int64_t o = 0; o < step; ++o) {
    first[o] = o < rows ? static_cast<int32_t>(taps.first[o]) : 0;
    count[o] = o < rows ? static_cast<int32_t>(taps.at[o + 1] - taps.at[o]) : 0;
    for (int64_t j = 0; j < count[o]; ++j) weight[j * step + o] = taps.weight[taps.at[o] + j];
  }
  taps.side_first = first;
  taps.side_count = count;
  taps.side_weight = weight;
  taps.side_step = step;
  taps.side_taps = static_cast<int>(most);
  for (int64_t o = 0; o < rows; ++o)
    if (count[o]) taps.side_end = std::max<int64_t>(taps.side_end, first[o] + count[o]);
}

// y = A x: row o of A.
template <class T>
ResizeTaps<T> make_taps(const ResizeAxis& a, void* memory) {
  auto* first = static_cast<int64_t*>(memory);
  int64_t* at = first + a.out;
  T* weight = reinterpret_cast<T*>(at + a.out + 1);
  int64_t used = 0;
  for (int64_t o = 0; o < a.out; ++o) {
    at[o] = used;
    int64_t last = -1;
    double sum = 0;  // of the weights of one input, rounded once
    for_taps(a, o, [&](int64_t i, double w) {
      if (last < 0) first[o] = i;
      sum = i == last ? sum + w : w;
      if (i != last) ++used;
      weight[used - 1] = static_cast<T>(sum);
      last = i;
    });
  }
  at[a.out] = used;
  ResizeTaps<T> taps{first, at, weight};
  put_side_by_side(taps, a.out, static_cast<char*>(memory) + taps_list_bytes<T>(a, false));
  return taps;
}

// x = A^T y: row i of A^T. The outputs that read an input are neighbours, because positions ascend.
template <class T>
ResizeTaps<T> make_transposed_taps(const ResizeAxis& a, const ResizeTaps<T>& taps, void* memory) {
  auto* first = static_cast<int64_t*>(memory);
  int64_t* at = first + a.in;
  T* weight = reinterpret_cast<T*>(at + a.in + 1);
  int64_t begin = 0, used = 0;
  const auto end_of = [&](int64_t o) { return taps.first[o] + taps.at[o + 1] - taps.at[o]; };
  for (int64_t i = 0; i < a.in; ++i) {
    at[i] = used;
    while (begin < a.out && end_of(begin) <= i) ++begin;
    first[i] = begin < a.out ? begin : 0;
    for (int64_t o = begin; o < a.out && taps.first[o] <= i; ++o)
      weight[used++] = taps.weight[taps.at[o] + i - taps.first[o]];
  }
  at[a.in] = used;
  ResizeTaps<T> transposed{first, at, weight};
  put_side_by_side(transposed, a.in, static_cast<char*>(memory) + taps_list_bytes<T>(a, true));
  return transposed;
}

}  // namespace fastnn
