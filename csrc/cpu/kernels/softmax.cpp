// Three passes over a line: its maximum, the sum of exponentials (in blocks, added in double), the
// result. A line stays in cache between them.
#include "cpu/kernels/softmax.h"

#include "cpu/kernels/vecmath.h"

namespace fastnn::FASTNN_ISA_NS {
namespace {

constexpr int64_t kBlock = 4096, kBlockRows = 64;

template <class T>
constexpr T kLowest = -__builtin_inff();

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
#pragma GCC unroll 4
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
  const Vec<T> e = exp_capped(shifted);
  const T sum = sum_lanes(first_lanes<T>(n) ? e : Vec<T>{});
  store_n(out, log ? shifted - fastnn::FASTNN_ISA_NS::log(splat(sum)) : e * (1 / sum), n);
}

// Longer lines are taken a few at a time, step by step: what ends a step of one line, a chain of
// shuffles and a division, then runs beside the work of the next. They stay in the first-level
// cache.
constexpr int64_t kGroup = 8, kGroupElements = 2048;

template <class T>
struct PerLine {
  T v[kGroup > kLanes<T> ? kGroup : kLanes<T>];
};

// body(first line, how many) for groups of lines.
template <class F>
FASTNN_INLINE void for_groups(int64_t lines, int64_t n, F body) {
  const int64_t fit = kGroupElements / n, most = fit < 1 ? 1 : fit > kGroup ? kGroup : fit;
  for (int64_t l = 0; l < lines; l += most) body(l, lines - l < most ? lines - l : most);
}

template <class T>
FASTNN_INLINE void group_forward(T* out, const T* x, int64_t n, int64_t lines,
                                 const SoftmaxStrides& s, bool log) {
  PerLine<T> top, last{};
  for (int64_t l = 0; l < lines; ++l) top.v[l] = max_line(x + l * s.x, n);
  for (int64_t l = 0; l < lines; ++l) {
    const T *in = x + l * s.x, high = top.v[l];
    T* o = out + l * s.out;
    const auto exponential = [&](int64_t i, int64_t some) __attribute__((always_inline)) {
      const Vec<T> e =
          exp_capped((some ? load_fill(in + i, some, kLowest<T>) : load(in + i)) - high);
      if (log)
        __builtin_prefetch(o + i, 1);  // written in the last step: its lines come meanwhile
      else
        store_some(o + i, e, some);
      return e;
    };
    const double sum = sum_line<T>(n, exponential);
    last.v[l] = static_cast<T>(log ? sum : 1 / sum);
  }
  if (log)
    for (int64_t l = 0; l < lines; l += kLanes<T>)
      store(last.v + l, fastnn::FASTNN_ISA_NS::log(load(last.v + l)));
  for (int64_t l = 0; l < lines; ++l) {
    const T *in = x + l * s.x, high = top.v[l], by = last.v[l];
    T* o = out + l * s.out;
    for_line<T>(n, [&](int64_t i, int64_t some) __attribute__((always_inline)) {
      store_some(o + i, log ? load_some(in + i, some) - high - by : load_some(o + i, some) * by,
                 some);
    });
  }
}

template <class T>
void rows(void* out_, const void* x_, int64_t n, int64_t lines, const SoftmaxStrides& s, bool log) {
  const T* x = static_cast<const T*>(x_);
  T* out = static_cast<T*>(out_);
  if (n <= kLanes<T>) {
    for (int64_t l = 0; l < lines; ++l) short_row(out + l * s.out, x + l * s.x, n, log);
    return;
  }
  for_groups(lines, n, [&](int64_t l, int64_t some) __attribute__((always_inline)) {
    if (log)
      group_forward(out + l * s.out, x + l * s.x, n, some, s, true);
    else
      group_forward(out + l * s.out, x + l * s.x, n, some, s, false);
  });
}

template <class T>
FASTNN_INLINE void group_backward(T* out, const T* g, const T* y, int64_t n, int64_t lines,
                                  const SoftmaxStrides& s, bool log) {
  PerLine<T> sum;
  for (int64_t l = 0; l < lines; ++l) {
    const T *gl = g + l * s.x, *yl = y + l * s.y;
    sum.v[l] =
        static_cast<T>(sum_line<T>(n, [&](int64_t i, int64_t some) __attribute__((always_inline)) {
          const Vec<T> d = load_some(gl + i, some);
          return log ? d : d * load_some(yl + i, some);
        }));
  }
  for (int64_t l = 0; l < lines; ++l) {
    const T *gl = g + l * s.x, *yl = y + l * s.y, all = sum.v[l];
    T* o = out + l * s.out;
    for_line<T>(n, [&](int64_t i, int64_t some) __attribute__((always_inline)) {
      const Vec<T> d = load_some(gl + i, some), p = load_some(yl + i, some);
      store_some(o + i, log ? d - exp(p) * all : p * (d - all), some);
    });
  }
}

template <class T>
void rows_backward(void* out_, const void* g_, const void* y_, int64_t n, int64_t lines,
                   const SoftmaxStrides& s, bool log) {
  const T *g = static_cast<const T*>(g_), *y = static_cast<const T*>(y_);
  T* out = static_cast<T*>(out_);
  for_groups(lines, n, [&](int64_t l, int64_t some) __attribute__((always_inline)) {
    if (log)
      group_backward(out + l * s.out, g + l * s.x, y + l * s.y, n, some, s, true);
    else
      group_backward(out + l * s.out, g + l * s.x, y + l * s.y, n, some, s, false);
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
    for (int u = 0; u < U; ++u) e.v[u] = exp_capped(e.v[u] - top.v[u]);
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

const SoftmaxKernels kernels = {{rows<float>, rows<double>},
                                {cols<float>, cols<double>},
                                {rows_backward<float>, rows_backward<double>},
                                {cols_backward<float>, cols_backward<double>}};

}  // namespace

const SoftmaxKernels* softmax_kernels() { return &kernels; }

}  // namespace fastnn::FASTNN_ISA_NS
