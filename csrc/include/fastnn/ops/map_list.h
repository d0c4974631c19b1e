// The elementwise maps (ops/elementwise.h), listed once for contract, kernels and bindings.
#pragma once

// X(name, arity, kind, number of parameters). Groups are compiled separately.
#define FASTNN_MAP_BASIC(X)         \
  X(add, 2, arithmetic, 0)          \
  X(add_scaled, 2, arithmetic, 1)   \
  X(sub, 2, arithmetic, 0)          \
  X(sub_scaled, 2, arithmetic, 1)   \
  X(mul, 2, arithmetic, 0)          \
  X(div, 2, real, 0)                \
  X(floor_divide, 2, arithmetic, 0) \
  X(trunc_divide, 2, arithmetic, 0) \
  X(fmod, 2, arithmetic, 0)         \
  X(remainder, 2, arithmetic, 0)    \
  X(maximum, 2, arithmetic, 0)      \
  X(minimum, 2, arithmetic, 0)      \
  X(fmax, 2, arithmetic, 0)         \
  X(fmin, 2, arithmetic, 0)         \
  X(eq, 2, test, 0)                 \
  X(ne, 2, test, 0)                 \
  X(lt, 2, test, 0)                 \
  X(le, 2, test, 0)                 \
  X(gt, 2, test, 0)                 \
  X(ge, 2, test, 0)                 \
  X(logical_and, 2, test, 0)        \
  X(logical_or, 2, test, 0)         \
  X(logical_xor, 2, test, 0)        \
  X(logical_not, 1, test, 0)        \
  X(isnan, 1, test, 0)              \
  X(isinf, 1, test, 0)              \
  X(isfinite, 1, test, 0)           \
  X(signbit, 1, test, 0)            \
  X(bitwise_and, 2, arithmetic, 0)  \
  X(bitwise_or, 2, arithmetic, 0)   \
  X(bitwise_xor, 2, arithmetic, 0)  \
  X(bitwise_not, 1, arithmetic, 0)  \
  X(copy, 1, arithmetic, 0)         \
  X(neg, 1, arithmetic, 0)          \
  X(abs, 1, arithmetic, 0)          \
  X(sign, 1, arithmetic, 0)         \
  X(square, 1, arithmetic, 0)       \
  X(floor, 1, arithmetic, 0)        \
  X(ceil, 1, arithmetic, 0)         \
  X(round, 1, arithmetic, 0)        \
  X(trunc, 1, arithmetic, 0)        \
  X(frac, 1, arithmetic, 0)         \
  X(sqrt, 1, real, 0)               \
  X(rsqrt, 1, real, 0)              \
  X(reciprocal, 1, real, 0)         \
  X(nan_to_num, 1, arithmetic, 3)   \
  X(where, 3, choice, 0)            \
  X(addcmul, 3, arithmetic, 1)      \
  X(addcdiv, 3, real, 1)            \
  X(lerp, 3, real, 0)               \
  X(clamp, 3, arithmetic, 0)

#define FASTNN_MAP_MATH(X) \
  X(exp, 1, real, 0)       \
  X(exp2, 1, real, 0)      \
  X(expm1, 1, real, 0)     \
  X(log, 1, real, 0)       \
  X(log2, 1, real, 0)      \
  X(log10, 1, real, 0)     \
  X(log1p, 1, real, 0)     \
  X(sin, 1, real, 0)       \
  X(cos, 1, real, 0)       \
  X(tan, 1, real, 0)       \
  X(sinh, 1, real, 0)      \
  X(cosh, 1, real, 0)      \
  X(tanh, 1, real, 0)      \
  X(asin, 1, real, 0)      \
  X(acos, 1, real, 0)      \
  X(atan, 1, real, 0)      \
  X(asinh, 1, real, 0)     \
  X(acosh, 1, real, 0)     \
  X(atanh, 1, real, 0)     \
  X(erf, 1, real, 0)       \
  X(erfc, 1, real, 0)      \
  X(lgamma, 1, real, 0)    \
  X(sigmoid, 1, real, 0)   \
  X(pow, 2, arithmetic, 0) \
  X(atan2, 2, real, 0)     \
  X(hypot, 2, real, 0)     \
  X(logaddexp, 2, real, 0) \
  X(xlogy, 2, real, 0)

// Activations of x, and their gradients from the output's gradient and from x (relu, sigmoid and
// tanh: from the output). sigmoid and tanh themselves stand above. Parameters, in order, are those
// of torch.nn.functional.
#define FASTNN_MAP_ACTIVATIONS(X)            \
  X(relu, 1, arithmetic, 0)                  \
  X(relu6, 1, arithmetic, 0)                 \
  X(leaky_relu, 1, arithmetic, 1)            \
  X(elu, 1, arithmetic, 1)                   \
  X(selu, 1, arithmetic, 0)                  \
  X(celu, 1, arithmetic, 1)                  \
  X(gelu, 1, arithmetic, 0)                  \
  X(gelu_tanh, 1, arithmetic, 0)             \
  X(silu, 1, arithmetic, 0)                  \
  X(mish, 1, arithmetic, 0)                  \
  X(softplus, 1, arithmetic, 2)              \
  X(softsign, 1, arithmetic, 0)              \
  X(logsigmoid, 1, arithmetic, 0)            \
  X(hardsigmoid, 1, arithmetic, 0)           \
  X(hardswish, 1, arithmetic, 0)             \
  X(hardtanh, 1, arithmetic, 2)              \
  X(hardshrink, 1, arithmetic, 1)            \
  X(softshrink, 1, arithmetic, 1)            \
  X(tanhshrink, 1, arithmetic, 0)            \
  X(threshold, 1, arithmetic, 2)             \
  X(relu_backward, 2, arithmetic, 0)         \
  X(relu6_backward, 2, arithmetic, 0)        \
  X(leaky_relu_backward, 2, arithmetic, 1)   \
  X(elu_backward, 2, arithmetic, 1)          \
  X(selu_backward, 2, arithmetic, 0)         \
  X(celu_backward, 2, arithmetic, 1)         \
  X(gelu_backward, 2, arithmetic, 0)         \
  X(gelu_tanh_backward, 2, arithmetic, 0)    \
  X(silu_backward, 2, arithmetic, 0)         \
  X(mish_backward, 2, arithmetic, 0)         \
  X(softplus_backward, 2, arithmetic, 2)     \
  X(softsign_backward, 2, arithmetic, 0)     \
  X(logsigmoid_backward, 2, arithmetic, 0)   \
  X(hardsigmoid_backward, 2, arithmetic, 0)  \
  X(hardswish_backward, 2, arithmetic, 0)    \
  X(hardtanh_backward, 2, arithmetic, 2)     \
  X(hardshrink_backward, 2, arithmetic, 1)   \
  X(softshrink_backward, 2, arithmetic, 1)   \
  X(tanhshrink_backward, 2, arithmetic, 0)   \
  X(threshold_backward, 2, arithmetic, 2)    \
  X(sigmoid_backward, 2, arithmetic, 0)      \
  X(tanh_backward, 2, arithmetic, 0)         \
  X(prelu, 2, arithmetic, 0)                 \
  X(prelu_backward, 3, arithmetic, 0)        \
  X(prelu_weight_backward, 2, arithmetic, 0) \
  X(glu, 2, arithmetic, 0)                   \
  X(glu_value_backward, 2, arithmetic, 0)    \
  X(glu_gate_backward, 3, arithmetic, 0)

#define FASTNN_MAP_OPS(X) FASTNN_MAP_BASIC(X) FASTNN_MAP_MATH(X) FASTNN_MAP_ACTIVATIONS(X)
