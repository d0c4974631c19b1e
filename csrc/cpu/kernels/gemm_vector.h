// A vector times a matrix: every element of the matrix is used once, so that reading it in long
// runs is all that counts.
#pragma once

#include "cpu/kernels/gemm.h"
#include "cpu/kernels/gemm_vec.h"

namespace fastnn::FASTNN_ISA_NS {

// Columns adjacent in memory: eight rows of the matrix at a time go over all of y.
template <class T>
static void vector_by_rows(const GemmVector& v) {
  constexpr int L = kLanes<T>, kRowsAtOnce = 8;
  const T* x = static_cast<const T*>(v.x);
  const T* b = static_cast<const T*>(v.b);
  T* y = static_cast<T*>(v.y);
  for (int64_t j = 0; j < v.n; ++j) y[j] = 0;
  for (int64_t k = 0; k < v.k; k += kRowsAtOnce, b += kRowsAtOnce * v.k_stride) {
    const int rows = v.k - k < kRowsAtOnce ? static_cast<int>(v.k - k) : kRowsAtOnce;
    Vec<T> factor[kRowsAtOnce];
    for (int r = 0; r < rows; ++r) factor[r] = splat(x[k + r]);
    int64_t j = 0;
    if (rows == kRowsAtOnce) {
      for (; j + L <= v.n; j += L) {
        Vec<T> sum = factor[0] * load(b + j);
#pragma GCC unroll 8
        for (int r = 1; r < kRowsAtOnce; ++r)
          sum = fma(factor[r], load(b + r * v.k_stride + j), sum);
        store(y + j, load(y + j) + sum);
      }
    }
    for (; j < v.n; j += L) {
      const int64_t columns = v.n - j < L ? v.n - j : L;
      Vec<T> sum{};
      for (int r = 0; r < rows; ++r)
        sum = fma(
            factor[r],
            columns < L ? load_n(b + r * v.k_stride + j, columns) : load(b + r * v.k_stride + j),
            sum);
      if (columns < L)
        store_n(y + j, load_n(y + j, columns) + sum, columns);
      else
        store(y + j, load(y + j) + sum);
    }
  }
}

// k adjacent in memory: dot products of R columns at once. Sums are blocked, so that they do not
// drift over a long k.
template <class T, int R>
FASTNN_INLINE void dot_products(const T* x, const T* b, int64_t stride, int64_t k, T* y) {
  constexpr int L = kLanes<T>;
  constexpr int64_t kBlock = 4096;
  T total[R] = {};
  for (int64_t k0 = 0; k0 < k; k0 += kBlock) {
    const int64_t end = k - k0 < kBlock ? k : k0 + kBlock;
    Vec<T> even[R] = {}, odd[R] = {};
    int64_t i = k0;
    for (; i + 2 * L <= end; i += 2 * L) {
      const Vec<T> x0 = load(x + i), x1 = load(x + i + L);
#pragma GCC unroll 4
      for (int r = 0; r < R; ++r) {
        even[r] = fma(x0, load(b + r * stride + i), even[r]);
        odd[r] = fma(x1, load(b + r * stride + i + L), odd[r]);
      }
    }
    for (; i < end; i += L) {
      const int64_t n = end - i < L ? end - i : L;
      const Vec<T> x0 = n < L ? load_n(x + i, n) : load(x + i);
#pragma GCC unroll 4
      for (int r = 0; r < R; ++r)
        even[r] =
            fma(x0, n < L ? load_n(b + r * stride + i, n) : load(b + r * stride + i), even[r]);
    }
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) total[r] += sum_lanes(even[r] + odd[r]);
  }
  for (int r = 0; r < R; ++r) y[r] = total[r];
}

template <class T>
static void vector_by_columns(const GemmVector& v) {
  const T* x = static_cast<const T*>(v.x);
  const T* b = static_cast<const T*>(v.b);
  T* y = static_cast<T*>(v.y);
  int64_t j = 0;
  for (; j + 4 <= v.n; j += 4)
    dot_products<T, 4>(x, b + j * v.lane_stride, v.lane_stride, v.k, y + j);
  for (; j < v.n; ++j) dot_products<T, 1>(x, b + j * v.lane_stride, v.lane_stride, v.k, y + j);
}

template <class T>
static void vector_by_matrix(const GemmVector& v) {
  if (v.lane_stride == 1)
    vector_by_rows<T>(v);
  else
    vector_by_columns<T>(v);
}

}  // namespace fastnn::FASTNN_ISA_NS
