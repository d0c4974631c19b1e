// What a parallel region costs: fastnn's pool against plain libgomp at its defaults. Prints JSON.
//
//   empty_us        region of two empty tasks, back to back
//   after_pause_us  the first such region after 20 ms of rest: median and 90th percentile
//   busy_core       time of a region relative to the same work on one thread, while another process
//   spins on the second
//                   CPU; for regions of different length, called back to back and with 2 ms of rest
//                   between
//   quiet           the same without that process
//   forked_child    whether a region in a child forked from a used pool ends within 5 s
//
// All variants alternate, so that other load on the machine meets them alike.
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "fastnn/parallel.h"

namespace {

using Clock = std::chrono::steady_clock;
using Task = void (*)(int64_t);

struct Engine {
  const char* name;
  void (*run)(int64_t tasks, Task task);
};

constexpr Engine kEngines[] = {
    {"one_thread",
     [](int64_t tasks, Task task) {
       for (int64_t t = 0; t < tasks; ++t) task(t);
     }},
    {"fastnn", [](int64_t tasks,
                  Task task) { fastnn::parallel_for(tasks, [task](int64_t t, int) { task(t); }); }},
    {"libgomp",
     [](int64_t tasks, Task task) {
#pragma omp parallel for schedule(static) num_threads(2)
       for (int64_t t = 0; t < tasks; ++t) task(t);
     }},
};

double microseconds(const std::function<void()>& body) {
  const auto start = Clock::now();
  body();
  return std::chrono::duration<double, std::micro>(Clock::now() - start).count();
}

double quantile(std::vector<double> values, double q) {
  std::sort(values.begin(), values.end());
  return values[static_cast<size_t>(q * static_cast<double>(values.size() - 1))];
}

void nothing(int64_t) {}

int chain_length = 0;
volatile double sink;

void compute(int64_t) {  // a chain of dependent additions: no memory, the same time on every call
  double x = 0;
  for (int i = 0; i < chain_length; ++i) x = x * 0.999 + 1.0;
  sink = x;
}

struct Samples {
  std::vector<double> of[std::size(kEngines)];
};

Samples alternate(int rounds, int regions, int64_t tasks, Task task, int pause_us) {
  Samples samples;
  for (int round = 0; round < rounds; ++round)
    for (size_t e = 0; e < std::size(kEngines); ++e)
      for (int i = 0; i < regions; ++i) {
        if (pause_us) usleep(static_cast<unsigned>(pause_us));
        samples.of[e].push_back(microseconds([&] { kEngines[e].run(tasks, task); }));
      }
  return samples;
}

double mean(const std::vector<double>& values) {
  double sum = 0;
  for (double v : values) sum += v;
  return sum / static_cast<double>(values.size());
}

void print_empty() {
  constexpr int kRegions = 2000;
  std::printf("  \"empty_us\": {");
  for (size_t e = 1; e < std::size(kEngines); ++e) {
    std::vector<double> times;
    for (int round = 0; round < 15; ++round)
      times.push_back(microseconds([&] {
                        for (int i = 0; i < kRegions; ++i) kEngines[e].run(2, nothing);
                      }) /
                      kRegions);
    std::printf("%s\"%s\": %.2f", e > 1 ? ", " : "", kEngines[e].name, quantile(times, 0.5));
  }
  std::printf("},\n  \"after_pause_us\": {");
  const Samples s = alternate(60, 1, 2, nothing, 20000);
  for (size_t e = 1; e < std::size(kEngines); ++e)
    std::printf("%s\"%s\": {\"median\": %.1f, \"p90\": %.1f}", e > 1 ? ", " : "", kEngines[e].name,
                quantile(s.of[e], 0.5), quantile(s.of[e], 0.9));
  std::printf("},\n");
}

// Mean time of a region against that on one thread: the mean, because the rare long stall is the
// damage.
void print_work(const char* name) {
  std::printf("  \"%s\": [\n", name);
  bool first = true;
  for (int region_us : {30, 300, 3000})
    for (int pause_us : {0, 2000}) {
      chain_length = region_us * 1000 / 16 / 3;  // 16 tasks; roughly 3 ns a step
      const int total_us = pause_us ? 600000 : 1500000;
      const int regions = std::max(4, total_us / (region_us + pause_us) / 30);
      const Samples s = alternate(10, regions, 16, compute, pause_us);
      std::printf("%s    {\"one_thread_us\": %.0f, \"pause_us\": %d", first ? "" : ",\n",
                  mean(s.of[0]), pause_us);
      for (size_t e = 1; e < std::size(kEngines); ++e)
        std::printf(", \"%s\": {\"mean\": %.2f, \"median\": %.2f, \"p99\": %.2f}", kEngines[e].name,
                    mean(s.of[e]) / mean(s.of[0]), quantile(s.of[e], 0.5) / quantile(s.of[0], 0.5),
                    quantile(s.of[e], 0.99) / quantile(s.of[0], 0.5));
      std::printf("}");
      first = false;
    }
  std::printf("\n  ]");
}

bool works_in_forked_child(const Engine& engine) {
  engine.run(2, nothing);
  const pid_t child = fork();
  if (child == 0) {
    alarm(5);  // a hang ends the child with a signal
    engine.run(2, nothing);
    _exit(0);
  }
  int status = -1;
  waitpid(child, &status, 0);
  return status == 0;
}

pid_t spin_on_cpu(int cpu) {
  const pid_t child = fork();
  if (child != 0) return child;
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  sched_setaffinity(0, sizeof set, &set);
  for (volatile double x = 0;;) x = x + 1;
}

}  // namespace

int main(int argc, char**) {
  if (argc > 1) {
    std::fprintf(stderr, "bench_threads takes no arguments\n");
    return 2;
  }
  fastnn::set_num_threads(2);
  const pid_t busy = spin_on_cpu(1);
  kill(busy, SIGSTOP);
  std::printf("{\n  \"cpus\": %u,\n", std::thread::hardware_concurrency());
  print_empty();
  print_work("quiet");
  kill(busy, SIGCONT);
  std::printf(",\n");
  print_work("busy_core");
  kill(busy, SIGKILL);
  waitpid(busy, nullptr, 0);
  std::printf(",\n  \"forked_child\": {");
  std::fflush(stdout);
  for (size_t e = 1; e < std::size(kEngines); ++e)
    std::printf("%s\"%s\": %s", e > 1 ? ", " : "", kEngines[e].name,
                works_in_forked_child(kEngines[e]) ? "true" : "false");
  std::printf("}\n}\n");
}
