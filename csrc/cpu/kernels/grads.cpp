// Sums and in-place changes over dense arrays; the compiler makes vectors of these loops.
#include "cpu/kernels/grads.h"

#include "cpu/kernels/vec.h"

namespace fastnn::FASTNN_ISA_NS {

namespace {

// 32 running values in double, joined in a tree: the same order at every instruction set level.
template <class T, class F, class G>
FASTNN_INLINE double accumulate(const T* x, int64_t n, F take, G join) {
  constexpr int kRunning = 32;
  double acc[kRunning] = {};
  int64_t i = 0;
  for (; i + kRunning <= n; i += kRunning)
    for (int l = 0; l < kRunning; ++l) acc[l] = join(acc[l], take(static_cast<double>(x[i + l])));
  for (int l = 0; i < n; ++i, ++l) acc[l] = join(acc[l], take(static_cast<double>(x[i])));
  for (int half = kRunning / 2; half > 0; half /= 2)
    for (int l = 0; l < half; ++l) acc[l] = join(acc[l], acc[l + half]);
  return acc[0];
}

FASTNN_INLINE double add(double a, double b) { return a + b; }
FASTNN_INLINE double larger(double a, double b) { return a > b || a != a ? a : b; }

template <class T>
double squares(const T* x, int64_t n) {
  return accumulate(x, n, [](double v) { return v * v; }, add);
}

template <class T>
double absolutes(const T* x, int64_t n) {
  return accumulate(x, n, [](double v) { return __builtin_fabs(v); }, add);
}

template <class T>
double largest(const T* x, int64_t n) {
  return accumulate(x, n, [](double v) { return __builtin_fabs(v); }, larger);
}

template <class T>
void scale(T* x, double factor, int64_t n) {
  const T f = static_cast<T>(factor);
  for (int64_t i = 0; i < n; ++i) x[i] *= f;
}

template <class T>
void clamp(T* x, double limit, int64_t n) {
  const T top = static_cast<T>(limit);
  for (int64_t i = 0; i < n; ++i) x[i] = x[i] > top ? top : x[i] < -top ? -top : x[i];
}

template <class T>
constexpr GradLoops<T> kLoops = {squares<T>, absolutes<T>, largest<T>, scale<T>, clamp<T>};
constexpr GradKernels kTable = {kLoops<float>, kLoops<double>};

}  // namespace

const GradKernels* grad_kernels() { return &kTable; }

}  // namespace fastnn::FASTNN_ISA_NS
