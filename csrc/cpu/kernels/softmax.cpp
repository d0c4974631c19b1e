// Three passes over a line: its maximum, the sum of exponentials (in blocks, added in double), the
// result. A line stays in cache between them.
#include "cpu/kernels/softmax.h"

#include "cpu/kernels/vecmath.h"

namespace fastnn::FASTNN_ISA_NS {
namespace {

constexpr int64_t kBlock = 4096, kBlockRows = 64;

template <class T>
constexpr T kLowest = -__builtin_inff();

template <class T>
FASTNN_INLINE T log_of(double x) {
  return static_cast<T>(__builtin_log(x));
}

// The first n lanes, and `fill` in the others.
template <class T>
FASTNN_INLINE Vec<T> load_fill(const T* p, int64_t n, T fill) {
  return first_lanes<T>(n) ? load_n(p, n) : Vec<T>{} + fill;
}

// Sum over a line of f(i, whole) in blocks; f gets the position, and how many lanes count (all of
// them when it is 0).
template <class T, class F>
FASTNN_INLINE double sum_line(int64_t n, F f) {
  constexpr int64_t L = kLanes<T>;
  double total = 0;
  for (int64_t first = 0; first < n; first += kBlock) {
    const int64_t end = n - first < kBlock ? n : first + kBlock;
    Vec<T> part[4] = {};
    int64_t i = first;
    for (; i + 4 * L <= end; i += 4 * L)
      for (int64_t u = 0; u < 4; ++u) part[u] += f(i + u * L, int64_t{0});
    for (; i + L <= end; i += L) part[0] += f(i, int64_t{0});
    if (i < end) part[1] += f(i, end - i);
    total += sum_lanes((part[0] + part[1]) + (part[2] + part[3]));
  }
  return total;
}

template <class T>
FASTNN_INLINE T max_line(const T* x, int64_t n) {
  constexpr int64_t L = kLanes<T>;
  Vec<T> top[4];
  for (Vec<T>& t : top) t = Vec<T>{} + kLowest<T>;
  int64_t i = 0;
  for (; i + 4 * L <= n; i += 4 * L)
    for (int64_t u = 0; u < 4; ++u) top[u] = fast_max(top[u], load(x + i + u * L));
  for (; i + L <= n; i += L) top[0] = fast_max(top[0], load(x + i));
  if (i < n) top[1] = fast_max(top[1], load_fill(x + i, n - i, kLowest<T>));
  const Vec<T> all = fast_max(fast_max(top[0], top[1]), fast_max(top[2], top[3]));
  return max_lanes(all);
}

// f(i, 0) for whole vectors and f(i, n) for the first n lanes of the last one.
template <class T, class F>
FASTNN_INLINE void for_line(int64_t n, F f) {
  int64_t i = 0;
  for (; i + kLanes<T> <= n; i += kLanes<T>) f(i, int64_t{0});
  if (i < n) f(i, n - i);
}

template <class T>
FASTNN_INLINE Vec<T> load_some(const T* p, int64_t n) {
  return n ? load_n(p, n) : load(p);
}
template <class T>
FASTNN_INLINE void store_some(T* p, Vec<T> v, int64_t n) {
  n ? store_n(p, v, n) : store(p, v);
}

// A line that fits a vector stays in its register.
template <class T>
FASTNN_INLINE void short_row(T* out, const T* x, int64_t n, bool log) {
  const Vec<T> v = load_fill(x, n, kLowest<T>), shifted = v - max_lanes(v);
  const Vec<T> e = exp(shifted);
  const T sum = sum_lanes(first_lanes<T>(n) ? e : Vec<T>{});
  store_n(out, log ? shifted - log_of<T>(sum) : e * (1 / sum), n);
}

template <class T>
void row(void* out_, const void* x_, int64_t n, bool log) {
  const T* x = static_cast<const T*>(x_);
  T* out = static_cast<T*>(out_);
  if (n <= kLanes<T>) return short_row(out, x, n, log);
  const T top = max_line(x, n);
  if (log) {
    const double sum = sum_line<T>(n, [&](int64_t i, int64_t some) __attribute__((always_inline)) {
      return exp((some ? load_fill(x + i, some, kLowest<T>) : load(x + i)) - top);
    });
    const T lost = log_of<T>(sum);
    for_line<T>(n, [&](int64_t i, int64_t some) __attribute__((always_inline)) {
      store_some(out + i, load_some(x + i, some) - top - lost, some);
    });
    return;
  }
  const double sum = sum_line<T>(n, [&](int64_t i, int64_t some) __attribute__((always_inline)) {
    const Vec<T> e = exp((some ? load_fill(x + i, some, kLowest<T>) : load(x + i)) - top);
    store_some(out + i, e, some);
    return e;
  });
  const T factor = static_cast<T>(1 / sum);
  for_line<T>(n, [&](int64_t i, int64_t some) __attribute__((always_inline)) {
    store_some(out + i, load_some(out + i, some) * factor, some);
  });
}

template <class T>
void row_backward(void* out_, const void* g_, const void* y_, int64_t n, bool log) {
  const T *g = static_cast<const T*>(g_), *y = static_cast<const T*>(y_);
  T* out = static_cast<T*>(out_);
  if (log) {
    const T sum =
        static_cast<T>(sum_line<T>(n, [&](int64_t i, int64_t some) __attribute__((always_inline)) {
          return load_some(g + i, some);
        }));
    for_line<T>(n, [&](int64_t i, int64_t some) __attribute__((always_inline)) {
      store_some(out + i, load_some(g + i, some) - exp(load_some(y + i, some)) * sum, some);
    });
    return;
  }
  const T sum =
      static_cast<T>(sum_line<T>(n, [&](int64_t i, int64_t some) __attribute__((always_inline)) {
        return load_some(g + i, some) * load_some(y + i, some);
      }));
  for_line<T>(n, [&](int64_t i, int64_t some) __attribute__((always_inline)) {
    store_some(out + i, load_some(y + i, some) * (load_some(g + i, some) - sum), some);
  });
}

// ---- Columns: every lane is a line of its own -------------------------------------------------

template <class T, int U>
struct Strip {
  Vec<T> v[U];
};

// Sum over the rows of f(r), in blocks.
template <class T, int U, class F>
FASTNN_INLINE Strip<T, U> sum_rows(int64_t n, F f) {
  Strip<T, U> total{};
  for (int64_t first = 0; first < n; first += kBlockRows) {
    const int64_t end = n - first < kBlockRows ? n : first + kBlockRows;
    Strip<T, U> part{};
    for (int64_t r = first; r < end; ++r) {
      const Strip<T, U> term = f(r);
      for (int u = 0; u < U; ++u) part.v[u] += term.v[u];
    }
    for (int u = 0; u < U; ++u) total.v[u] += part.v[u];
  }
  return total;
}

template <class T, int U>
FASTNN_INLINE Strip<T, U> load_strip(const T* p, int64_t some) {
  Strip<T, U> s;
  for (int u = 0; u < U; ++u) s.v[u] = load_some(p + u * kLanes<T>, some);
  return s;
}
template <class T, int U>
FASTNN_INLINE void store_strip(T* p, const Strip<T, U>& s, int64_t some) {
  for (int u = 0; u < U; ++u) store_some(p + u * kLanes<T>, s.v[u], some);
}

template <class T, int U>
FASTNN_INLINE void strip_forward(T* out, const T* x, int64_t n, const SoftmaxStrides& s, bool log,
                                 int64_t some) {
  Strip<T, U> top;
  for (int u = 0; u < U; ++u) top.v[u] = Vec<T>{} + kLowest<T>;
  for (int64_t r = 0; r < n; ++r) {
    const Strip<T, U> here = load_strip<T, U>(x + r * s.x, some);
    for (int u = 0; u < U; ++u) top.v[u] = fast_max(top.v[u], here.v[u]);
  }
  const Strip<T, U> sum = sum_rows<T, U>(n, [&](int64_t r) __attribute__((always_inline)) {
    Strip<T, U> e = load_strip<T, U>(x + r * s.x, some);
    for (int u = 0; u < U; ++u) e.v[u] = exp(e.v[u] - top.v[u]);
    if (!log) store_strip<T, U>(out + r * s.out, e, some);
    return e;
  });
  Strip<T, U> last;
  for (int u = 0; u < U; ++u) last.v[u] = log ? fastnn::FASTNN_ISA_NS::log(sum.v[u]) : 1 / sum.v[u];
  for (int64_t r = 0; r < n; ++r) {
    Strip<T, U> y = load_strip<T, U>(log ? x + r * s.x : out + r * s.out, some);
    for (int u = 0; u < U; ++u) y.v[u] = log ? y.v[u] - top.v[u] - last.v[u] : y.v[u] * last.v[u];
    store_strip<T, U>(out + r * s.out, y, some);
  }
}

template <class T, int U>
FASTNN_INLINE void strip_backward(T* out, const T* g, const T* y, int64_t n,
                                  const SoftmaxStrides& s, bool log, int64_t some) {
  const Strip<T, U> sum = sum_rows<T, U>(n, [&](int64_t r) __attribute__((always_inline)) {
    Strip<T, U> term = load_strip<T, U>(g + r * s.x, some);
    if (!log) {
      const Strip<T, U> p = load_strip<T, U>(y + r * s.y, some);
      for (int u = 0; u < U; ++u) term.v[u] *= p.v[u];
    }
    return term;
  });
  for (int64_t r = 0; r < n; ++r) {
    Strip<T, U> d = load_strip<T, U>(g + r * s.x, some);
    const Strip<T, U> p = load_strip<T, U>(y + r * s.y, some);
    for (int u = 0; u < U; ++u)
      d.v[u] = log ? d.v[u] - exp(p.v[u]) * sum.v[u] : p.v[u] * (d.v[u] - sum.v[u]);
    store_strip<T, U>(out + r * s.out, d, some);
  }
}

// body(column, vectors as a constant, lanes of a partial vector)
template <class T, class F>
FASTNN_INLINE void for_strips(int64_t width, F body) {
  constexpr int64_t L = kLanes<T>;
  int64_t c = 0;
  for (; c + 2 * L <= width; c += 2 * L) body.template operator()<2>(c, int64_t{0});
  for (; c + L <= width; c += L) body.template operator()<1>(c, int64_t{0});
  if (c < width) body.template operator()<1>(c, width - c);
}

template <class T>
void cols(void* out, const void* x, int64_t n, int64_t width, const SoftmaxStrides& s, bool log) {
  for_strips<T>(width, [&]<int U>(int64_t c, int64_t some) {
    strip_forward<T, U>(static_cast<T*>(out) + c, static_cast<const T*>(x) + c, n, s, log, some);
  });
}

template <class T>
void cols_backward(void* out, const void* g, const void* y, int64_t n, int64_t width,
                   const SoftmaxStrides& s, bool log) {
  for_strips<T>(width, [&]<int U>(int64_t c, int64_t some) {
    strip_backward<T, U>(static_cast<T*>(out) + c, static_cast<const T*>(g) + c,
                         static_cast<const T*>(y) + c, n, s, log, some);
  });
}

const SoftmaxKernels kernels = {{row<float>, row<double>},
                                {cols<float>, cols<double>},
                                {row_backward<float>, row_backward<double>},
                                {cols_backward<float>, cols_backward<double>}};

}  // namespace

const SoftmaxKernels* softmax_kernels() { return &kernels; }

}  // namespace fastnn::FASTNN_ISA_NS
