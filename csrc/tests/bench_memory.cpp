// What memory costs: the pool against malloc and against fresh pages, small and huge. Prints JSON.
//
//   small_ns     one allocation and its release, for 64 bytes and 4 KiB, one thread
//   contended_ns the same for 64 bytes, two threads at once
//   first_write  microseconds per MiB to write a new block: pages of 4 KiB, huge pages, and the
//   pool's block when it is
//                new and when it is reused
#include <sys/mman.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

#include "fastnn/memory.h"

namespace {

using Clock = std::chrono::steady_clock;

template <class Body>
double best_seconds(int repeats, Body body) {
  double best = 1e9;
  for (int i = 0; i < repeats; ++i) {
    const auto start = Clock::now();
    body();
    best = std::min(best, std::chrono::duration<double>(Clock::now() - start).count());
  }
  return best;
}

void* volatile keep;  // the compiler must not remove a pair of malloc and free

template <class Alloc, class Free>
double pair_ns(size_t bytes, int threads, Alloc alloc, Free release) {
  constexpr int kPairs = 200000;
  const auto loop = [&] {
    for (int i = 0; i < kPairs; ++i) {
      void* p = alloc(bytes);
      keep = p;
      release(p);
    }
  };
  return 1e9 / kPairs * best_seconds(9, [&] {
           std::vector<std::thread> others;
           for (int t = 1; t < threads; ++t) others.emplace_back(loop);
           loop();
           for (std::thread& t : others) t.join();
         });
}

double map_and_write(size_t bytes, int advice) {
  return best_seconds(9, [&] {
    constexpr size_t kHuge = 2 << 20;
    char* p = static_cast<char*>(
        mmap(nullptr, bytes + kHuge, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    char* start = p + (-reinterpret_cast<uintptr_t>(p) % kHuge);
    madvise(start, bytes, advice);
    std::memset(start, 1, bytes);
    munmap(p, bytes + kHuge);
  });
}

double pool_and_write(size_t bytes, bool reuse) {
  return best_seconds(9, [&] {
    if (!reuse) fastnn::empty_cache();
    void* p = fastnn::pool_alloc(bytes);
    std::memset(p, 1, bytes);
    fastnn::pool_free(p);
  });
}

}  // namespace

int main() {
  using fastnn::pool_alloc, fastnn::pool_free;
  std::printf("{\n");
  for (int threads : {1, 2}) {
    const size_t sizes[] = {64, 4096};
    std::printf("  \"%s\": {", threads == 1 ? "small_ns" : "contended_ns");
    for (int i = 0; i < (threads == 1 ? 2 : 1); ++i)
      std::printf("%s\"%zu\": {\"pool\": %.1f, \"malloc\": %.1f}", i ? ", " : "", sizes[i],
                  pair_ns(sizes[i], threads, pool_alloc, pool_free),
                  pair_ns(sizes[i], threads, std::malloc, std::free));
    std::printf("},\n");
  }
  std::printf("  \"first_write_us_per_mib\": [\n");
  for (size_t mib : {1, 2, 4, 16, 64}) {
    const size_t bytes = mib << 20;
    const double scale = 1e6 / static_cast<double>(mib);
    std::printf(
        "    {\"mib\": %zu, \"small_pages\": %.1f, \"huge_pages\": %.1f, \"pool_new\": %.1f, "
        "\"pool_reused\": %.1f}%s\n",
        mib, scale * map_and_write(bytes, MADV_NOHUGEPAGE),
        scale * map_and_write(bytes, MADV_HUGEPAGE), scale * pool_and_write(bytes, false),
        scale * pool_and_write(bytes, true), mib == 64 ? "" : ",");
  }
  std::printf("  ]\n}\n");
}
