// The kernel that adds up products by taps.
#pragma once

#include <stdint.h>

#include "fastnn/activation.h"

namespace fastnn {

// Along an axis, pixel i of the image and tap k meet at pixel i * step + k * tap_step - origin of
// the result; it counts when it lies in [0, out).
struct ConvSpreadAxis {
  int64_t size, out, taps, step, tap_step, origin;
};

// A plane of the result from the products of its filter: for each tap a plane of the image.
struct ConvSpreadPlane {
  static constexpr int kMostTaps = 64;  // of an axis; a step is not larger than the taps are many

  const float* products;
  int64_t tap;             // from one tap's plane to the next one's; taps of a row are neighbours
  ConvSpreadAxis axis[2];  // rows, columns
  float* result;
  int64_t result_row;  // columns are adjacent
  float start;         // of every sum
  Rectifier rectifier;
};

}  // namespace fastnn
