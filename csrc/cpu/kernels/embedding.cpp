#include "cpu/kernels/embedding.h"

#include "cpu/kernels/vec.h"

namespace fastnn::FASTNN_ISA_NS {

namespace {

template <class T>
FASTNN_INLINE Vec<T> load_n_or_all(const T* p, int64_t n) {
  return n == kLanes<T> ? load(p) : load_n(p, n);
}

template <class T>
void add_rows(const T* rows, int64_t stride, const int64_t* source, const T* scale,
              const int64_t* positions, int64_t n, int64_t columns, T* acc) {
  int64_t j = 0;
  // Four vectors of columns stay in registers for all rows.
  for (; j + 4 * kLanes<T> <= columns; j += 4 * kLanes<T>) {
    Vec<T> sum[4];
    for (int k = 0; k < 4; ++k) sum[k] = load(acc + j + k * kLanes<T>);
    for (int64_t i = 0; i < n; ++i) {
      const T* row = rows + source[i] * stride + j;
      const Vec<T> s = splat(scale ? scale[positions[i]] : T(1));
      for (int k = 0; k < 4; ++k) sum[k] = fma(load(row + k * kLanes<T>), s, sum[k]);
    }
    for (int k = 0; k < 4; ++k) store(acc + j + k * kLanes<T>, sum[k]);
  }
  for (; j < columns; j += kLanes<T>) {
    const int64_t lanes = columns - j < kLanes<T> ? columns - j : kLanes<T>;
    Vec<T> sum = load_n_or_all(acc + j, lanes);
    for (int64_t i = 0; i < n; ++i) {
      const Vec<T> s = splat(scale ? scale[positions[i]] : T(1));
      sum = fma(load_n_or_all(rows + source[i] * stride + j, lanes), s, sum);
    }
    if (lanes == kLanes<T>)
      store(acc + j, sum);
    else
      store_n(acc + j, sum, lanes);
  }
}

constexpr EmbeddingKernels kTable = {add_rows<float>, add_rows<double>};

}  // namespace

const EmbeddingKernels* embedding_kernels() { return &kTable; }

}  // namespace fastnn::FASTNN_ISA_NS
