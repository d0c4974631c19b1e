// Straight loops with a double accumulator.
#pragma once

#include "cpu/conv_shape.h"

namespace fastnn {

void correlate_reference(const Correlation& c);
void correlate_weight_reference(const Correlation& c);  // computes c.weight

}  // namespace fastnn
