// Sums of chosen rows.
#pragma once

#include <stdint.h>

#include "cpu/kernels/isa_table.h"

namespace fastnn {

// acc[j] += scale[positions[i]] * rows[source[i] * stride + j] for i < n, j < columns. `positions`
// says which scale (scale null: 1), `source` which row.
template <class T>
using AddRows = void (*)(const T* rows, int64_t stride, const int64_t* source, const T* scale,
                         const int64_t* positions, int64_t n, int64_t columns, T* acc);

struct EmbeddingKernels {
  AddRows<float> add_rows_f32;
  AddRows<double> add_rows_f64;
};

FASTNN_KERNELS(EmbeddingKernels, embedding_kernels)

}  // namespace fastnn
