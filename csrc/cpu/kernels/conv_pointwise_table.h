// Kernels for convolutions of one tap: rows of the weight where they lie, pixels in strips.
#pragma once

#include <stdint.h>

#include "fastnn/activation.h"

namespace fastnn {

// out[r][p] (+)= the sum over k of a[r][k] b[k][p], for a few rows and some vectors of pixels.
struct ConvPointwiseTile {
  const float* a;  // values of a row are adjacent
  int64_t a_row;
  const float* b;  // for each k as many whole vectors as `columns` take
  int64_t k;
  float* out;
  int64_t out_row;  // columns are adjacent
  int rows, columns;
  bool first;         // sums are overwritten, not added to
  const float* bias;  // of the rows, or null
  Rectifier rectifier;
  const float* ahead;  // rows as those of a: fetched into the second-level cache meanwhile
};

// dst[k][p] = src[k * src_k + p], whole vectors of pixels.
struct ConvPointwiseCopy {
  const float* src;
  int64_t src_k, k;
  int columns;
  float* dst;
};

struct ConvPointwise {
  int rows, vectors, lanes;  // of a tile, at most
  void (*tile)(const ConvPointwiseTile&);
  void (*copy)(const ConvPointwiseCopy&);
};

}  // namespace fastnn
