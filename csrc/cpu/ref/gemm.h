// The straight loops of the matrix product: the meaning of gemm_forward, and what runs at
// Isa::reference.
#pragma once

#include "fastnn/ops/gemm.h"

namespace fastnn {

void gemm_reference(const GemmParams& params, const TensorView* views);

}  // namespace fastnn
