// Every op that has CUDA kernels; contracts are those of csrc/include/fastnn/ops/.
#pragma once

#include "common/op.h"
#include "fastnn/ops/conv.h"
#include "fastnn/ops/cross_entropy.h"
#include "fastnn/ops/elementwise.h"
#include "fastnn/ops/gemm.h"
#include "fastnn/ops/optim.h"
#include "fastnn/ops/pool.h"
#include "fastnn/ops/random.h"
#include "fastnn/ops/reduce.h"
#include "fastnn/ops/softmax.h"

namespace fastnn::cuda {

extern const Op<ElementwiseParams> elementwise;
extern const Op<ReduceParams> reduce;
extern const Op<SoftmaxParams> softmax_forward;
extern const Op<SoftmaxParams> softmax_backward;
extern const Op<CrossEntropyParams> cross_entropy_forward;
extern const Op<CrossEntropyParams> cross_entropy_backward;
extern const Op<GemmParams> gemm_forward;
extern const Op<ConvParams> conv_forward;
extern const Op<ConvParams> conv_backward_input;
extern const Op<ConvParams> conv_backward_weight;
extern const Op<ConvParams> conv_backward_bias;
extern const Op<PoolParams> max_pool_forward;
extern const Op<PoolParams> max_pool_backward;
extern const Op<PoolParams> avg_pool_forward;
extern const Op<PoolParams> avg_pool_backward;
extern const Op<RandomParams> random_fill;
extern const Op<DropoutParams> dropout_apply;
extern const Op<OptimParams> optim_step;

}  // namespace fastnn::cuda
