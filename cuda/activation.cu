// Activations of torch.nn.functional and their derivatives. Where a NaN comes in, a NaN comes out.
#include "common/map.h"

namespace fastnn::cuda {

namespace {

template <class T>
__device__ __forceinline__ T log1p_exp(T x) {  // without overflow
  return math::max(x, T(0)) + math::log1p(math::exp(-math::abs(x)));
}

template <class T>
__device__ __forceinline__ T gelu_backward_of(T g, T x) {
  const T density = math::exp(x * x * T(-0.5)) * T(0.39894228040143267794);
  return g * (math::gelu_cdf(x) + x * density);
}

template <class T>
__device__ __forceinline__ T gelu_tanh_backward_of(T g, T x) {
  constexpr T k = T(0.79788456080286535588);
  const T t = math::gelu_tanh_of(x);
  return g * (T(0.5) * (1 + t) + T(0.5) * x * (1 - t * t) * k * (1 + T(3 * 0.044715) * x * x));
}

template <class T>
__device__ __forceinline__ T silu_backward_of(T g, T x) {
  const math::Sigmoids<T> s = math::sigmoids(x);
  return g * s.plus * (1 + x * s.minus);
}

// tanh(log(1 + e^x)) = n / (n + 2) with n = e^x (e^x + 2). From x = 20 on it is 1; x is capped
// there.
template <class T>
__device__ __forceinline__ T mish_of(T x) {
  const T e = math::exp(math::min(x, T(20))), n = e * (e + 2);
  return x * (n / (n + 2));
}
template <class T>
__device__ __forceinline__ T mish_backward_of(T g, T x) {
  const T e = math::exp(math::min(x, T(20))), n = e * (e + 2), r = 1 / (n + 2);
  const T slope = 4 * (n + 1) * r * r;  // 1 - tanh^2
  return g * (n * r + x * (e / (1 + e)) * slope);
}

// x - tanh(x) cancels near 0: there, by tanh's continued fraction.
template <class T>
__device__ __forceinline__ T tanhshrink_of(T x) {
  if (math::abs(x) >= T(0.55)) return x - math::tanh(x);
  const T z = x * x;
  // tanh x = x / (1 + r), r = z / (3 + z / (5 + ...)), so x - tanh x = x r / (1 + r).
  T r = z / 17;
  for (int k = 15; k >= 3; k -= 2) r = z / (k + r);
  return x * (r / (1 + r));
}

template <class T>
__device__ __forceinline__ T tanh_square(T x) {
  const T t = math::tanh(x);
  return t * t;
}

template <class T>
__device__ __forceinline__ T glu_gate_backward_of(T g, T value, T gate) {
  const math::Sigmoids<T> s = math::sigmoids(gate);
  return g * value * s.plus * s.minus;
}

template <class T>
__device__ __forceinline__ T clamped(T x, T low, T high) {
  return math::min(math::max(x, low), high);
}

// g where x lies strictly inside, 0 elsewhere.
template <class T>
__device__ __forceinline__ T inside(T g, T x, T low, T high) {
  return x <= low || x >= high ? T(0) : g;
}

#define SCALE T(1.0507009873554804934193349852946)
#define SCALE_ALPHA T(1.0507009873554804934193349852946 * 1.6732632423543772848170429916717)

MAP(relu, 1, 0, math::max(a, zero))
MAP(relu6, 1, 0, clamped(a, zero, T(6)))
MAP(leaky_relu, 1, 1, a > 0 ? a : a * p0)
MAP(elu, 1, 1, a > 0 ? a : p0 * math::expm1(a))
MAP(selu, 1, 0, a > 0 ? SCALE * a : SCALE_ALPHA * math::expm1(a))
MAP(celu, 1, 1, a > 0 ? a : p0 * math::expm1(a / p0))
MAP(gelu, 1, 0, a* gelu_cdf(a))
MAP(gelu_tanh, 1, 0, T(0.5) * a * (1 + gelu_tanh_of(a)))
MAP(silu, 1, 0, a* math::sigmoid(a))
MAP(mish, 1, 0, mish_of(a))
MAP(softplus, 1, 2, a* p0 > p1 ? a : log1p_exp(a * p0) / p0)
MAP(softsign, 1, 0, a / (1 + math::abs(a)))
MAP(logsigmoid, 1, 0, math::min(a, zero) - math::log1p(math::exp(-math::abs(a))))
MAP(hardsigmoid, 1, 0, clamped(a + 3, zero, T(6)) * T(1.0 / 6))
MAP(hardswish, 1, 0, a* clamped(a + 3, zero, T(6)) * T(1.0 / 6))
MAP(hardtanh, 1, 2, clamped(a, p0, p1))
MAP(hardshrink, 1, 1, math::abs(a) <= p0 ? zero : a)
MAP(softshrink, 1, 1, math::abs(a) <= p0 ? zero : a - math::copysign(p0, a))
MAP(tanhshrink, 1, 0, tanhshrink_of(a))
MAP(threshold, 1, 2, a <= p0 ? p1 : a)

// a is the gradient of the output, b what was saved.
MAP(relu_backward, 2, 0, b <= 0 ? zero : a)
MAP(relu6_backward, 2, 0, inside(a, b, zero, T(6)))
MAP(leaky_relu_backward, 2, 1, b > 0 ? a : a * p0)
MAP(elu_backward, 2, 1, b > 0 ? a : a * p0 * math::exp(b))
MAP(selu_backward, 2, 0, a*(b > 0 ? SCALE : SCALE_ALPHA * math::exp(b)))
MAP(celu_backward, 2, 1, b > 0 ? a : a * math::exp(b / p0))
MAP(gelu_backward, 2, 0, gelu_backward_of(a, b))
MAP(gelu_tanh_backward, 2, 0, gelu_tanh_backward_of(a, b))
MAP(silu_backward, 2, 0, silu_backward_of(a, b))
MAP(mish_backward, 2, 0, mish_backward_of(a, b))
MAP(softplus_backward, 2, 2, b* p0 > p1 ? a : a * math::sigmoid(b * p0))
MAP(softsign_backward, 2, 0, a / ((1 + math::abs(b)) * (1 + math::abs(b))))
MAP(logsigmoid_backward, 2, 0, a* math::sigmoid(-b))
MAP(hardsigmoid_backward, 2, 0, inside(a* T(1.0 / 6), b, T(-3), T(3)))
MAP(hardswish_backward, 2, 0, b <= -3 ? zero : (b >= 3 ? a : a * (b * T(1.0 / 3) + T(0.5))))
MAP(hardtanh_backward, 2, 2, inside(a, b, p0, p1))
MAP(hardshrink_backward, 2, 1, math::abs(b) <= p0 ? zero : a)
MAP(softshrink_backward, 2, 1, math::abs(b) <= p0 ? zero : a)
MAP(tanhshrink_backward, 2, 0, a* tanh_square(b))
MAP(threshold_backward, 2, 2, b <= p0 ? zero : a)
MAP(sigmoid_backward, 2, 0, a * (1 - b) * b)
MAP(tanh_backward, 2, 0, a * (1 - b * b))

// a is x, b the weight; in the gradients a is that of the output, b is x, c the weight.
MAP(prelu, 2, 0, a > 0 ? a : b * a)
MAP(prelu_backward, 3, 0, b > 0 ? a : a * c)
MAP(prelu_weight_backward, 2, 0, b > 0 ? zero : a * b)
// a is the value, b the gate.
MAP(glu, 2, 0, a* math::sigmoid(b))
MAP(glu_value_backward, 2, 0, a* math::sigmoid(b))
MAP(glu_gate_backward, 3, 0, glu_gate_backward_of(a, b, c))

#define FASTNN_X(name, arity, kind, params) REAL(name),
const MapKernels entries[] = {FASTNN_MAP_ACTIVATIONS(FASTNN_X)};
#undef FASTNN_X

FASTNN_CHECK_TABLE(entries, FASTNN_MAP_ACTIVATIONS);

}  // namespace

const MapKernels* map_activation_kernels() { return entries; }

}  // namespace fastnn::cuda
