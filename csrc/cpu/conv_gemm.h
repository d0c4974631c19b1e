// Correlations as matrix products whose packers read the image: no columns in memory.
#pragma once

#include "cpu/conv_shape.h"

namespace fastnn {

size_t correlate_gemm_workspace(const Correlation& c);
void correlate_gemm(const Correlation& c, void* workspace);
// Computes c.weight from c.image and c.result.
size_t correlate_weight_gemm_workspace(const Correlation& c);
void correlate_weight_gemm(const Correlation& c, void* workspace);

}  // namespace fastnn
