#include "cpu/kernels/cross_entropy.h"

#include "cpu/kernels/vecmath.h"

namespace fastnn::FASTNN_ISA_NS {

namespace {

template <class T>
constexpr T kInf = __builtin_inff();

// Lanes from n on hold `fill`.
template <class T>
FASTNN_INLINE Vec<T> load_filled(const T* p, int64_t n, T fill) {
  return first_lanes<T>(n) ? load_n(p, n) : splat(fill);
}

// Four running vectors, joined in a fixed order; the tail goes to the first.
template <class T, class Step, class Join>
FASTNN_INLINE Vec<T> fold(const T* x, int64_t n, T fill, Vec<T> start, Step step, Join join) {
  constexpr int64_t kWidth = kLanes<T>;
  Vec<T> acc[4] = {start, start, start, start};
  int64_t i = 0;
  for (; i + 4 * kWidth <= n; i += 4 * kWidth)
    for (int k = 0; k < 4; ++k)
      acc[k] = step(acc[k], load(x + i + k * kWidth), i + k * kWidth, kWidth);
  for (; i + kWidth <= n; i += kWidth) acc[0] = step(acc[0], load(x + i), i, kWidth);
  if (i < n) acc[0] = step(acc[0], load_filled(x + i, n - i, fill), i, n - i);
  return join(join(acc[0], acc[1]), join(acc[2], acc[3]));
}

template <class T>
FASTNN_INLINE Vec<T> add(Vec<T> a, Vec<T> b) {
  return a + b;
}

// Lanes joined by halves, in registers and without a branch: rows are short, and the end of each
// must be quick.
template <class T, int Lanes, class V, class F>
FASTNN_INLINE T join_lanes(V v, F join) {
  if constexpr (Lanes * sizeof(T) > 16) {
    typedef T Half __attribute__((vector_size(Lanes / 2 * sizeof(T))));
    Half half[2];
    memcpy(half, &v, sizeof v);
    return join_lanes<T, Lanes / 2>(join(half[0], half[1]), join);
  } else if constexpr (Lanes == 4) {
    v = join(v, __builtin_shufflevector(v, v, 2, 3, 0, 1));
    return join(v, __builtin_shufflevector(v, v, 1, 0, 3, 2))[0];
  } else {
    return join(v, __builtin_shufflevector(v, v, 1, 0))[0];
  }
}

// A NaN is passed over here, and makes the sum NaN.
template <class T>
FASTNN_INLINE T row_maximum(const T* x, int64_t n) {
  using V = Vec<T>;
  const V tops = fold<T>(
      x, n, -kInf<T>, splat(-kInf<T>),
      [](V acc, V v, int64_t, int64_t) { return fast_max(v, acc); },
      [](V a, V b) { return fast_max(a, b); });
  return join_lanes<T, kLanes<T>>(tops, [](auto a, auto b) { return a > b ? a : b; });
}

// Filled lanes give exp(-inf) = 0, also when the maximum is infinite: -inf - -inf and inf - inf are
// NaN, as they must be.
template <class T>
FASTNN_INLINE T row_exponentials(const T* x, int64_t n, T top) {
  using V = Vec<T>;
  const V sums = fold<T>(
      x, n, -kInf<T>, V{}, [=](V acc, V v, int64_t, int64_t) { return acc + exp_capped(v - top); },
      add<T>);
  return join_lanes<T, kLanes<T>>(sums, [](auto a, auto b) { return a + b; });
}

// A few rows at a time, so that the shuffles at the end of one run beside the work of the next;
// they stay in the first-level cache.
template <class T>
void row_stats(const T* x, int64_t stride, int64_t rows, int64_t n, T* maximum, T* sum) {
  const int64_t group = n < 256 ? 8 : n < 4096 ? 2 : 1;
  for (int64_t first = 0; first < rows; first += group) {
    const int64_t end = rows - first < group ? rows : first + group;
    for (int64_t r = first; r < end; ++r) maximum[r] = row_maximum(x + r * stride, n);
    for (int64_t r = first; r < end; ++r) sum[r] = row_exponentials(x + r * stride, n, maximum[r]);
  }
}

template <class T>
void logs(T* v, int64_t n) {
  int64_t i = 0;
  for (; i + kLanes<T> <= n; i += kLanes<T>) store(v + i, log(load(v + i)));
  if (i < n) store_n(v + i, log(load_n(v + i, n - i)), n - i);
}

template <class T>
T row_dot(const T* x, const T* a, int64_t n, T maximum) {
  using V = Vec<T>;
  if (!a)
    return sum_lanes(fold<T>(
        x, n, maximum, V{}, [=](V acc, V v, int64_t, int64_t) { return acc + (maximum - v); },
        add<T>));
  return sum_lanes(fold<T>(
      x, n, T(0), V{},
      [=](V acc, V v, int64_t at, int64_t lanes) {
        if (lanes == kLanes<T>) return fma(load(a + at), maximum - v, acc);
        // Only true lanes: a zero times an infinite filler would be NaN.
        T part[kLanes<T>] = {};
        for (int64_t i = 0; i < lanes; ++i) part[i] = a[at + i] * (maximum - v[i]);
        return acc + load(part);
      },
      add<T>));
}

template <class T>
T row_sum(const T* a, int64_t n) {
  using V = Vec<T>;
  return sum_lanes(
      fold<T>(a, n, T(0), V{}, [](V acc, V v, int64_t, int64_t) { return acc + v; }, add<T>));
}

template <class T>
void row_grad(const T* x, const T* a, int64_t n, T maximum, T log_sum, T p_scale, T a_scale,
              T* out) {
  constexpr int64_t kWidth = kLanes<T>;
  for (int64_t i = 0; i < n; i += kWidth) {
    const int64_t left = n - i;
    if (left >= kWidth) {
      const Vec<T> p = exp_capped(load(x + i) - maximum - log_sum);
      store(out + i, a ? fma(splat(-a_scale), load(a + i), p * p_scale)
                       : fma(p, splat(p_scale), splat(-a_scale)));
    } else {
      const Vec<T> p = exp_capped(load_n(x + i, left) - maximum - log_sum);
      store_n(out + i,
              a ? fma(splat(-a_scale), load_n(a + i, left), p * p_scale)
                : fma(p, splat(p_scale), splat(-a_scale)),
              left);
    }
  }
}

// ---- Tiles: vectors run along the positions
// ------------------------------------------------------------------------

// body(position, lanes in use), for every vector of the tile.
template <class T, class F>
FASTNN_INLINE void columns(int64_t n, F body) {
  for (int64_t i = 0; i < n; i += kLanes<T>) body(i, n - i < kLanes<T> ? n - i : kLanes<T>);
}
template <class T>
FASTNN_INLINE Vec<T> load_some(const T* p, int64_t lanes) {
  return lanes == kLanes<T> ? load(p) : load_n(p, lanes);
}
template <class T>
FASTNN_INLINE void store_some(T* p, Vec<T> v, int64_t lanes) {
  if (lanes == kLanes<T>)
    store(p, v);
  else
    store_n(p, v, lanes);
}

template <class T>
void tile_stats(const T* x, int64_t stride, int64_t classes, int64_t n, T* maximum, T* log_sum) {
  using V = Vec<T>;
  columns<T>(n, [&](int64_t i, int64_t lanes) {
    V top = splat(-kInf<T>);
    for (int64_t c = 0; c < classes; ++c) top = max(load_some(x + c * stride + i, lanes), top);
    V sum[2] = {V{}, V{}};
    for (int64_t c = 0; c < classes; ++c)
      sum[c & 1] += exp_capped(load_some(x + c * stride + i, lanes) - top);
    store_some(maximum + i, top, lanes);
    store_some(log_sum + i, log(sum[0] + sum[1]), lanes);
  });
}

template <class T>
void tile_dot(const T* x, int64_t stride, const T* a, int64_t classes, int64_t n, const T* maximum,
              T* out) {
  using V = Vec<T>;
  columns<T>(n, [&](int64_t i, int64_t lanes) {
    const V top = load_some(maximum + i, lanes);
    V sum{};
    for (int64_t c = 0; c < classes; ++c)
      sum += (a ? a[c] : T(1)) * (top - load_some(x + c * stride + i, lanes));
    store_some(out + i, sum, lanes);
  });
}

template <class T>
void tile_grad(const T* x, int64_t stride, const T* a, int64_t classes, int64_t n, const T* maximum,
               const T* log_sum, const T* p_scale, const T* a_scale, T* out, int64_t out_stride) {
  using V = Vec<T>;
  columns<T>(n, [&](int64_t i, int64_t lanes) {
    const V top = load_some(maximum + i, lanes), rest = load_some(log_sum + i, lanes);
    const V scale = load_some(p_scale + i, lanes), less = load_some(a_scale + i, lanes);
    for (int64_t c = 0; c < classes; ++c) {
      const V p = exp_capped(load_some(x + c * stride + i, lanes) - top - rest);
      // An ignored position has scale 0, and must not turn NaN by its logits.
      const V g = scale * p - less * (a ? a[c] : T(1));
      store_some(out + c * out_stride + i, scale == 0 ? V{} : g, lanes);
    }
  });
}

template <class T>
constexpr CrossEntropyLoops<T> kLoops = {row_stats<T>, logs<T>,       row_dot<T>,  row_sum<T>,
                                         row_grad<T>,  tile_stats<T>, tile_dot<T>, tile_grad<T>};
constexpr CrossEntropyKernels kTable = {kLoops<float>, kLoops<double>};

}  // namespace

const CrossEntropyKernels* cross_entropy_kernels() { return &kTable; }

}  // namespace fastnn::FASTNN_ISA_NS
