// Correlations as matrix products whose packers read the image: no columns in memory.
#pragma once

#include "cpu/conv_shape.h"

namespace fastnn {

// So many channels, filters and pixels that a matrix unit multiplies them: of one tap; of several,
// with a stride; the gradient of a weight of one.
bool prefers_gemm(const Correlation& c);
bool prefers_gemm_of_taps(const Correlation& c);
bool weight_prefers_gemm(const Correlation& c);

size_t correlate_gemm_workspace(const Correlation& c);
void correlate_gemm(const Correlation& c, void* workspace);
// Computes c.weight from c.image and c.result.
size_t correlate_weight_gemm_workspace(const Correlation& c);
void correlate_weight_gemm(const Correlation& c, void* workspace);

}  // namespace fastnn
