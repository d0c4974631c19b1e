// Kernels for convolutions of one tap: rows of the weight where they lie, pixels in strips.
#pragma once

#include <stdint.h>

#include "fastnn/activation.h"

namespace fastnn {

// out[r][p] (+)= the sum over k of a[r][k] b[k][p], for a few rows and some vectors of pixels.
struct ConvPointwiseTile {
  const float* a;  // values of a row are adjacent
  int64_t a_row;
  float* b;  // for each k as many whole vectors as `columns` take
  // The pixels where they lie, whole vectors of them, from_k apart along k: read instead of b,
  // which is filled with them meanwhile. Or null.
  const float* from;
  int64_t from_k;
  int64_t k;
  float* out;
  int64_t out_row;  // columns are adjacent
  int rows, columns;
  bool first;         // sums are overwritten, not added to
  const float* bias;  // of the rows, or null
  Rectifier rectifier;
  // So many rows as those of a, fetched into the second-level cache meanwhile.
  const float* ahead;
  int64_t ahead_row;
};

struct ConvPointwise {
  int vectors, lanes;  // of a tile, at most
  int rows[4];         // of a tile of one vector, of two and so on, at most
  void (*tile)(const ConvPointwiseTile&);

  int rows_beside(int64_t vectors_of_tile) const { return rows[vectors_of_tile - 1]; }
};

}  // namespace fastnn
