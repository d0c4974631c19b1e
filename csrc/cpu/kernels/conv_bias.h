// Sums of gradients over pixels.
#pragma once

#include "cpu/kernels/conv.h"
#include "cpu/kernels/gemm_vec.h"

namespace fastnn::FASTNN_ISA_NS {

constexpr int kSumRows = 4;          // at once
constexpr int64_t kSumAhead = 1024;  // bytes
constexpr int64_t kSumRun = 2048;    // values that are summed in one precision

// All lanes, in double, so that the sum of a few pixels is rounded once.
FASTNN_INLINE vd in_double(vf v) {
  typedef float Half __attribute__((vector_size(sizeof(vf) / 2)));
  Half half[2];
  memcpy(half, &v, sizeof v);
  return __builtin_convertvector(half[0], vd) + __builtin_convertvector(half[1], vd);
}
FASTNN_INLINE vd in_double(vd v) { return v; }

// out[r] += the sum of n values of row r, for R rows that are `row` values apart.
template <class T, int R, class Src>
FASTNN_INLINE void add_run(const Src* x, int64_t row, int64_t n, double* out) {
  constexpr int L = kLanes<T>;
  Vec<T> acc[R][2] = {};
  int64_t i = 0;
  for (; i + 2 * L <= n; i += 2 * L)
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) {
      const Src* at = x + r * row + i;
      for (int64_t line = 0; line < 2 * L; line += 64 / static_cast<int64_t>(sizeof(Src)))
        __builtin_prefetch(reinterpret_cast<const char*>(at + line) + kSumAhead);
      acc[r][0] += load_wide(at);
      acc[r][1] += load_wide(at + L);
    }
  const int64_t whole = i + L <= n ? i + L : i;
  for (int r = 0; r < R; ++r) {
    const Src* at = x + r * row;
    if (i < whole) acc[r][0] += load_wide(at + i);
    if (whole < n) acc[r][1] += load_wide_n(at + whole, static_cast<int>(n - whole));
    out[r] += sum_lanes(in_double(acc[r][0]) + in_double(acc[r][1]));
  }
}

// out[r * apart] = the sum of row r * apart, for R rows.
template <class T, int R, class Src>
static void sum_rows_apart(const Src* x, int64_t row, int64_t apart, int64_t n, double* out) {
  double total[R] = {};
  for (int64_t i = 0; i < n; i += kSumRun)
    add_run<T, R>(x + i, apart * row, n - i < kSumRun ? n - i : kSumRun, total);
  for (int r = 0; r < R; ++r) out[r * apart] = total[r];
}

// One stream of values waits for memory: rows are taken from the quarters of what is to be summed,
// so that four streams run side by side.
template <class T, class Src>
static void sum_rows_from(const Src* x, int64_t row, int64_t rows, int64_t n, double* out) {
  const int64_t apart = rows / kSumRows;
  for (int64_t i = 0; i < apart; ++i)
    sum_rows_apart<T, kSumRows>(x + i * row, row, apart, n, out + i);
  for (int64_t i = apart * kSumRows; i < rows; ++i)
    sum_rows_apart<T, 1>(x + i * row, row, 1, n, out + i);
}

template <class T>
static void sum_rows(const void* x, [[maybe_unused]] DType dtype, int64_t row, int64_t rows,
                     int64_t n, double* out) {
  if constexpr (sizeof(T) == 4) {
    if (dtype == DType::bf16)
      return sum_rows_from<T>(static_cast<const bf16*>(x), row, rows, n, out);
    if (dtype == DType::f16) return sum_rows_from<T>(static_cast<const f16*>(x), row, rows, n, out);
  }
  sum_rows_from<T>(static_cast<const T*>(x), row, rows, n, out);
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
