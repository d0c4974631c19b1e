// Activations of torch.nn.functional and their derivatives. Where a NaN comes in, a NaN comes out.
#include "cpu/kernels/map_inl.h"

namespace fastnn::FASTNN_ISA_NS {
namespace {

// sigmoid(x) and sigmoid(-x), neither by cancellation.
template <class V>
struct Sigmoids {
  V plus, minus;
};
template <class V>
FASTNN_INLINE Sigmoids<V> sigmoids(V x) {
  const V e = exp_capped(minus_abs(x)), r = divide(splat<Elem<V>>(1), 1 + e), small = e * r;
  return {x >= 0 ? r : small, x >= 0 ? small : r};
}

template <class V>
FASTNN_INLINE V log1p_exp(V x) {  // without overflow
  return max(x, V{}) + log1p_exp_capped(minus_abs(x));
}

template <class V>
FASTNN_INLINE V gelu_backward_of(V g, V x) {
  const V density = exp_capped(x * x * Elem<V>(-0.5)) * Elem<V>(0.39894228040143267794);
  return g * (normal_cdf(x) + x * density);
}

// tanh of sqrt(2 / pi) (x + 0.044715 x^3)
template <class V>
FASTNN_INLINE V gelu_tanh_of(V x) {
  constexpr Elem<V> k = 0.79788456080286535588;
  return tanh(k * (x + Elem<V>(0.044715) * x * x * x));
}

template <class V>
FASTNN_INLINE V gelu_tanh_backward_of(V g, V x) {
  using T = Elem<V>;
  constexpr T k = 0.79788456080286535588;
  const V t = gelu_tanh_of(x);
  return g * (T(0.5) * (1 + t) + T(0.5) * x * (1 - t * t) * k * (1 + T(3 * 0.044715) * x * x));
}

template <class V>
FASTNN_INLINE V silu_backward_of(V g, V x) {
  const Sigmoids<V> s = sigmoids(x);
  return g * s.plus * (1 + x * s.minus);
}

// tanh(log(1 + e^x)) = n / (n + 2) with n = e^x (e^x + 2). From x = 20 on it is 1; x is capped
// there.
template <class V>
FASTNN_INLINE V mish_of(V x) {
  const V e = exp(min(x, splat<Elem<V>>(20))), n = e * (e + 2);
  return x * (n / (n + 2));
}
template <class V>
FASTNN_INLINE V mish_backward_of(V g, V x) {
  const V e = exp(min(x, splat<Elem<V>>(20))), n = e * (e + 2), r = 1 / (n + 2);
  const V slope = 4 * (n + 1) * r * r;  // 1 - tanh^2
  return g * (n * r + x * (e / (1 + e)) * slope);
}

template <class V>
FASTNN_INLINE V tanhshrink_of(V x) {
  const V z = x * x;
  return abs(x) < Elem<V>(0.55) ? -(x * z * tanh_tail(z)) : x - tanh(x);
}

template <class V>
FASTNN_INLINE V tanh_square(V x) {
  const V t = tanh(x);
  return t * t;
}

template <class V>
FASTNN_INLINE V glu_gate_backward_of(V g, V value, V gate) {
  const Sigmoids<V> s = sigmoids(gate);
  return g * value * s.plus * s.minus;
}

template <class V>
FASTNN_INLINE V clamp(V x, V low, V high) {
  return min(max(x, low), high);
}

// g where x lies strictly inside, 0 elsewhere.
template <class V>
FASTNN_INLINE V inside(V g, V x, V low, V high) {
  return (x <= low) | (x >= high) ? V{} : g;
}

template <class T>
constexpr T kScale = 1.0507009873554804934193349852946;
template <class T>
constexpr T kScaleAlpha = 1.0507009873554804934193349852946 * 1.6732632423543772848170429916717;

MAP(relu, 1, 0, max(a, V{}))
MAP(relu6, 1, 0, clamp(a, V{}, V{} + 6))
MAP(leaky_relu, 1, 1, a > 0 ? a : a * p0)
MAP(elu, 1, 1, a > 0 ? a : p0 * expm1(a))
MAP(selu, 1, 0, a > 0 ? kScale<T> * a : kScaleAlpha<T> * expm1(a))
MAP(celu, 1, 1, a > 0 ? a : p0 * expm1(a / p0))
MAP(gelu, 1, 0, times_normal_cdf(a))
MAP(gelu_tanh, 1, 0, T(0.5) * a * (1 + gelu_tanh_of(a)))
MAP(silu, 1, 0, a* sigmoid(a))
MAP(mish, 1, 0, mish_of(a))
MAP(softplus, 1, 2, a* p0 > p1 ? a : log1p_exp(a * p0) / p0)
MAP(softsign, 1, 0, a / (1 + abs(a)))
MAP(logsigmoid, 1, 0, min(a, V{}) - log1p_exp_capped(minus_abs(a)))
MAP(hardsigmoid, 1, 0, clamp(a + 3, V{}, V{} + 6) * T(1.0 / 6))
MAP(hardswish, 1, 0, a* clamp(a + 3, V{}, V{} + 6) * T(1.0 / 6))
MAP(hardtanh, 1, 2, clamp(a, p0, p1))
MAP(hardshrink, 1, 1, abs(a) <= p0 ? V{} : a)
MAP(softshrink, 1, 1, abs(a) <= p0 ? V{} : a - copysign(p0, a))
MAP(tanhshrink, 1, 0, tanhshrink_of(a))
MAP(threshold, 1, 2, a <= p0 ? p1 : a)

// a is the gradient of the output, b what was saved.
MAP(relu_backward, 2, 0, b <= 0 ? V{} : a)
MAP(relu6_backward, 2, 0, inside(a, b, V{}, V{} + 6))
MAP(leaky_relu_backward, 2, 1, b > 0 ? a : a * p0)
MAP(elu_backward, 2, 1, b > 0 ? a : a * p0 * exp(b))
MAP(selu_backward, 2, 0, a*(b > 0 ? V{} + kScale<T> : kScaleAlpha<T> * exp(b)))
MAP(celu_backward, 2, 1, b > 0 ? a : a * exp(b / p0))
MAP(gelu_backward, 2, 0, gelu_backward_of(a, b))
MAP(gelu_tanh_backward, 2, 0, gelu_tanh_backward_of(a, b))
MAP(silu_backward, 2, 0, silu_backward_of(a, b))
MAP(mish_backward, 2, 0, mish_backward_of(a, b))
MAP(softplus_backward, 2, 2, b* p0 > p1 ? a : a * sigmoid(b * p0))
MAP(softsign_backward, 2, 0, a / ((1 + abs(b)) * (1 + abs(b))))
MAP(logsigmoid_backward, 2, 0, a* sigmoid(-b))
MAP(hardsigmoid_backward, 2, 0, inside(a* T(1.0 / 6), b, V{} - 3, V{} + 3))
MAP(hardswish_backward, 2, 0, b <= -3 ? V{} : (b >= 3 ? a : a * (b * T(1.0 / 3) + T(0.5))))
MAP(hardtanh_backward, 2, 2, inside(a, b, p0, p1))
MAP(hardshrink_backward, 2, 1, abs(b) <= p0 ? V{} : a)
MAP(softshrink_backward, 2, 1, abs(b) <= p0 ? V{} : a)
MAP(tanhshrink_backward, 2, 0, a* tanh_square(b))
MAP(threshold_backward, 2, 2, b <= p0 ? V{} : a)
MAP(sigmoid_backward, 2, 0, a * (1 - b) * b)
MAP(tanh_backward, 2, 0, a * (1 - b * b))

// a is x, b the weight; in the gradients a is that of the output, b is x, c the weight.
MAP(prelu, 2, 0, a > 0 ? a : b * a)
MAP(prelu_backward, 3, 0, b > 0 ? a : a * c)
MAP(prelu_weight_backward, 2, 0, b > 0 ? V{} : a * b)
// a is the value, b the gate.
MAP(glu, 2, 0, a* sigmoid(b))
MAP(glu_value_backward, 2, 0, a* sigmoid(b))
MAP(glu_gate_backward, 3, 0, glu_gate_backward_of(a, b, c))

#define FASTNN_X(name, arity, kind, params) REAL(name),
const MapEntry entries[] = {FASTNN_MAP_ACTIVATIONS(FASTNN_X)};
#undef FASTNN_X

FASTNN_CHECK_TABLE(entries, FASTNN_MAP_ACTIVATIONS);

const MapKernels kernels = {entries};

}  // namespace

const MapKernels* map_activation_kernels() { return &kernels; }

}  // namespace fastnn::FASTNN_ISA_NS
