#include "cpu/kernels/probe.h"

#include "cpu/kernels/vec.h"

namespace fastnn {
namespace FASTNN_ISA_NS {

// Two pipes of latency 4 or 5 need ten chains.
constexpr int kChains = 12;

// Every second multiply-add takes an operand from the first-level cache, as in a matrix product:
// there a load feeds two or three of them. Registers alone would show a peak that no product
// reaches, because cores clock wide multiply-adds lower as soon as loads come with them.
template <class T>
static int64_t multiply_adds(int64_t rounds, T* sink) {
  T operands[kChains / 2 * kLanes<T>];
#pragma GCC unroll 16
  for (int i = 0; i < kChains / 2; ++i)
    store(operands + i * kLanes<T>, splat(static_cast<T>(0.25)));
  Vec<T> sum[kChains];
#pragma GCC unroll 16
  for (int i = 0; i < kChains; ++i) sum[i] = splat(static_cast<T>(i));
  const Vec<T> x = splat(static_cast<T>(0.5)), y = splat(static_cast<T>(0.25));
#pragma GCC unroll 1
  for (int64_t r = 0; r < rounds; ++r) {
#pragma GCC unroll 16
    for (int i = 0; i < kChains; i += 2) {
      sum[i] = fma(sum[i], x, load(operands + i / 2 * kLanes<T>));
      sum[i + 1] = fma(sum[i + 1], x, y);
    }
    asm volatile("" : : "r"(operands) : "memory");  // so that the loads stay
  }
  Vec<T> total{};
#pragma GCC unroll 16
  for (int i = 0; i < kChains; ++i) total += sum[i];
  store_n(sink, total, 1);
  return 2 * kChains * kLanes<T>;
}

static float read_all(const float* p, int64_t n) {
  constexpr int kStep = 4 * kLanes<float>;
  vf sum[4] = {};
  for (int64_t i = 0; i + kStep <= n; i += kStep) {
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) sum[j] += load(p + i + j * kLanes<float>);
  }
  return sum_lanes(sum[0] + sum[1] + sum[2] + sum[3]);
}

static void add_all(const float* a, const float* b, float* c, int64_t n) {
  constexpr int kStep = 4 * kLanes<float>;
  for (int64_t i = 0; i + kStep <= n; i += kStep) {
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) {
      const int64_t at = i + j * kLanes<float>;
      store(c + at, load(a + at) + load(b + at));
    }
  }
}

const ProbeKernels* probe_kernels() {
  static constexpr ProbeKernels kernels{&multiply_adds<float>, &multiply_adds<double>, &read_all,
                                        &add_all};
  return &kernels;
}

}  // namespace FASTNN_ISA_NS
}  // namespace fastnn
