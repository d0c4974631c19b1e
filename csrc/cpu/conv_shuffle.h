// Transposed convolutions whose windows lie side by side: kernels as large as the stride. One
// product of matrices gives all filters and taps of all pixels, which are then dealt out.
#pragma once

#include "cpu/conv_shape.h"

namespace fastnn {

// `whole`: that of a Transposed. For weights that no near cache holds.
bool prefers_shuffle(const Correlation& whole);
size_t shuffle_workspace(const Correlation& whole);
void run_shuffle(const Correlation& whole, void* workspace);

}  // namespace fastnn
