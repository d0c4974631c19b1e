// The matrix product of views with two or more axes, as a new array.
#pragma once

#include "bindings/convert.h"
#include "fastnn/activation.h"

namespace fastnn {

NewArray gemm_new(const TensorView& a, const TensorView& b);

// act(x @ w.T + bias), written to out: x [M, K], w [N, K], out [M, N]; bias [N] or absent.
void gemm_linear(const TensorView& x, const TensorView& w, const TensorView& bias,
                 const TensorView& out, Activation activation = Activation::none);

}  // namespace fastnn
