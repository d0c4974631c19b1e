// Folds of contiguous runs and of columns. Within a block of 4096 elements (128 rows) the vectors
// are folded in their own type; the block's result joins the accumulator in double.
#include "cpu/kernels/reduce.h"

#include "cpu/kernels/vecmath.h"

namespace fastnn::FASTNN_ISA_NS {

FASTNN_INLINE vl max(vl a, vl b) { return a > b ? a : b; }
FASTNN_INLINE vl min(vl a, vl b) { return a < b ? a : b; }

namespace {

constexpr int64_t kBlock = 4096, kBlockRows = 128;

template <class T>
struct AccOf {
  typedef double type;
};
template <>
struct AccOf<int64_t> {
  typedef int64_t type;
};
template <class T>
using Acc = typename AccOf<T>::type;

template <class A>
FASTNN_INLINE A larger(A a, A b) {
  return a != a || a > b ? a : b;
}
template <class A>
FASTNN_INLINE A smaller(A a, A b) {
  return a != a || a < b ? a : b;
}
template <class A>
FASTNN_INLINE A lowest() {
  return A(0.5) == A(0) ? A(INT64_MIN) : A(-__builtin_inf());
}
template <class A>
FASTNN_INLINE A highest() {
  return A(0.5) == A(0) ? A(INT64_MAX) : A(__builtin_inf());
}

FASTNN_INLINE vf power(vf a, vf p) {
  vf r{};
  for (int i = 0; i < kLanes<float>; ++i) r[i] = __builtin_powf(a[i], p[i]);
  return r;
}
FASTNN_INLINE vd power(vd a, vd p) {
  vd r{};
  for (int i = 0; i < kLanes<double>; ++i) r[i] = __builtin_pow(a[i], p[i]);
  return r;
}

// A fold: its identity, how a vector x (and its shift) joins the accumulators, how two accumulators
// join, as numbers and as vectors.
#define FOLD(name, identity_, step_, join_, merge_)                                             \
  struct name##_fold {                                                                          \
    template <class A>                                                                          \
    static inline __attribute__((always_inline)) A identity() {                                 \
      return identity_;                                                                         \
    }                                                                                           \
    template <class V>                                                                          \
    static inline __attribute__((always_inline)) V step(V acc, V x, [[maybe_unused]] V shift) { \
      return step_;                                                                             \
    }                                                                                           \
    template <class A>                                                                          \
    static inline __attribute__((always_inline)) A join(A a, A b) {                             \
      return join_;                                                                             \
    }                                                                                           \
    template <class V>                                                                          \
    static inline __attribute__((always_inline)) V merge(V a, V b) {                            \
      return merge_;                                                                            \
    }                                                                                           \
  };
FOLD(sum, A(0), acc + x, a + b, a + b)
FOLD(prod, A(1), acc* x, a* b, a* b)
FOLD(max, lowest<A>(), max(acc, x), larger(a, b), max(a, b))
FOLD(min, highest<A>(), min(acc, x), smaller(a, b), min(a, b))
FOLD(nonzero, A(0), acc + (x != 0 ? V{} + 1 : V{}), a + b, a + b)
FOLD(sum_abs, A(0), acc + abs(x), a + b, a + b)
FOLD(sum_squares, A(0), acc + x * x, a + b, a + b)
FOLD(max_abs, A(0), max(acc, abs(x)), larger(a, b), max(a, b))
FOLD(min_abs, highest<A>(), min(acc, abs(x)), smaller(a, b), min(a, b))
FOLD(sum_power, A(0), acc + power(abs(x), shift), a + b, a + b)
FOLD(sum_centred, A(0), acc + (x - shift) * (x - shift), a + b, a + b)
FOLD(sum_exp, A(0), acc + exp(x - shift), a + b, a + b)

template <class T, class F>
FASTNN_INLINE Acc<T> fold_block(const T* x, int64_t n, Vec<T> shift) {
  using V = Vec<T>;
  constexpr int64_t L = kLanes<T>, U = 8;
  int64_t i = 0;
  V acc = V{} + F::template identity<T>();
  if (n >= U * L) {
    V part[U];
    for (V& p : part) p = acc;
    for (; i + U * L <= n; i += U * L)
      for (int64_t u = 0; u < U; ++u) part[u] = F::step(part[u], load(x + i + u * L), shift);
    for (int64_t half = U / 2; half > 0; half /= 2)
      for (int64_t u = 0; u < half; ++u) part[u] = F::merge(part[u], part[u + half]);
    acc = part[0];
  }
  for (; i + L <= n; i += L) acc = F::step(acc, load(x + i), shift);
  if (i < n) {
    // Lanes past the end take no part.
    const V stepped = F::step(acc, load_n(x + i, n - i), shift);
    acc = first_lanes<T>(n - i) ? stepped : acc;
  }
  return static_cast<Acc<T>>(
      tree(acc, [](V a, V b) __attribute__((always_inline)) { return F::merge(a, b); }));
}

template <class T, class F>
void fold_run(void* acc_, const void* x_, int64_t n, const double* shift) {
  auto* acc = static_cast<Acc<T>*>(acc_);
  const T* x = static_cast<const T*>(x_);
  const Vec<T> s = Vec<T>{} + static_cast<T>(shift ? *shift : 0);
  for (int64_t i = 0; i < n; i += kBlock)
    *acc = F::join(*acc, fold_block<T, F>(x + i, n - i < kBlock ? n - i : kBlock, s));
}

// U vectors of columns at once, all of a block's rows.
template <class T, class F, int U>
FASTNN_INLINE void fold_strip(Acc<T>* acc, const T* x, int64_t rows, int64_t row_stride,
                              const T* shift) {
  using V = Vec<T>;
  constexpr int64_t L = kLanes<T>;
  V part[U], s[U];
  for (int u = 0; u < U; ++u) {
    part[u] = V{} + F::template identity<T>();
    s[u] = load(shift + u * L);
  }
  for (int64_t r = 0; r < rows; ++r)
    for (int u = 0; u < U; ++u) part[u] = F::step(part[u], load(x + r * row_stride + u * L), s[u]);
  T lanes[U * L];
  memcpy(lanes, part, sizeof lanes);
  for (int64_t i = 0; i < U * L; ++i) acc[i] = F::join(acc[i], static_cast<Acc<T>>(lanes[i]));
}

template <class T, class F>
void fold_cols(void* acc_, const void* x_, int64_t rows, int64_t row_stride, int64_t cols,
               const double* shift) {
  auto* acc = static_cast<Acc<T>*>(acc_);
  const T* x = static_cast<const T*>(x_);
  constexpr int64_t L = kLanes<T>, U = 4;
  T s[U * L] = {};
  for (int64_t first = 0; first < rows; first += kBlockRows) {
    const int64_t block = rows - first < kBlockRows ? rows - first : kBlockRows;
    const T* top = x + first * row_stride;
    int64_t c = 0;
    for (; c + U * L <= cols; c += U * L) {
      if (shift)
        for (int64_t i = 0; i < U * L; ++i) s[i] = static_cast<T>(shift[c + i]);
      fold_strip<T, F, U>(acc + c, top + c, block, row_stride, s);
    }
    for (; c + L <= cols; c += L) {
      if (shift)
        for (int64_t i = 0; i < L; ++i) s[i] = static_cast<T>(shift[c + i]);
      fold_strip<T, F, 1>(acc + c, top + c, block, row_stride, s);
    }
    if (c < cols) {
      const int64_t n = cols - c;
      for (int64_t i = 0; shift && i < n; ++i) s[i] = static_cast<T>(shift[c + i]);
      Vec<T> part = Vec<T>{} + F::template identity<T>();
      for (int64_t r = 0; r < block; ++r)
        part = F::step(part, load_n(top + r * row_stride + c, n), load(s));
      for (int64_t i = 0; i < n; ++i)
        acc[c + i] = F::join(acc[c + i], static_cast<Acc<T>>(part[i]));
    }
  }
}

template <class T>
int64_t find(const void* x_, int64_t n, const void* value_) {
  const T* x = static_cast<const T*>(x_);
  const T value = *static_cast<const T*>(value_);
  const bool nan = value != value;
  constexpr int64_t L = kLanes<T>;
  const Vec<T> v = Vec<T>{} + value;
  int64_t i = 0;
  for (; i + L <= n; i += L) {
    const Vec<T> here = load(x + i);
    if (nan ? any(here != here) : any(here == v)) break;
  }
  for (; i < n; ++i)
    if (nan ? x[i] != x[i] : x[i] == value) return i;
  return n;
}

template <class T>
void extreme_cols(void* acc_, int64_t* __restrict index, const void* x_, int64_t rows,
                  int64_t row_stride, int64_t cols, int64_t first_row, int sign) {
  using A = Acc<T>;
  A* __restrict acc = static_cast<A*>(acc_);
  const T* x = static_cast<const T*>(x_);
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 0; c < cols; ++c) {
      const A v = static_cast<A>(x[r * row_stride + c]), best = acc[c];
      const bool beats = (sign > 0 ? v > best : v < best) | ((v != v) & (best == best));
      acc[c] = beats ? v : best;
      index[c] = beats ? first_row + r : index[c];
    }
}

