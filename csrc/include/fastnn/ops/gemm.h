// Matrix products: c = act(alpha * a @ b + beta * c + bias).
#pragma once

#include "fastnn/activation.h"
#include "fastnn/op.h"

namespace fastnn {

// Views, in this order: a (…, M, K), b (…, K, N), c (…, M, N), bias (broadcastable to c, or
// absent).
//
// - Any strides: transposed, sliced, negative, 0 in broadcast axes. c must not broadcast onto
// itself nor overlap the
//   inputs. Batch axes of a, b and bias broadcast to those of c.
// - bias varies along N, or along M, or along neither; not along both (that is what c with beta = 1
// is for).
// - dtypes: a and b alike, float32, float64, bfloat16 or float16; bias the same, or the dtype of
// accumulation; c the
//   same, or float32 for the 16-bit types. Sums are kept in float32 (float64 for float64).
// - beta = 0 never reads c. K = 0 gives act(beta * c + bias).
// - Which path is taken depends on shapes, strides, dtype and instruction set only: the same bits
// for every number of
//   threads and every alignment.
struct GemmParams {
  double alpha = 1, beta = 0;
  Activation activation = Activation::none;
};

extern const Op<GemmParams> gemm_forward;

}  // namespace fastnn
