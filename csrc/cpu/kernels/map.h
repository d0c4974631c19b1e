// What the elementwise driver knows of the kernels: one function per op and compute type.
#pragma once

#include <stdint.h>

#include "cpu/kernels/isa_table.h"

namespace fastnn {

// out[i] = f(in[0][i], ...) for i in [0, n): everything contiguous and of the compute type (tests
// write bool). Where step[k] is 0 instead of 1, in[k] points at 64 bytes that repeat one value.
using MapFn = void (*)(void* out, const void* const* in, const int64_t* step, int64_t n,
                       const double* params);

struct MapEntry {
  MapFn fn[3];  // float, double, int64_t; null where the op has none
};

// A group of ops, in the order of its list in ops/elementwise.h.
struct MapKernels {
  const MapEntry* entries;
};

FASTNN_KERNELS(MapKernels, map_basic_kernels)
FASTNN_KERNELS(MapKernels, map_math_kernels)
FASTNN_KERNELS(MapKernels, map_activation_kernels)

}  // namespace fastnn