#define REAL(name)                                                            \
  {                                                                           \
    {fold_run<float, name##_fold>, fold_run<double, name##_fold>, nullptr}, { \
      fold_cols<float, name##_fold>, fold_cols<double, name##_fold>, nullptr  \
    }                                                                         \
  }
#define BOTH(name)                                                                                 \
  {                                                                                                \
    {fold_run<float, name##_fold>, fold_run<double, name##_fold>, fold_run<int64_t, name##_fold>}, \
    {                                                                                              \
      fold_cols<float, name##_fold>, fold_cols<double, name##_fold>,                               \
          fold_cols<int64_t, name##_fold>                                                          \
    }                                                                                              \
  }

const ReduceKernels kernels = {
    {BOTH(sum), BOTH(prod), BOTH(max), BOTH(min), BOTH(nonzero), REAL(sum_abs), REAL(sum_squares),
     REAL(max_abs), REAL(min_abs), REAL(sum_power), REAL(sum_centred), REAL(sum_exp)},
    {find<float>, find<double>, find<int64_t>},
    {extreme_cols<float>, extreme_cols<double>, extreme_cols<int64_t>},
};

}  // namespace

const ReduceKernels* reduce_kernels() { return &kernels; }

}  // namespace fastnn::FASTNN_ISA_NS
