// Native test driver: fastnn_native_tests [area ...]; no arguments: all areas. Exit status 1 when a
// check failed.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

#include "check.h"
#include "fastnn/isa.h"
#include "fastnn/parallel.h"

#define FASTNN_TEST(area) void test_##area();
#include "test_list.inc"
#undef FASTNN_TEST

namespace {

struct Area {
  const char* name;
  void (*run)();
};

constexpr Area kAreas[] = {
#define FASTNN_TEST(area) {#area, test_##area},
#include "test_list.inc"
#undef FASTNN_TEST
};

int run_areas(const std::vector<std::string>& wanted) {
  for (const std::string& name : wanted)
    if (std::none_of(std::begin(kAreas), std::end(kAreas),
                     [&](const Area& a) { return name == a.name; })) {
      std::fprintf(stderr, "no test area '%s'\n", name.c_str());
      return 2;
    }
  std::printf("isa %s, %d threads\n", fastnn::name_of(fastnn::active_isa()), fastnn::num_threads());
  for (const Area& area : kAreas) {
    if (!wanted.empty() && std::count(wanted.begin(), wanted.end(), area.name) == 0) continue;
    const int before = fastnn::test::failures;
    const auto start = std::chrono::steady_clock::now();
    area.run();
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    const bool ok = fastnn::test::failures == before;
    std::printf("%-6s %-16s %.2f s\n", ok ? "ok" : "FAILED", area.name, seconds.count());
    std::fflush(stdout);
  }
  return fastnn::test::failures ? 1 : 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run_areas(std::vector<std::string>(argv + 1, argv + argc));
  } catch (const std::exception& e) {
    std::fprintf(stderr, "uncaught error: %s\n", e.what());
    return 1;
  }
}
