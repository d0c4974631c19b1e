// Interpolation in straight loops, for every layout and dtype.
#pragma once

#include "cpu/image.h"
#include "cpu/resize_taps.h"

namespace fastnn {

void resize_forward_ref(const ResizeAxis* axis, const Image& x, const Image& y);
// `scratch`: a plane of dx in double for each worker.
void resize_backward_ref(const ResizeAxis* axis, const Image& dy, const Image& dx, double* scratch);

}  // namespace fastnn
