// Softmax of contiguous lines, and of neighbouring columns.
#pragma once

#include <stdint.h>

#include "cpu/kernels/isa_table.h"

namespace fastnn {

// Strides, in elements: for rows from one line to the next, for columns (which lie side by side)
// from one entry of a line to the next.
struct SoftmaxStrides {
  int64_t x, y, out;
};

struct SoftmaxKernels {
  // [float, double]
  void (*rows[2])(void* out, const void* x, int64_t n, int64_t lines, const SoftmaxStrides& s,
                  bool log);
  void (*cols[2])(void* out, const void* x, int64_t n, int64_t width, const SoftmaxStrides& s,
                  bool log);
  // x is the gradient of the output y
  void (*rows_backward[2])(void* out, const void* x, const void* y, int64_t n, int64_t lines,
                           const SoftmaxStrides& s, bool log);
  void (*cols_backward[2])(void* out, const void* x, const void* y, int64_t n, int64_t width,
                           const SoftmaxStrides& s, bool log);
};

FASTNN_KERNELS(SoftmaxKernels, softmax_kernels)

}  // namespace fastnn
