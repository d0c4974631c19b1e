// Every op that has CUDA kernels; contracts are those of csrc/include/fastnn/ops/.
#pragma once

#include "common/op.h"
#include "fastnn/ops/elementwise.h"
#include "fastnn/ops/reduce.h"

namespace fastnn::cuda {

extern const Op<ElementwiseParams> elementwise;
extern const Op<ReduceParams> reduce;

}  // namespace fastnn::cuda
