// Weighted sums of rows, and along a row.
#pragma once

#include <stdint.h>

#include "cpu/kernels/isa_table.h"

namespace fastnn {

// Output o of an axis is sum_j weight[at[o] + j] * x[first[o] + j] over j < at[o + 1] - at[o].
template <class T>
struct ResizeTaps {
  const int64_t* first;
  const int64_t* at;
  const T* weight;
  // The same for outputs side by side, or null where an output reads more than kSideTaps inputs:
  // tap j of output o has weight side_weight[j * side_step + o] where side_count[o] > j.
  static constexpr int kSideTaps = 8;
  const int32_t* side_first = nullptr;
  const int32_t* side_count = nullptr;
  const T* side_weight = nullptr;
  int64_t side_step = 0;
  int side_taps = 0;     // most of any output
  int64_t side_end = 0;  // behind the last input that any of them reads
};

template <class T>
struct ResizeTable {
  // y[i] = sum_r weight[r] * rows[r][i] for i < n; count >= 1.
  void (*down)(const T* const* rows, const T* weight, int64_t count, int64_t n, T* y);
  // The taps applied along one row, giving `out` elements.
  void (*along)(const T* x, const ResizeTaps<T>& taps, int64_t out, T* y);
  // The same for rows of pixels of `channels` contiguous values; pixels of y lie y_step apart.
  void (*along_pixels)(const T* x, const ResizeTaps<T>& taps, int64_t out, int64_t channels, T* y,
                       int64_t y_step);
};

struct ResizeKernels {
  ResizeTable<float> f32;
  ResizeTable<double> f64;
};

FASTNN_KERNELS(ResizeKernels, resize_kernels)

}  // namespace fastnn
