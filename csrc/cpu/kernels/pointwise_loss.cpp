#include "cpu/kernels/pointwise_loss.h"

#include "cpu/kernels/vecmath.h"

namespace fastnn::FASTNN_ISA_NS {

namespace {

// Each rule: the loss of x and t, and its derivative by x. w and p are weight and pos_weight, a the
// parameter.

struct Mse {
  template <class V>
  FASTNN_INLINE V value(V x, V t, V, V, Elem<V>) {
    const V d = x - t;
    return d * d;
  }
  template <class V>
  FASTNN_INLINE V slope(V x, V t, V, V, Elem<V>) {
    return (x - t) * 2;
  }
};

template <class V>
FASTNN_INLINE V sign_of(V d) {  // NaN stays
  const V one = splat<Elem<V>>(1);
  return d > 0 ? one : (d < 0 ? -one : d);
}

struct L1 {
  template <class V>
  FASTNN_INLINE V value(V x, V t, V, V, Elem<V>) {
    return abs(x - t);
  }
  template <class V>
  FASTNN_INLINE V slope(V x, V t, V, V, Elem<V>) {
    return sign_of(x - t);
  }
};

struct Huber {
  template <class V>
  FASTNN_INLINE V value(V x, V t, V, V, Elem<V> a) {
    const V d = abs(x - t);
    return d < a ? d * d * Elem<V>(0.5) : (d - a * Elem<V>(0.5)) * a;
  }
  template <class V>
  FASTNN_INLINE V slope(V x, V t, V, V, Elem<V> a) {
    const V d = x - t;
    return abs(d) < a ? d : sign_of(d) * a;
  }
};

struct SmoothL1 {
  template <class V>
  FASTNN_INLINE V value(V x, V t, V, V, Elem<V> a) {
    const V d = abs(x - t);
    return d < a ? d * d * Elem<V>(0.5) / a : d - a * Elem<V>(0.5);
  }
  template <class V>
  FASTNN_INLINE V slope(V x, V t, V, V, Elem<V> a) {
    const V d = x - t;
    return abs(d) < a ? d / a : sign_of(d);
  }
};

template <class V>
FASTNN_INLINE V at_least_minus_100(V v) {
  return max(v, splat<Elem<V>>(-100));
}

struct Bce {
  template <class V>
  FASTNN_INLINE V value(V x, V t, V w, V, Elem<V>) {
    const V log_x = at_least_minus_100(log(x)), log_rest = at_least_minus_100(log1p(-x));
    return ((t - 1) * log_rest - t * log_x) * w;
  }
  template <class V>
  FASTNN_INLINE V slope(V x, V t, V w, V, Elem<V>) {
    return (x - t) / max((1 - x) * x, splat<Elem<V>>(Elem<V>(1e-12))) * w;
  }
};

struct BceLogits {
  // log(1 + exp(-x))
  template <class V>
  FASTNN_INLINE V softplus_minus(V x) {
    return log1p_exp_capped(minus_abs(x)) + max(-x, V{});
  }
  template <class V>
  FASTNN_INLINE V value(V x, V t, V w, V p, Elem<V>) {
    return ((1 - t) * x + ((p - 1) * t + 1) * softplus_minus(x)) * w;
  }
  template <class V>
  FASTNN_INLINE V slope(V x, V t, V w, V p, Elem<V>) {
    const V down = (p - 1) * t + 1;
    // (1 - t) - down sigmoid(-x), written so that p = 1 gives sigmoid(x) - t
    return (down * sigmoid(x) - p * t) * w;
  }
};

struct Kl {
  template <class V>
  FASTNN_INLINE V value(V x, V t, V, V, Elem<V>) {
    const V entropy = t == 0 ? V{} : t * log(t);
    return entropy - t * x;
  }
  template <class V>
  FASTNN_INLINE V slope(V, V t, V, V, Elem<V>) {
    return -t;
  }
};

struct KlLog {
  template <class V>
  FASTNN_INLINE V value(V x, V t, V, V, Elem<V>) {
    return exp(t) * (t - x);
  }
  template <class V>
  FASTNN_INLINE V slope(V, V t, V, V, Elem<V>) {
    return -exp(t);
  }
};

// body(at, x, t, w, p, lanes); lanes that are not in use hold x = t = 0.
template <class T, class F>
FASTNN_INLINE void each(const LossBlock<T>& b, int64_t begin, int64_t end, F body) {
  const Vec<T> one = splat(T(1));
  int64_t at = begin;
  for (; at + kLanes<T> <= end; at += kLanes<T>)
    body(at, load(b.x + at), load(b.t + at), b.weight ? load(b.weight + at) : one,
         b.positive ? load(b.positive + at) : one, kLanes<T>);
  if (at < end) {
    const int64_t n = end - at;
    body(at, load_n(b.x + at, n), load_n(b.t + at, n), b.weight ? load_n(b.weight + at, n) : one,
         b.positive ? load_n(b.positive + at, n) : one, n);
  }
}

template <class T, class Rule>
double value(const LossBlock<T>& b, T* out) {
  constexpr int64_t kSubTotal = 1024;  // summed in T, lane by lane
  double total = 0;
  for (int64_t begin = 0; begin < b.n; begin += kSubTotal) {
    const int64_t end = b.n - begin < kSubTotal ? b.n : begin + kSubTotal;
    Vec<T> sum{};
    each(b, begin, end, [&](int64_t at, Vec<T> x, Vec<T> t, Vec<T> w, Vec<T> p, int64_t lanes) {
      const Vec<T> loss = Rule::value(x, t, w, p, b.a);
      if (lanes == kLanes<T>) {
        sum += loss;
        if (out) store(out + at, loss);
        return;
      }
      T part[kLanes<T>];
      store(part, loss);
      sum += load_n(part, lanes);
      if (out) store_n(out + at, loss, lanes);
    });
    T lane[kLanes<T>];
    store(lane, sum);
    for (int i = 0; i < kLanes<T>; ++i) total += static_cast<double>(lane[i]);
  }
  return total;
}

template <class T, class Rule>
void slope(const LossBlock<T>& b, T scale, const T* dy, T* dx) {
  each(b, 0, b.n, [&](int64_t at, Vec<T> x, Vec<T> t, Vec<T> w, Vec<T> p, int64_t lanes) {
    Vec<T> g = Rule::slope(x, t, w, p, b.a) * scale;
    if (lanes == kLanes<T>) {
      if (dy) g *= load(dy + at);
      store(dx + at, g);
    } else {
      if (dy) g *= load_n(dy + at, lanes);
      store_n(dx + at, g, lanes);
    }
  });
}

template <class T, class Rule>
constexpr LossLoops<T> kRule = {value<T, Rule>, slope<T, Rule>};

#define FASTNN_RULES(T)                                                     \
  {kRule<T, Mse>, kRule<T, L1>,        kRule<T, Huber>, kRule<T, SmoothL1>, \
   kRule<T, Bce>, kRule<T, BceLogits>, kRule<T, Kl>,    kRule<T, KlLog>}
constexpr PointwiseLossKernels kTable = {FASTNN_RULES(float), FASTNN_RULES(double)};
#undef FASTNN_RULES

}  // namespace

const PointwiseLossKernels* pointwise_loss_kernels() { return &kTable; }

}  // namespace fastnn::FASTNN_ISA_NS
