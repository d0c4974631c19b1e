// Maximum pooling in straight loops, for every layout, dtype and kind of window.
#pragma once

#include "cpu/pool_geometry.h"

namespace fastnn {

void max_pool_forward_ref(const PoolGeometry& g, const Image& x, const Image& y,
                          const Image* index);
// `scratch`: a plane of dx in double for each worker.
void max_pool_backward_ref(const PoolGeometry& g, const Image& dy, const Image& index,
                           const Image& dx, double* scratch);

}  // namespace fastnn
