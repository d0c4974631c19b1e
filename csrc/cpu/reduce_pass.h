// One pass of a reduction: every output's fold, in float64 (or int64) accumulators.
#pragma once

#include "cpu/kernels/reduce.h"
#include "cpu/reduce_plan.h"

namespace fastnn {

struct FoldPass {
  const ReducePlan* plan;
  const TensorView* x;
  DType compute;
  Fold fold;
  void* acc;            // one for each output
  const double* shift;  // one for each output, or null
  int64_t* index;       // one for each output, or null (max and min only)
  void* parts;          // part_bytes(plan, index wanted), or null when that is 0
};

size_t part_bytes(const ReducePlan& plan, bool with_index);
void run_pass(const FoldPass& pass);

}  // namespace fastnn
