// Words of the stream, and what is made of a block of them.
#pragma once

#include <stdint.h>

#include "cpu/kernels/isa_table.h"

namespace fastnn {

// Drivers work on this many words at a time, in memory of this size: kernels may read and write
// whole vectors of it.
constexpr int64_t kRandomWords = 2048;

struct RandomKernels {
  // The first n (rounded up to whole vectors, at most kRandomWords) words from block `counter` on.
  void (*words)(uint64_t seed, uint64_t counter, uint32_t* out, int64_t n);
  // n elements; `shift` leaves the bits that count: out = a + (word >> shift) * step.
  void (*uniform_f32)(const uint32_t* words, float* out, int64_t n, int shift, float a, float step);
  void (*uniform_f64)(const uint32_t* words, double* out, int64_t n, double a, double step);
  void (*normal_f32)(const uint32_t* words, float* out, int64_t n, float mean, float std);
  void (*normal_f64)(const uint32_t* words, double* out, int64_t n, double mean, double std);
  // y = x * (word <= threshold ? scale : 0)
  void (*dropout_f32)(const uint32_t* words, const float* x, float* y, int64_t n,
                      uint32_t threshold, float scale);
  void (*dropout_f64)(const uint32_t* words, const double* x, double* y, int64_t n,
                      uint32_t threshold, double scale);
};

FASTNN_KERNELS(RandomKernels, random_kernels)

}  // namespace fastnn
