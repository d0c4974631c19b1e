// fastnn_cuda_tests [--quick] [area ...]: every area in several schedules of the shim; --quick: in
// one. Exit status 1 when a check failed. fastnn_cuda_tests --lane-maps prints the shim's lane
// maps.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

#include "array.h"
#include "fastnn/isa.h"
#include "lane_maps.h"
#include "tests/check.h"

#define FASTNN_TEST(area) void test_##area();
#include "cuda_test_list.inc"
#undef FASTNN_TEST

namespace {

using fastnn::cuda::shim::Order;
using fastnn::cuda::shim::Schedule;

struct Area {
  const char* name;
  void (*run)();
};

constexpr Area kAreas[] = {
#define FASTNN_TEST(area) {#area, test_##area},
#include "cuda_test_list.inc"
#undef FASTNN_TEST
};

struct Named {
  const char* name;
  Schedule schedule;
};
constexpr Named kSchedules[] = {
    {"forward", {Order::forward, 0, true}},
    {"reverse", {Order::reverse, 0, true}},
    {"shuffled", {Order::shuffled, 1, true}},
};

int run_areas(const std::vector<std::string>& wanted, bool quick) {
  for (const std::string& name : wanted)
    if (std::none_of(std::begin(kAreas), std::end(kAreas),
                     [&](const Area& a) { return name == a.name; })) {
      std::fprintf(stderr, "no test area '%s'\n", name.c_str());
      return 2;
    }
  for (const Area& area : kAreas) {
    if (!wanted.empty() && std::count(wanted.begin(), wanted.end(), area.name) == 0) continue;
    const auto start = std::chrono::steady_clock::now();
    const int before = fastnn::test::failures;
    for (const Named& s : kSchedules) {
      if (quick && &s != std::end(kSchedules) - 1) continue;
      fastnn::cuda::shim::set_schedule(s.schedule);
      try {
        area.run();
      } catch (const std::exception& e) {
        fastnn::test::report(
            false, area.name, 0,
            fastnn::cat(s.name, ": ", fastnn::cuda::test::context, ": ", e.what()).c_str());
      }
    }
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    std::printf("%-6s %-16s %.2f s\n", fastnn::test::failures == before ? "ok" : "FAILED",
                area.name, seconds.count());
    std::fflush(stdout);
  }
  return fastnn::test::failures ? 1 : 0;
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::string> wanted(argv + 1, argv + argc);
  if (wanted == std::vector<std::string>{"--lane-maps"}) {
    std::printf("# source: the host shim\n%s", fastnn::cuda::lane_maps().c_str());
    return 0;
  }
  const auto quick = std::find(wanted.begin(), wanted.end(), "--quick");
  const bool is_quick = quick != wanted.end();
  if (is_quick) wanted.erase(quick);
  fastnn::set_isa(fastnn::Isa::reference);  // what the CPU computes is the straight loops
  return run_areas(wanted, is_quick);
}
