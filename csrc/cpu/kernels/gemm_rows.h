// The last step for sums that a matrix unit has stored: its tiles can do no other arithmetic.
#pragma once

#include "cpu/kernels/gemm_tile.h"

namespace fastnn::FASTNN_ISA_NS {

// alpha, beta, bias and rectifier, row by row, for NV vectors a row; rows of `sum` are `sum_row`
// apart.
template <int NV>
static void write_rows(const GemmTile& t, const float* sum, int64_t sum_row) {
  GemmTile row = t;
  for (int i = 0; i < t.m; ++i, sum += sum_row) {
    vf acc[1][NV];
    for (int j = 0; j < NV; ++j) acc[0][j] = load(sum + j * kLanes<float>);
    write_tile<float, 1, NV>(row, acc);
    row.c = static_cast<float*>(row.c) + t.c_row;
    row.src = static_cast<const float*>(row.src) + t.src_row;
    if (row.bias_m) row.bias_m = static_cast<const float*>(row.bias_m) + 1;
  }
}

}  // namespace fastnn::FASTNN_ISA_NS
