// One vector, or a few, times a matrix: every element of the matrix is read once, so that reading
// it in long runs is all that counts.
#pragma once

#include "cpu/kernels/gemm.h"
#include "cpu/kernels/gemm_tile.h"
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

// Halves the number of vectors: of v[i] and v[i + H] remain the sums of lanes that are H apart.
template <class T, int H>
FASTNN_INLINE void fold_lanes(Vec<T>* v) {
  constexpr int L = kLanes<T>;
  decltype(Vec<T>{} < Vec<T>{}) low{}, high{};  // integers as wide as T
#pragma GCC unroll 16
  for (int i = 0; i < L; ++i) {
    low[i] = i & H ? i - H + L : i;
    high[i] = i & H ? i + L : i + H;
  }
#pragma GCC unroll 8
  for (int i = 0; i < H; ++i)
    v[i] = __builtin_shuffle(v[i], v[i + H], low) + __builtin_shuffle(v[i], v[i + H], high);
}

// total[i] += the sum of all lanes of v[i].
template <class T, int N>
FASTNN_INLINE void add_sums(const Vec<T>* v, T* total) {
  constexpr int L = kLanes<T>;
  if constexpr (N < L / 2) {
    for (int i = 0; i < N; ++i) total[i] += sum_lanes(v[i]);
    return;
  }
  FASTNN_UNROLL for (int first = 0; first < N; first += L) {
    Vec<T> w[L] = {};
    FASTNN_UNROLL for (int i = 0; i < L; ++i) if (first + i < N) w[i] = v[first + i];
    if constexpr (L >= 16) fold_lanes<T, 8>(w);
    if constexpr (L >= 8) fold_lanes<T, 4>(w);
    if constexpr (L >= 4) fold_lanes<T, 2>(w);
    fold_lanes<T, 1>(w);
    const int n = N - first < L ? N - first : L;
    if (n == L)
      store(total + first, load(total + first) + w[0]);
    else
      store_n(total + first, load_n(total + first, n) + w[0], n);
  }
}

// k adjacent in memory: dot products of M vectors with R columns at once, in chains of even and odd
// vectors where M is 1. Sums are blocked, so that they do not drift over a long k.
template <class T, int M, int R>
FASTNN_INLINE void dot_products(const GemmVector& v, const T* x, const T* b, T* y) {
  constexpr int L = kLanes<T>, C = M == 1 ? 2 : 1;  // chains
  constexpr int64_t kBlock = 4096;
  const int64_t stride = v.lane_stride;
  T total[M][R] = {};
  for (int64_t k0 = 0; k0 < v.k; k0 += kBlock) {
    const int64_t end = v.k - k0 < kBlock ? v.k : k0 + kBlock;
    Vec<T> sum[C][M][R] = {};
    int64_t i = k0;
    for (; i + C * L <= end; i += C * L) {
#pragma GCC unroll 2
      for (int c = 0; c < C; ++c) {
        Vec<T> column[R];
#pragma GCC unroll 4
        for (int r = 0; r < R; ++r) column[r] = load(b + r * stride + i + c * L);
#pragma GCC unroll 8
        for (int m = 0; m < M; ++m) {
          const Vec<T> row = load(x + m * v.x_row + i + c * L);
#pragma GCC unroll 4
          for (int r = 0; r < R; ++r) sum[c][m][r] = fma(row, column[r], sum[c][m][r]);
        }
      }
    }
    for (; i < end; i += L) {
      const int64_t n = end - i < L ? end - i : L;
#pragma GCC unroll 8
      for (int m = 0; m < M; ++m) {
        const Vec<T> row = n < L ? load_n(x + m * v.x_row + i, n) : load(x + m * v.x_row + i);
#pragma GCC unroll 4
        for (int r = 0; r < R; ++r)
          sum[0][m][r] = fma(row, n < L ? load_n(b + r * stride + i, n) : load(b + r * stride + i),
                             sum[0][m][r]);
      }
    }
    if constexpr (C == 2) {
#pragma GCC unroll 4
      for (int r = 0; r < R; ++r) sum[0][0][r] += sum[1][0][r];
    }
    add_sums<T, M * R>(&sum[0][0][0], &total[0][0]);
  }
  for (int m = 0; m < M; ++m)
    for (int r = 0; r < R; ++r) y[m * v.y_row + r] = total[m][r];
}

// Accumulators, the columns and one vector of x fill the registers.
template <int M>
constexpr int kDotColumns = M == 1        ? 4
                            : kRows >= 14 ? 3
                                          : 2;

template <class T, int M>
static void dot_rows(const GemmVector& v, const T* x, const T* b, int64_t columns, T* y) {
  if (columns == kDotColumns<M>) return dot_products<T, M, kDotColumns<M>>(v, x, b, y);
  for (int64_t j = 0; j < columns; ++j) dot_products<T, M, 1>(v, x, b + j * v.lane_stride, y + j);
}

// Some columns at a time meet all vectors while they are in the first-level cache.
template <class T>
static void vector_by_columns(const GemmVector& v) {
  constexpr int kMost = kRows >= 14 ? 8 : 4;
  const int64_t step = v.m == 1 ? kDotColumns<1> : kDotColumns<2>;
  for (int64_t j = 0; j < v.n; j += step) {
    const int64_t columns = v.n - j < step ? v.n - j : step;
    const T* b = static_cast<const T*>(v.b) + j * v.lane_stride;
    const T* x = static_cast<const T*>(v.x);
    T* y = static_cast<T*>(v.y) + j;
    int64_t m = v.m;
    for (; m >= kMost; m -= kMost, x += kMost * v.x_row, y += kMost * v.y_row)
      dot_rows<T, kMost>(v, x, b, columns, y);
    for (; m >= 4; m -= 4, x += 4 * v.x_row, y += 4 * v.y_row) dot_rows<T, 4>(v, x, b, columns, y);
    if (m == 3) dot_rows<T, 3>(v, x, b, columns, y);
    if (m == 2) dot_rows<T, 2>(v, x, b, columns, y);
    if (m == 1 && v.m > 1)
      for (int64_t c = 0; c < columns; ++c)
        dot_products<T, 1, 1>(v, x, b + c * v.lane_stride, y + c);
    else if (m == 1)
      dot_rows<T, 1>(v, x, b, columns, y);
  }
}

template <class T>
static void vector_by_matrix(const GemmVector& v) {
  if (v.lane_stride == 1)
    vector_by_rows<T>(v);
  else
    vector_by_columns<T>(v);
}

}  // namespace fastnn::FASTNN_ISA_NS
