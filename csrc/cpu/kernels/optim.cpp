// The update rules, one element at a time; the compiler makes vectors of these loops.
#include "cpu/kernels/optim.h"

#include "cpu/kernels/vec.h"

namespace fastnn::FASTNN_ISA_NS {

namespace {

FASTNN_INLINE float root(float x) { return __builtin_sqrtf(x); }
FASTNN_INLINE double root(double x) { return __builtin_sqrt(x); }
FASTNN_INLINE float magnitude(float x) { return __builtin_fabsf(x); }
FASTNN_INLINE double magnitude(double x) { return __builtin_fabs(x); }
// NaN where either is NaN.
template <class T>
FASTNN_INLINE T larger(T a, T b) {
  return a > b || a != a ? a : b;
}

// What every rule shares: the coefficients in T, the gradient's sign and the coupled weight decay.
template <class T>
struct Rule {
  T c[kOptimCoefs];
  T sign;
  bool decoupled, decays;

  Rule(const double* coef, int flags) {
    for (int i = 0; i < kOptimCoefs; ++i) c[i] = static_cast<T>(coef[i]);
    sign = flags & kOptimMaximize ? -1 : 1;
    decoupled = flags & kOptimDecoupled;
    decays = c[1] != 0 && !decoupled;
  }
};

// Runs body(p, g, s0, s1, s2) on every element; p and the states are references.
template <class T, int States, class F>
FASTNN_INLINE void each(const OptimBlock<T>& b, const Rule<T>& rule, F body) {
  const bool decays = rule.decays;
  const T sign = rule.sign, decay = rule.c[1];
  T* const param = b.param;
  T* const s0 = b.state[0];
  T* const s1 = b.state[1];
  T* const s2 = b.state[2];
  T unused = 0;
#pragma GCC ivdep
  for (int64_t i = 0; i < b.n; ++i) {
    const T p = param[i];
    const T raw = sign * b.grad[i];
    const T g = decays ? raw + decay * p : raw;  // no decay must not touch p: 0 * inf is NaN
    T a = States > 0 ? s0[i] : unused, v = States > 1 ? s1[i] : unused,
      w = States > 2 ? s2[i] : unused;
    param[i] = body(p, g, a, v, w);
    if (States > 0) s0[i] = a;
    if (States > 1) s1[i] = v;
    if (States > 2) s2[i] = w;
  }
}

// c: lr, weight_decay, momentum, 1 - dampening
template <class T>
void sgd(const double* coef, int flags, const OptimBlock<T>& b) {
  const Rule<T> rule(coef, flags);
  const T lr = rule.c[0], momentum = rule.c[2], gain = rule.c[3];
  const bool first = flags & kOptimFirst;
  if (!(flags & kOptimMomentum))
    each<T, 0>(b, rule, [=](T p, T g, T&, T&, T&) { return p - lr * g; });
  else if (flags & kOptimNesterov)
    each<T, 1>(b, rule, [=](T p, T g, T& m, T&, T&) {
      m = first ? g : momentum * m + gain * g;
      return p - lr * (g + momentum * m);
    });
  else
    each<T, 1>(b, rule, [=](T p, T g, T& m, T&, T&) {
      m = first ? g : momentum * m + gain * g;
      return p - lr * m;
    });
}

// c: lr / bias1, weight_decay, 1 - beta1, beta2, 1 - beta2, eps, sqrt(bias2), 1 - lr * weight_decay
template <class T>
void adam(const double* coef, int flags, const OptimBlock<T>& b) {
  const Rule<T> rule(coef, flags);
  const T step = rule.c[0], gain1 = rule.c[2], beta2 = rule.c[3], gain2 = rule.c[4],
          eps = rule.c[5], bias2 = rule.c[6], keep = rule.decoupled ? rule.c[7] : T(1);
  if (flags & kOptimAmsgrad)
    each<T, 3>(b, rule, [=](T p, T g, T& m, T& v, T& top) {
      m += gain1 * (g - m);
      v = beta2 * v + gain2 * g * g;
      top = larger(v, top);
      return p * keep - step * (m / (root(top) / bias2 + eps));
    });
  else
    each<T, 2>(b, rule, [=](T p, T g, T& m, T& v, T&) {
      m += gain1 * (g - m);
      v = beta2 * v + gain2 * g * g;
      return p * keep - step * (m / (root(v) / bias2 + eps));
    });
}

// c: lr, weight_decay, alpha, 1 - alpha, eps, momentum
template <class T>
void rmsprop(const double* coef, int flags, const OptimBlock<T>& b) {
  const Rule<T> rule(coef, flags);
  const T lr = rule.c[0], alpha = rule.c[2], gain = rule.c[3], eps = rule.c[4],
          momentum = rule.c[5];
  const auto scaled = [=](T g, T& v) {
    v = alpha * v + gain * g * g;
    return g / (root(v) + eps);
  };
  const auto scaled_centered = [=](T g, T& v, T& mean) {
    v = alpha * v + gain * g * g;
    mean += gain * (g - mean);
    return g / (root(v - mean * mean) + eps);
  };
  switch (flags & (kOptimMomentum | kOptimCentered)) {
    case 0:
      return each<T, 1>(b, rule, [=](T p, T g, T& v, T&, T&) { return p - lr * scaled(g, v); });
    case kOptimMomentum:
      return each<T, 2>(b, rule, [=](T p, T g, T& v, T& m, T&) {
        m = momentum * m + scaled(g, v);
        return p - lr * m;
      });
    case kOptimCentered:
      return each<T, 2>(b, rule, [=](T p, T g, T& v, T& mean, T&) {
        return p - lr * scaled_centered(g, v, mean);
      });
    default:
      return each<T, 3>(b, rule, [=](T p, T g, T& v, T& m, T& mean) {
        m = momentum * m + scaled_centered(g, v, mean);
        return p - lr * m;
      });
  }
}

// c: decayed lr, weight_decay, eps
template <class T>
void adagrad(const double* coef, int flags, const OptimBlock<T>& b) {
  const Rule<T> rule(coef, flags);
  const T lr = rule.c[0], eps = rule.c[2];
  each<T, 1>(b, rule, [=](T p, T g, T& sum, T&, T&) {
    sum += g * g;
    return p - lr * (g / (root(sum) + eps));
  });
}

// c: lr, weight_decay, rho, 1 - rho, eps
template <class T>
void adadelta(const double* coef, int flags, const OptimBlock<T>& b) {
  const Rule<T> rule(coef, flags);
  const T lr = rule.c[0], rho = rule.c[2], gain = rule.c[3], eps = rule.c[4];
  each<T, 2>(b, rule, [=](T p, T g, T& square, T& acc, T&) {
    square = rho * square + gain * g * g;
    const T delta = root(acc + eps) / root(square + eps) * g;
    acc = rho * acc + gain * delta * delta;
    return p - lr * delta;
  });
}

// c: lr / bias1, weight_decay, 1 - beta1, beta2, eps
template <class T>
void adamax(const double* coef, int flags, const OptimBlock<T>& b) {
  const Rule<T> rule(coef, flags);
  const T lr = rule.c[0], gain1 = rule.c[2], beta2 = rule.c[3], eps = rule.c[4];
  each<T, 2>(b, rule, [=](T p, T g, T& m, T& top, T&) {
    m += gain1 * (g - m);
    top = larger(magnitude(g) + eps, beta2 * top);
    return p - lr * (m / top);
  });
}

// c: lr of the gradient, weight_decay, 1 - beta1, beta2, 1 - beta2, eps, bias2, 1 - lr *
// weight_decay, lr of the mean
template <class T>
void nadam(const double* coef, int flags, const OptimBlock<T>& b) {
  const Rule<T> rule(coef, flags);
  const T lr_grad = rule.c[0], gain1 = rule.c[2], beta2 = rule.c[3], gain2 = rule.c[4],
          eps = rule.c[5], bias2 = rule.c[6], keep = rule.decoupled ? rule.c[7] : T(1),
          lr_mean = rule.c[8];
  each<T, 2>(b, rule, [=](T p, T g, T& m, T& v, T&) {
    m += gain1 * (g - m);
    v = beta2 * v + gain2 * g * g;
    const T denominator = root(v / bias2) + eps;
    return p * keep - lr_grad * (g / denominator) - lr_mean * (m / denominator);
  });
}

// c: lr / bias1 (rectified when c[6] is not 0), weight_decay, 1 - beta1, beta2, 1 - beta2, eps,
// rectifies,
//    1 - lr * weight_decay
template <class T>
void radam(const double* coef, int flags, const OptimBlock<T>& b) {
  const Rule<T> rule(coef, flags);
  const T lr = rule.c[0], gain1 = rule.c[2], beta2 = rule.c[3], gain2 = rule.c[4], eps = rule.c[5],
          keep = rule.decoupled ? rule.c[7] : T(1);
  const bool rectifies = rule.c[6] != 0;
  each<T, 2>(b, rule, [=](T p, T g, T& m, T& v, T&) {
    m += gain1 * (g - m);
    v = beta2 * v + gain2 * g * g;
    return p * keep - lr * (rectifies ? m / (root(v) + eps) : m);
  });
}

// c: eta, weight_decay, 1 - lambd * eta, mu
template <class T>
void asgd(const double* coef, int flags, const OptimBlock<T>& b) {
  const Rule<T> rule(coef, flags);
  const T eta = rule.c[0], keep = rule.c[2], mu = rule.c[3];
  const bool copies = mu == 1;
  each<T, 1>(b, rule, [=](T p, T g, T& average, T&, T&) {
    p = p * keep - eta * g;
    average = copies ? p : average + (p - average) * mu;
    return p;
  });
}

// c: -, -, etaminus, etaplus, step_min, step_max
template <class T>
void rprop(const double* coef, int flags, const OptimBlock<T>& b) {
  const Rule<T> rule(coef, flags);
  const T minus = rule.c[2], plus = rule.c[3], least = rule.c[4], most = rule.c[5];
  each<T, 2>(b, rule, [=](T p, T g, T& previous, T& step, T&) {
    const T agreement = g * previous;
    step *= agreement > 0 ? plus : agreement < 0 ? minus : T(1);
    step = step < least ? least : step > most ? most : step;
    previous = agreement < 0 ? T(0) : g;
    const T sign = previous > 0 ? T(1) : previous < 0 ? T(-1) : previous;  // a NaN stays
    return p - sign * step;
  });
}

constexpr OptimKernels kTable = {
    {sgd<float>, adam<float>, rmsprop<float>, adagrad<float>, adadelta<float>, adamax<float>,
     nadam<float>, radam<float>, asgd<float>, rprop<float>},
    {sgd<double>, adam<double>, rmsprop<double>, adagrad<double>, adadelta<double>, adamax<double>,
     nadam<double>, radam<double>, asgd<double>, rprop<double>},
};

}  // namespace

const OptimKernels* optim_kernels() { return &kTable; }

}  // namespace fastnn::FASTNN_ISA_NS
