// Activations that an op can apply to its output as it writes it.
#pragma once

#include <cstdint>
#include <limits>

namespace fastnn {

enum class Activation : int32_t { none, relu, sigmoid, tanh, gelu, gelu_tanh, silu, relu6 };
constexpr int kActivations = 8;

constexpr const char* name_of(Activation activation) {
  constexpr const char* names[kActivations] = {"none", "relu",      "sigmoid", "tanh",
                                               "gelu", "gelu_tanh", "silu",    "relu6"};
  return names[static_cast<int>(activation)];
}

// The activations that are two comparisons, which kernels apply while the sums are in registers:
// min(max(x, 0), high).
struct Rectifier {
  bool on = false;
  float high = std::numeric_limits<float>::infinity();
};

constexpr float rectified(const Rectifier& r, float x) {  // keeps NaN
  return x < 0 ? 0 : x > r.high ? r.high : x;
}

constexpr bool rectifies(Activation a) { return a == Activation::relu || a == Activation::relu6; }
constexpr Rectifier rectifier_of(Activation a) {
  return a == Activation::relu6 ? Rectifier{true, 6} : Rectifier{a == Activation::relu};
}

}  // namespace fastnn
