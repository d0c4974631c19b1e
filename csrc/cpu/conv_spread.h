// Transposed convolutions with strides, and gradients of inputs: one product of matrices gives what
// every pixel of the image adds to the result under every tap, and each pixel of the result adds
// up what reaches it.
#pragma once

#include "cpu/conv_shape.h"

namespace fastnn {

// `whole`: that of a Transposed. Where windows lie side by side and no near cache holds the weight,
// and where the product goes by a matrix unit.
bool prefers_spread(const Correlation& whole);
size_t spread_workspace(const Correlation& whole);
void run_spread(const Correlation& whole, void* workspace);

}  // namespace fastnn
