#include "cpu/kernels/norm.h"

#include "cpu/kernels/gemm_vec.h"
#include "cpu/kernels/vec.h"

namespace fastnn::FASTNN_ISA_NS {

namespace {

// How a vector is read and written: a whole one, or the rest of a run.
template <class T>
struct Whole {
  Vec<T> get(const T* p, int64_t at) const { return load(p + at); }
  void put(T* p, int64_t at, Vec<T> v) const { store(p + at, v); }
};
template <class T>
struct Part {
  int64_t lanes;
  Vec<T> get(const T* p, int64_t at) const { return load_n(p + at, lanes); }
  void put(T* p, int64_t at, Vec<T> v) const { store_n(p + at, v, lanes); }
};

// body(at, io) for whole vectors and then for the rest of n elements.
template <class T, class F>
FASTNN_INLINE void each(int64_t n, F body) {
  int64_t at = 0;
  for (; at + kLanes<T> <= n; at += kLanes<T>) body(at, Whole<T>{});
  if (at < n) body(at, Part<T>{n - at});
}

template <class T, class IO>
FASTNN_INLINE Vec<T> passed(const Gate<T>& gate, const IO& io, int64_t at, Vec<T> dy) {
  if (!gate.y) return dy;
  const Vec<T> y = io.get(gate.y, at);
  return (y <= T(0)) | (y >= gate.high) ? Vec<T>{} : dy;
}

// Zero in the lanes from n on.
FASTNN_INLINE vf first_lanes(vf v, int64_t n) {
  float buffer[kLanes<float>];
  store(buffer, v);
  return load_n(buffer, n);
}
FASTNN_INLINE vd first_lanes(vd v, int64_t n) {
  double buffer[kLanes<double>];
  store(buffer, v);
  return load_n(buffer, n);
}

// Two sums over n elements of what body(at, io) gives, with four running vectors each, joined in a
// fixed order.
template <class T, class F>
FASTNN_INLINE void two_sums(int64_t n, T* first, T* second, F body) {
  constexpr int64_t kWidth = kLanes<T>;
  Vec<T> a[4] = {}, b[4] = {};
  int64_t at = 0;
  for (; at + 4 * kWidth <= n; at += 4 * kWidth)
    for (int k = 0; k < 4; ++k) body(at + k * kWidth, Whole<T>{}, a[k], b[k]);
  for (; at + kWidth <= n; at += kWidth) body(at, Whole<T>{}, a[0], b[0]);
  if (at < n) {
    Vec<T> x{}, y{};
    body(at, Part<T>{n - at}, x, y);
    a[1] += first_lanes(x, n - at);
    b[1] += first_lanes(y, n - at);
  }
  *first = sum_lanes((a[0] + a[1]) + (a[2] + a[3]));
  *second = sum_lanes((b[0] + b[1]) + (b[2] + b[3]));
}

template <class T>
T sum(const T* x, int64_t n) {
  T first, second;
  two_sums<T>(n, &first, &second,
              [&](int64_t at, auto io, Vec<T>& a, Vec<T>&) { a += io.get(x, at); });
  return first;
}

template <class T>
void centered_sums(const T* x, int64_t n, T mean, T* first, T* second) {
  two_sums<T>(n, first, second, [&](int64_t at, auto io, Vec<T>& a, Vec<T>& b) {
    const Vec<T> d = io.get(x, at) - mean;
    a += d;
    b = fma(d, d, b);
  });
}

template <class T>
void product_sums(const T* dy, const T* x, const T* weight, int64_t n, T mean, T* first, T* second,
                  Gate<T> gate) {
  two_sums<T>(n, first, second, [&](int64_t at, auto io, Vec<T>& a, Vec<T>& b) {
    const Vec<T> v = passed(gate, io, at, io.get(dy, at)), g = weight ? v * io.get(weight, at) : v;
    a += g;
    b = fma(g, io.get(x, at) - mean, b);
  });
}

template <class T>
void affine(const T* x, T* y, int64_t n, T mean, T scale, T shift, Rectifier rectifier) {
  each<T>(n, [&](int64_t at, auto io) {
    const Vec<T> v = fma(io.get(x, at) - mean, splat(scale), splat(shift));
    io.put(y, at, rectifier.on ? rectified(rectifier, v) : v);
  });
}

template <class T>
void weighted_affine(const T* x, T* y, int64_t n, T mean, T scale, T shift, const T* weight,
                     const T* bias) {
  each<T>(n, [&](int64_t at, auto io) {
    Vec<T> v = fma(io.get(x, at) - mean, splat(scale), splat(shift));
    if (weight && bias)
      v = fma(v, io.get(weight, at), io.get(bias, at));
    else if (weight)
      v *= io.get(weight, at);
    else if (bias)
      v += io.get(bias, at);
    io.put(y, at, v);
  });
}

template <class T>
void grad(const T* dy, const T* x, const T* weight, T* dx, int64_t n, T mean, T w, T a, T b, T c,
          Gate<T> gate) {
  each<T>(n, [&](int64_t at, auto io) {
    const Vec<T> g =
        passed(gate, io, at, io.get(dy, at)) * (weight ? io.get(weight, at) : splat(w));
    io.put(dx, at, fma(g - c, splat(a), (io.get(x, at) - mean) * b));
  });
}

template <class T>
void weight_grad(const T* dy, const T* x, int64_t n, T mean, T rstd, T* dweight, T* dbias) {
  each<T>(n, [&](int64_t at, auto io) {
    const Vec<T> g = io.get(dy, at);
    if (dweight) io.put(dweight, at, fma(g, (io.get(x, at) - mean) * rstd, io.get(dweight, at)));
    if (dbias) io.put(dbias, at, io.get(dbias, at) + g);
  });
}

// ---- Columns: a vector of channels runs down the rows
// ----------------------------------------------------------------

template <class T>
void column_sums(const T* x, int64_t rows, int64_t stride, int64_t n, T* sum) {
  each<T>(n, [&](int64_t at, auto io) {
    Vec<T> a = io.get(sum, at), b{};
    for (int64_t r = 0; r + 1 < rows; r += 2) {
      a += io.get(x, at + r * stride);
      b += io.get(x, at + (r + 1) * stride);
    }
    if (rows % 2) a += io.get(x, at + (rows - 1) * stride);
    io.put(sum, at, a + b);
  });
}

template <class T>
void column_centered_sums(const T* x, int64_t rows, int64_t stride, int64_t n, const T* mean,
                          T* first, T* second) {
  each<T>(n, [&](int64_t at, auto io) {
    const Vec<T> m = io.get(mean, at);
    Vec<T> a = io.get(first, at), b = io.get(second, at);
    for (int64_t r = 0; r < rows; ++r) {
      const Vec<T> d = io.get(x, at + r * stride) - m;
      a += d;
      b = fma(d, d, b);
    }
    io.put(first, at, a);
    io.put(second, at, b);
  });
}

template <class T>
void column_product_sums(const T* dy, const T* x, int64_t rows, int64_t stride, int64_t n,
                         const T* mean, T* first, T* second, Gate<T> gate) {
  each<T>(n, [&](int64_t at, auto io) {
    const Vec<T> m = io.get(mean, at);
    Vec<T> a = io.get(first, at), b = io.get(second, at);
    for (int64_t r = 0; r < rows; ++r) {
      const Vec<T> g = passed(gate, io, at + r * stride, io.get(dy, at + r * stride));
      a += g;
      b = fma(g, io.get(x, at + r * stride) - m, b);
    }
    io.put(first, at, a);
    io.put(second, at, b);
  });
}

template <class T>
void column_affine(const T* x, T* y, int64_t rows, int64_t stride, int64_t n, const T* mean,
                   const T* scale, const T* shift, Rectifier rectifier) {
  for (int64_t r = 0; r < rows; ++r)
    each<T>(n, [&](int64_t at, auto io) {
      const Vec<T> d = io.get(x, at + r * stride) - io.get(mean, at);
      const Vec<T> v = fma(d, io.get(scale, at), io.get(shift, at));
      io.put(y, at + r * stride, rectifier.on ? rectified(rectifier, v) : v);
    });
}

template <class T>
void column_grad(const T* dy, const T* x, T* dx, int64_t rows, int64_t stride, int64_t n,
                 const T* mean, const T* w, const T* a, const T* b, const T* c, Gate<T> gate) {
  for (int64_t r = 0; r < rows; ++r)
    each<T>(n, [&](int64_t at, auto io) {
      const Vec<T> d = io.get(x, at + r * stride) - io.get(mean, at);
      const Vec<T> g =
          passed(gate, io, at + r * stride, io.get(dy, at + r * stride)) * io.get(w, at);
      io.put(dx, at + r * stride, fma(g - io.get(c, at), io.get(a, at), d * io.get(b, at)));
    });
}

template <class T>
constexpr NormLoops<T> kLoops = {sum<T>,
                                 centered_sums<T>,
                                 product_sums<T>,
                                 affine<T>,
                                 weighted_affine<T>,
                                 grad<T>,
                                 weight_grad<T>,
                                 column_sums<T>,
                                 column_centered_sums<T>,
                                 column_product_sums<T>,
                                 column_affine<T>,
                                 column_grad<T>};
constexpr NormKernels kTable = {kLoops<float>, kLoops<double>};

}  // namespace

const NormKernels* norm_kernels() { return &kTable; }

}  // namespace fastnn::FASTNN_ISA_NS
