// probe(): what the machine can do at the active level and thread count, for benchmarks.
#include "cpu/kernels/probe.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>

#include "bindings/convert.h"
#include "fastnn/memory.h"
#include "fastnn/parallel.h"

namespace fastnn {

namespace {

// The best of some runs of one task for each thread; `work` returns what it did.
template <class Work>
double best_rate(int runs, Work work) {
  using Clock = std::chrono::steady_clock;
  double best = 0;
  for (int run = 0; run < runs; ++run) {
    std::atomic<int64_t> done{0};
    const auto start = Clock::now();
    parallel_for(num_threads(), [&](int64_t task, int) { done += work(task); });
    const std::chrono::duration<double> seconds = Clock::now() - start;
    best = std::max(best, static_cast<double>(done) / seconds.count());
  }
  return best;
}

template <class T>
double multiply_adds(int64_t (*kernel)(int64_t, T*)) {
  constexpr int64_t kRounds = 20000;  // about 50 microseconds
  return best_rate(20, [&](int64_t) {
    T sink;
    return kernel(kRounds, &sink) * kRounds;
  });
}

double read_bandwidth(float (*read)(const float*, int64_t)) {
  constexpr int64_t kBytes = 64 << 20;  // for each thread: beyond the caches
  const Workspace space(static_cast<size_t>(kBytes * num_threads()));
  memset(space.data(), 0, static_cast<size_t>(kBytes * num_threads()));
  std::atomic<float> sink{0};
  return best_rate(5, [&](int64_t task) {
    const char* part = static_cast<const char*>(space.data()) + task * kBytes;
    sink = read(reinterpret_cast<const float*>(part), kBytes / 4);
    return kBytes;
  });
}

py::dict probe() {
  const ProbeKernels& kernels = active_probe_kernels();
  double f32, f64, bytes;
  {
    const py::gil_scoped_release release;
    const LaunchScope scope;
    f32 = multiply_adds(kernels.f32);
    f64 = multiply_adds(kernels.f64);
    bytes = read_bandwidth(kernels.read);
  }
  py::dict d;
  d["flops"] = f32;
  d["flops_float64"] = f64;
  d["bytes"] = bytes;
  return d;
}

}  // namespace

void bind_probe(py::module_& m) {
  m.def("probe", &probe,
        "Peak of this machine at the active level and thread count: float32 and float64 "
        "multiply-adds "
        "in operations per second, and bytes read from memory per second.");
}

}  // namespace fastnn
