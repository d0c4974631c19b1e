// Kernels for convolutions of one tap: products of rows that are read where they lie, of pixels
// (gradients of weights) or of channels (few pixels forward).
#pragma once

#include <stdint.h>

#include "fastnn/activation.h"

namespace fastnn {

// sum[j][i] (+)= the tile of products of rows of a and b, for every tile of a block. A tile has
// `rows_a` x `rows_b` products, or fewer at the edges: tile i of a has rows [i m / t, (i + 1) m /
// t) where t is the least number of tiles. A product (r, s) lies at place r * rows_b + s of the
// tile's `places`.
struct ConvDotsBlock {
  const float* a;
  const float* b;
  int64_t a_row, b_row;  // strides
  int64_t m, n;          // rows
  int64_t k;             // values of a row
  float* sum;
  bool first;  // sums are overwritten, not added to
  // As a and b, of the block that comes next: fetched into the second-level cache meanwhile, b if
  // it is not there anyway.
  const float* next_a;
  const float* next_b;
  bool b_is_near;
};

// out[r][s] = rectified(bias[r] + sum) for all tiles of a block.
struct ConvDotsOut {
  const float* sum;
  int64_t m, n;
  float* out;
  int64_t out_row;    // columns are adjacent
  const float* bias;  // or null
  int64_t bias_step;
  Rectifier rectifier;
};

struct ConvDots {
  int rows_a, rows_b, places;
  // A matrix product packs m + n rows for m n products, and is quicker from
  // m n > packing_pays (m + n) on.
  int packing_pays;
  int64_t many_channels;  // whose sums are quicker than a product that packs the weight
  void (*block)(const ConvDotsBlock&);
  void (*write)(const ConvDotsOut&);
};

}  // namespace fastnn
