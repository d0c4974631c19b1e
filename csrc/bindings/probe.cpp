// probe(): what the machine can do at the active level and thread count, for benchmarks.
#include "cpu/kernels/probe.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstring>

#include "bindings/convert.h"
#include "fastnn/memory.h"
#include "fastnn/parallel.h"

namespace fastnn {

namespace {

using Clock = std::chrono::steady_clock;

// The best of some runs (and of what fits into `least` seconds) of one task for each thread; `work`
// returns what it did.
template <class Work>
double best_rate(int runs, Work work, double least = 0) {
  double best = 0;
  const auto end = Clock::now() + std::chrono::duration<double>(least);
  for (int run = 0; run < runs || Clock::now() < end; ++run) {
    std::atomic<int64_t> done{0};
    const auto start = Clock::now();
    parallel_for(num_threads(), [&](int64_t task, int) { done += work(task); });
    const std::chrono::duration<double> seconds = Clock::now() - start;
    best = std::max(best, static_cast<double>(done) / seconds.count());
  }
  return best;
}

constexpr int64_t kRounds = 20000;  // of multiply-adds: about 50 microseconds

template <class T>
double multiply_adds(int64_t (*kernel)(int64_t, T*)) {
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
  double f32, f64, bf16 = 0, bytes;
  std::array<double, std::size(kWorkingSets)> rates;
  {
    const py::gil_scoped_release release;
    const LaunchScope scope;
    f32 = multiply_adds(kernels.f32);
    f64 = multiply_adds(kernels.f64);
    if (half) bf16 = multiply_adds(half->multiply_adds);
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
  if (half) d["flops_bfloat16"] = bf16;  // by a unit of its own
  d["bytes"] = bytes;
  d["bandwidth"] = bandwidth;
  return d;
}

// The clock changes with load, with its length, and with neighbours: the best of runs that are as
// long as the call they are compared with, for as long as that was sampled.
double peak_flops(double call_seconds, double sample_seconds) {
  const py::gil_scoped_release release;
  const LaunchScope scope;
  const auto kernel = active_probe_kernels().f32;
  const int64_t times = std::max<int64_t>(1, std::llround(call_seconds / 50e-6));
  const int runs = times > 1 ? 2 : 20;
  return best_rate(
      runs,
      [&](int64_t) {
        float sink;
        return kernel(kRounds * times, &sink) * kRounds * times;
      },
      sample_seconds);
}

// While another hardware thread runs on the same core, this one adds half as fast.
double pace() {
  constexpr int kAdditions = 12, kTimes = 4000;  // about 4 microseconds
  const py::gil_scoped_release release;
  uint64_t a = 0, b = 0, c = 0, d = 0, e = 0, f = 0;
  const auto add = [&] {  // the compiler may not do them in one
    asm volatile("" : "+r"(a), "+r"(b), "+r"(c), "+r"(d), "+r"(e), "+r"(f));
    ++a, ++b, ++c, ++d, ++e, ++f;
  };
  const auto start = Clock::now();
  for (int i = 0; i < kTimes; ++i) add(), add();
  const std::chrono::duration<double> seconds = Clock::now() - start;
  return kAdditions * kTimes / seconds.count();
}

}  // namespace

void bind_probe(py::module_& m) {
  m.def("probe", &probe,
        "Peak of this machine at the active level and thread count: float32, float64 and "
        "bfloat16 multiply-adds in operations per second, bytes read from memory per second, and "
        "`bandwidth`: pairs of a working set (bytes for each thread) and the bytes per second "
        "of c = a + b in it.");
  m.def("peak_flops", &peak_flops, py::arg("call_seconds") = 0.0, py::arg("sample_seconds") = 0.0,
        "The float32 multiply-adds of probe(): the best of runs of call_seconds, for "
        "sample_seconds; without them of 20 runs of 50 microseconds.");
  m.def(
      "pace", &pace,
      "Additions a second of the calling thread, independent ones, in about 4 microseconds: half "
      "as many while another hardware thread is busy on the same core, a neighbour's in a cloud.");
}

}  // namespace fastnn
