// Measures what the arithmetic units can do: the yardstick of the benchmarks.
#pragma once

#include <stdint.h>

#include "cpu/kernels/isa_table.h"

namespace fastnn {

struct ProbeKernels {
  // Runs `rounds` rounds of independent multiply-adds, half of them with an operand from the
  // first-level cache; returns the operations of a round (a multiply-add is two). `sink` receives a
  // value that depends on all of them.
  int64_t (*f32)(int64_t rounds, float* sink);
  int64_t (*f64)(int64_t rounds, double* sink);
  // Reads n floats; returns their sum.
  float (*read)(const float* p, int64_t n);
  // c = a + b over n floats: two streams read and one written.
  void (*add)(const float* a, const float* b, float* c, int64_t n);
};

FASTNN_KERNELS(ProbeKernels, probe_kernels)

// Products of bfloat16, at the levels that have them: as f32 above.
struct Bf16ProbeKernels {
  int64_t (*multiply_adds)(int64_t rounds, float* sink);
};

FASTNN_KERNELS_BF16(Bf16ProbeKernels, bf16_probe_kernels)

}  // namespace fastnn
