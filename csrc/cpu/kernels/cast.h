// Strided memory of any dtype into dense tiles of a compute type, and back.
#pragma once

#include <stdint.h>

#include "cpu/kernels/isa_table.h"

namespace fastnn {

// A tile of rows x cols elements; strides count elements.
struct Tile {
  int64_t rows, cols, row_stride, col_stride;
};

// dense[r * cols + c] = src[r * row_stride + c * col_stride], converted.
using LoadFn = void (*)(void* dense, const void* src, const Tile& tile);
// dst[r * row_stride + c * col_stride] = dense[r * cols + c], rounded to nearest even (floats) or
// truncated (integers).
using StoreFn = void (*)(void* dst, const void* dense, const Tile& tile);
// The same bytes: dst and src have strides of their own.
using CopyFn = void (*)(void* dst, const void* src, int64_t rows, int64_t cols, int64_t dst_row,
                        int64_t dst_col, int64_t src_row, int64_t src_col);

constexpr int kDTypes = 10;

struct CastKernels {
  LoadFn load[3][kDTypes];  // [compute: float, double, int64_t][dtype]
  StoreFn store[3][kDTypes];
  CopyFn copy[4];  // by log2 of the element size
};

FASTNN_KERNELS(CastKernels, cast_kernels)

}  // namespace fastnn
