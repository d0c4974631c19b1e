// Softmax of one contiguous line, and of neighbouring columns.
#pragma once

#include <stdint.h>

#include "cpu/kernels/isa_table.h"

namespace fastnn {

// Strides, in elements, from one entry of a line to the next (columns lie side by side).
struct SoftmaxStrides {
  int64_t x, y, out;
};

struct SoftmaxKernels {
  // [float, double]
  void (*row[2])(void* out, const void* x, int64_t n, bool log);
  void (*cols[2])(void* out, const void* x, int64_t n, int64_t width, const SoftmaxStrides& s,
                  bool log);
  // x is the gradient of the output y
  void (*row_backward[2])(void* out, const void* x, const void* y, int64_t n, bool log);
  void (*cols_backward[2])(void* out, const void* x, const void* y, int64_t n, int64_t width,
                           const SoftmaxStrides& s, bool log);
};

FASTNN_KERNELS(SoftmaxKernels, softmax_kernels)

}  // namespace fastnn
