// What the ladders share: arrays, and a rung's rate as a share of the multiply-add peak.
#pragma once

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <functional>
#include <vector>

#include "cpu/kernels/probe.h"
#include "fastnn/memory.h"
#include "fastnn/parallel.h"

namespace fastnn::ladder {

using Clock = std::chrono::steady_clock;

inline double seconds(const std::function<void()>& body) {
  const auto start = Clock::now();
  body();
  return std::chrono::duration<double>(Clock::now() - start).count();
}

struct Floats {
  explicit Floats(int64_t n)
      : space(static_cast<size_t>(n) * 4), p(static_cast<float*>(space.data())), size(n) {
    for (int64_t i = 0; i < n; ++i) p[i] = static_cast<float>((i * 7919) % 31 - 15) / 16;
  }
  Workspace space;
  float* p;
  int64_t size;
};

// FLOP/s of one core's multiply-adds, half of them fed by a load, over about 20 ms.
inline double core_peak() {
  constexpr int64_t kRounds = 20'000'000 / 1000;
  const ProbeKernels& probe = active_probe_kernels();
  float sink;
  const double each = static_cast<double>(probe.f32(1, &sink));
  double best = 0;
  for (int i = 0; i < 5; ++i)
    best = std::max(best, each * kRounds / seconds([&] { probe.f32(kRounds, &sink); }));
  return best;
}

// Runs one rung until a second has passed (at least twice), prints its best rate, and stops the
// program when its result is not that of `right`.
class Ladder {
 public:
  Ladder(double operations, const Floats& right, const Floats& result)
      : operations_(operations), right_(right), result_(result) {
    std::printf("%-58s %10s %9s %8s\n", "", "ms", "GFLOP/s", "of peak");
  }

  void rung(const char* name, int threads, const std::function<void()>& body) {
    set_num_threads(threads);
    std::fill(result_.p, result_.p + result_.size, NAN);
    double best = 1e9, total = 0, peak = 0;
    for (int i = 0; i < 2 || total < 1; ++i) {
      const double time = seconds(body);
      if (i % 8 == 0) peak = std::max(peak, core_peak());
      best = std::min(best, time);
      total += time;
    }
    check(name);
    const double rate = operations_ / best;
    std::printf("%-58s %10.2f %9.1f %6.1f %%\n", name, best * 1e3, rate / 1e9,
                100 * rate / (peak * threads));
    std::fflush(stdout);
  }

 private:
  void check(const char* name) const {
    for (int64_t i = 0; i < right_.size; ++i)
      if (!(std::abs(result_.p[i] - right_.p[i]) <= 1e-3f * (1 + std::abs(right_.p[i])))) {
        std::printf("%s: element %lld is %g, not %g\n", name, static_cast<long long>(i),
                    static_cast<double>(result_.p[i]), static_cast<double>(right_.p[i]));
        std::exit(1);
      }
  }

  double operations_;
  const Floats &right_, &result_;
};

}  // namespace fastnn::ladder
