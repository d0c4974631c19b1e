// Which pixels a point of a sampling grid reads, with which weights, and how these change with the
// point.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "fastnn/ops/grid_sample.h"

namespace fastnn {

// Along one axis: pixels i[0 .. count), their weights, and the weights' derivatives with respect to
// the grid's coordinate. A pixel outside of the image is -1.
template <class T>
struct AxisTaps {
  int count;
  int64_t i[4];
  T weight[4], slope[4];
};

// A coordinate in pixels, and its derivative with respect to what it came from.
template <class T>
struct Coordinate {
  T at, slope;
};

template <class T>
Coordinate<T> clip(Coordinate<T> c, int64_t size) {
  const T most = static_cast<T>(size - 1);
  if (!(c.at > 0)) return {T{0}, T{0}};  // NaN too
  if (c.at >= most) return {most, T{0}};
  return c;
}

// Reflected between low / 2 and high / 2 until it lies inside.
template <class T>
Coordinate<T> reflect(Coordinate<T> c, int64_t twice_low, int64_t twice_high) {
  if (twice_low == twice_high) return {T{0}, T{0}};
  const T low = static_cast<T>(twice_low) / 2, span = static_cast<T>(twice_high - twice_low) / 2;
  T x = c.at - low, slope = c.slope;
  if (x < 0) x = -x, slope = -slope;
  const T extra = std::fmod(x, span), flips = std::floor(x / span);
  if (std::fmod(flips, T{2}) == 0) return {extra + low, slope};
  return {span - extra + low, -slope};
}

// Values that no integer holds, and NaN, go to a place outside of every image.
template <class T>
Coordinate<T> representable(Coordinate<T> c) {
  if (!(std::fabs(c.at) < T{2e9})) return {T{-100}, c.slope};
  return c;
}

template <class T>
Coordinate<T> padded(Coordinate<T> c, int64_t size, const GridSampleParams& p) {
  if (p.padding == SamplePadding::border) c = clip(c, size);
  if (p.padding == SamplePadding::reflection)
    c = clip(p.align_corners ? reflect(c, 0, 2 * (size - 1)) : reflect(c, -1, 2 * size - 1), size);
  return representable(c);
}

template <class T>
AxisTaps<T> cubic_taps(Coordinate<T> c, int64_t size, const GridSampleParams& p) {
  constexpr T a = T{-0.75};
  AxisTaps<T> taps;
  taps.count = 4;
  const T floor = std::floor(c.at), t = c.at - floor;
  for (int j = 0; j < 4; ++j) {
    const T pixel = padded(Coordinate<T>{floor + static_cast<T>(j - 1), T{0}}, size, p).at;
    taps.i[j] = pixel >= 0 && pixel < static_cast<T>(size) ? static_cast<int64_t>(pixel) : -1;
    const T d = t - static_cast<T>(j - 1), x = std::fabs(d), sign = d < 0 ? T{-1} : T{1};
    if (j == 1 || j == 2) {  // within one pixel
      taps.weight[j] = ((a + 2) * x - (a + 3)) * x * x + 1;
      taps.slope[j] = sign * (3 * (a + 2) * x - 2 * (a + 3)) * x * c.slope;
    } else {
      taps.weight[j] = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a;
      taps.slope[j] = sign * ((3 * a * x - 10 * a) * x + 8 * a) * c.slope;
    }
  }
  return taps;
}

// The taps of grid coordinate g along an axis of `size` pixels.
template <class T>
AxisTaps<T> axis_taps(T g, int64_t size, const GridSampleParams& p) {
  const T extent = static_cast<T>(p.align_corners ? size - 1 : size);
  Coordinate<T> c{p.align_corners ? (g + 1) / 2 * extent : ((g + 1) * extent - 1) / 2, extent / 2};
  if (p.mode == SampleMode::bicubic) return cubic_taps(representable(c), size, p);
  c = padded(c, size, p);
  AxisTaps<T> taps;
  if (p.mode == SampleMode::nearest) {
    const T pixel = std::nearbyint(c.at);
    taps.count = 1;
    taps.i[0] = pixel >= 0 && pixel < static_cast<T>(size) ? static_cast<int64_t>(pixel) : -1;
    taps.weight[0] = 1;
    taps.slope[0] = 0;
    return taps;
  }
  const T floor = std::floor(c.at);
  const auto low = static_cast<int64_t>(floor);
  taps.count = 2;
  taps.i[0] = low >= 0 && low < size ? low : -1;
  taps.i[1] = low + 1 >= 0 && low + 1 < size ? low + 1 : -1;
  taps.weight[0] = floor + 1 - c.at;
  taps.weight[1] = c.at - floor;
  taps.slope[0] = -c.slope;
  taps.slope[1] = c.slope;
  return taps;
}

}  // namespace fastnn
