// Sums of gradients over pixels.
#pragma once

#include "cpu/kernels/conv.h"
#include "cpu/kernels/gemm_vec.h"

namespace fastnn::FASTNN_ISA_NS {

template <class T, class Src>
static double sum_adjacent(const Src* x, int64_t n) {
  constexpr int L = kLanes<T>;
  Vec<T> acc[4] = {};
  int64_t i = 0;
  for (; i + 4 * L <= n; i += 4 * L)
    for (int j = 0; j < 4; ++j) acc[j] += load_wide(x + i + j * L);
  for (; i + L <= n; i += L) acc[0] += load_wide(x + i);
  double total = sum_lanes((acc[0] + acc[1]) + (acc[2] + acc[3]));
  for (; i < n; ++i) total += widen(x[i]);
  return total;
}

template <class T>
static double sum_run(const void* x, [[maybe_unused]] DType dtype, int64_t n) {
  if constexpr (sizeof(T) == 4) {
    if (dtype == DType::bf16) return sum_adjacent<T>(static_cast<const bf16*>(x), n);
    if (dtype == DType::f16) return sum_adjacent<T>(static_cast<const f16*>(x), n);
  }
  return sum_adjacent<T>(static_cast<const T*>(x), n);
}

// out[lane] += sum of a packed panel's rows.
template <class T>
static void sum_panel(const void* panel, int lanes, int64_t rows, double* out) {
  const T* x = static_cast<const T*>(panel);
  for (int lane = 0; lane < lanes; lane += kLanes<T>) {
    Vec<T> acc{};
    for (int64_t r = 0; r < rows; ++r) acc += load(x + r * lanes + lane);
    for (int i = 0; i < kLanes<T>; ++i) out[lane + i] += acc[i];
  }
}

}  // namespace fastnn::FASTNN_ISA_NS
