// Average pooling in straight loops, for every layout, dtype and kind of window.
#pragma once

#include "cpu/pool_geometry.h"

namespace fastnn {

void avg_pool_forward_ref(const PoolGeometry& g, const PoolParams& p, const Image& x,
                          const Image& y);
// `scratch`: a plane of dx in double for each worker.
void avg_pool_backward_ref(const PoolGeometry& g, const PoolParams& p, const Image& dy,
                           const Image& dx, double* scratch);

}  // namespace fastnn
