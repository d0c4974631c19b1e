#include "cpu/kernels/resize.h"

#include "cpu/kernels/lanes.h"

namespace fastnn::FASTNN_ISA_NS {
namespace {

// Starts from the first product, not from zero, so that a single weight of 1 copies every value.
template <class T, bool kTail>
FASTNN_INLINE Vec<T> weighted(const T* const* rows, const T* weight, int64_t count, int64_t i,
                              int64_t n) {
  const auto get = [&](const T* p)
                       __attribute__((always_inline)) { return kTail ? load_n(p, n) : load(p); };
  Vec<T> sum = get(rows[0] + i) * weight[0];
  for (int64_t r = 1; r < count; ++r) sum += get(rows[r] + i) * weight[r];
  return sum;
}

template <class T>
void down(const T* const* rows, const T* weight, int64_t count, int64_t n, T* y) {
  int64_t i = 0;
  for (; i + kLanes<T> <= n; i += kLanes<T>)
    store(y + i, weighted<T, false>(rows, weight, count, i, 0));
  if (i < n) store_n(y + i, weighted<T, true>(rows, weight, count, i, n - i), n - i);
}

template <class T>
void along(const T* x, const ResizeTaps<T>& taps, int64_t out, T* y) {
  for (int64_t o = 0; o < out; ++o) {
    const T* p = x + taps.first[o];
    const T* w = taps.weight + taps.at[o];
    const int64_t count = taps.at[o + 1] - taps.at[o];
    if (count == 0) {  // backward: an input that no output reads
      y[o] = 0;
      continue;
    }
    T sum = p[0] * w[0];
    for (int64_t j = 1; j < count; ++j) sum += p[j] * w[j];
    y[o] = sum;
  }
}

template <class T, bool kTail>
FASTNN_INLINE void pixel(const T* p, const T* w, int64_t count, int64_t channels, int64_t n, T* y) {
  const auto get = [&](const T* q)
                       __attribute__((always_inline)) { return kTail ? load_n(q, n) : load(q); };
  Vec<T> sum{};
  if (count > 0) sum = get(p) * w[0];
  for (int64_t j = 1; j < count; ++j) sum += get(p + j * channels) * w[j];
  if (kTail)
    store_n(y, sum, n);
  else
    store(y, sum);
}

template <class T>
void along_pixels(const T* x, const ResizeTaps<T>& taps, int64_t out, int64_t channels, T* y,
                  int64_t y_step) {
  for (int64_t o = 0; o < out; ++o) {
    const T* p = x + taps.first[o] * channels;
    const T* w = taps.weight + taps.at[o];
    const int64_t count = taps.at[o + 1] - taps.at[o];
    T* to = y + o * y_step;
    int64_t c = 0;
    for (; c + kLanes<T> <= channels; c += kLanes<T>)
      pixel<T, false>(p + c, w, count, channels, 0, to + c);
    if (c < channels) pixel<T, true>(p + c, w, count, channels, channels - c, to + c);
  }
}

template <class T>
constexpr ResizeTable<T> table() {
  return {down<T>, along<T>, along_pixels<T>};
}

}  // namespace

const ResizeKernels* resize_kernels() {
  static const ResizeKernels kernels = {table<float>(), table<double>()};
  return &kernels;
}

}  // namespace fastnn::FASTNN_ISA_NS
