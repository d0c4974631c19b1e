// Activations that an op can apply to its output as it writes it.
#pragma once

#include <cstdint>

namespace fastnn {

enum class Activation : int32_t { none, relu, sigmoid, tanh, gelu, gelu_tanh, silu };
constexpr int kActivations = 7;

constexpr const char* name_of(Activation activation) {
  constexpr const char* names[kActivations] = {"none", "relu",      "sigmoid", "tanh",
                                               "gelu", "gelu_tanh", "silu"};
  return names[static_cast<int>(activation)];
}

}  // namespace fastnn
