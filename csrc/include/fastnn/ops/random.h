// Random numbers from Philox4x32-10, a counter-based generator (Salmon et al., "Parallel random
// numbers: as easy as 1, 2, 3", 2011): a draw is a function of seed, offset and element number
// alone, whatever the layout, the thread count or the device.
//
// Block k of the stream is philox(key = seed, counter = (low, high 32 bits of offset + k, 0, 0)),
// four words. Elements are numbered in row-major order of the shape. With 32-bit draws element i
// takes word i % 4 of block i / 4; with 64-bit draws it takes words 2 (i % 2) (low) and 2 (i % 2) +
// 1 (high) of block i / 2.
#pragma once

#include "fastnn/op.h"

namespace fastnn {

enum class RandomKind {
  // a + (b - a) u, u in [0, 1). float64: 64-bit draws, u = top 53 bits; others: 32-bit draws, u =
  // as many top bits as the
  // dtype has in its significand (24, 11, 8).
  uniform,
  // a + b z by Box and Muller: elements 2j and 2j + 1 are r cos t and r sin t, r = sqrt(-2 ln((w +
  // 1) / 2^32)), t = 2 pi
  // w' / 2^32, with the words w, w' of these elements (64-bit draws and 2^53 for float64). The
  // float32 formulas use no
  // fused operation, so that every level and device can give the same bits; float64 is as good as
  // the C library.
  normal,
  // low + floor(range w / 2^64), 64-bit draws; range = 0 stands for 2^64. Any dtype.
  integers,
  // 1 where the 32-bit draw is below a 2^32, else 0. Any dtype.
  bernoulli,
  // 1 where u (24 bits of a 32-bit draw) is below the probability in the second view. Any dtype.
  bernoulli_of,
};

struct RandomParams {
  RandomKind kind;
  uint64_t seed, offset;
  double a, b;
  int64_t low;
  uint64_t range;
};

// How many blocks of the stream an op on n elements uses up.
int64_t random_blocks(RandomKind kind, DType dtype, int64_t n);

// Views: 0 the array to fill, any strides without overlap; 1 for bernoulli_of: floating-point
// probabilities in [0, 1] of the same shape, any strides.
extern const Op<RandomParams> random_fill;

// y = x m, with m = 1 / (1 - p) where the 32-bit draw of the element is below (1 - p) 2^32 and else
// 0. The mask is not stored: the backward pass is the same op on dy with the same seed and offset.
struct DropoutParams {
  double p;
  uint64_t seed, offset;
};

// Views: 0 x, 1 y, floating-point, same dtype and shape, any strides; y may be x.
extern const Op<DropoutParams> dropout_apply;

// A permutation of 0..n-1: the order of keys (top 44 bits of 64-bit draws), ties by number.
struct PermutationParams {
  uint64_t seed, offset;
};

// Views: 0 int64 [n] contiguous.
extern const Op<PermutationParams> random_permutation;

}  // namespace fastnn
