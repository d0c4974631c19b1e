// probe(): what the machine can do at the active level and thread count, for benchmarks.
#include "cpu/kernels/probe.h"

#include <algorithm>
#include <array>
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

// Bytes a second of c = a + b where the three together take `bytes` for each thread.
double add_bandwidth(void (*add)(const float*, const float*, float*, int64_t), int64_t bytes) {
  const Workspace space(static_cast<size_t>(bytes * num_threads()));
  memset(space.data(), 0, static_cast<size_t>(bytes * num_threads()));
  const int64_t n = bytes / 12 / 64 * 64;                               // elements of each stream
  const int64_t repeats = std::max<int64_t>(1, (2 << 20) / bytes * 8);  // about 200 microseconds
  return best_rate(8, [&](int64_t task) {
    float* a = reinterpret_cast<float*>(static_cast<char*>(space.data()) + task * bytes);
    for (int64_t i = 0; i < repeats; ++i) add(a, a + n, a + 2 * n, n);
    return repeats * 12 * n;
  });
}

// Sizes for each thread that fit the first, second and last cache, and none.
constexpr int64_t kWorkingSets[] = {24 << 10, 192 << 10, 1 << 20, 12 << 20, 96 << 20};

py::dict probe() {
  const ProbeKernels& kernels = active_probe_kernels();
  const Bf16ProbeKernels* const half = active_bf16_probe_kernels();
  double f32, f64, bf16, bytes;
  std::array<double, std::size(kWorkingSets)> rates;
  {
    const py::gil_scoped_release release;
    const LaunchScope scope;
    f32 = multiply_adds(kernels.f32);
    f64 = multiply_adds(kernels.f64);
    bf16 = half ? multiply_adds(half->multiply_adds) : f32;
    bytes = read_bandwidth(kernels.read);
    for (size_t i = 0; i < rates.size(); ++i) {
      rates[i] = add_bandwidth(kernels.add, kWorkingSets[i]);
    }
  }
  py::list bandwidth;
  for (size_t i = 0; i < rates.size(); ++i) {
    bandwidth.append(py::make_tuple(kWorkingSets[i], rates[i]));
  }
  py::dict d;
  d["flops"] = f32;
  d["flops_float64"] = f64;
  d["flops_bfloat16"] = bf16;
  d["bytes"] = bytes;
  d["bandwidth"] = bandwidth;
  return d;
}

// The clock changes with load and neighbours: what the machine gives at this moment, in a
// millisecond.
double peak_flops() {
  const py::gil_scoped_release release;
  const LaunchScope scope;
  return multiply_adds(active_probe_kernels().f32);
}

}  // namespace

void bind_probe(py::module_& m) {
  m.def("probe", &probe,
        "Peak of this machine at the active level and thread count: float32, float64 and "
        "bfloat16 multiply-adds in operations per second, bytes read from memory per second, and "
        "`bandwidth`: pairs of a working set (bytes for each thread) and the bytes per second "
        "of c = a + b in it.");
  m.def("peak_flops", &peak_flops,
        "The float32 multiply-adds of probe() alone: takes about a millisecond.");
}

}  // namespace fastnn
