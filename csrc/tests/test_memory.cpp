#include <atomic>
#include <cstring>
#include <set>
#include <thread>
#include <vector>

#include "check.h"
#include "child.h"
#include "fastnn/memory.h"

using namespace fastnn;

namespace {

bool aligned(const void* p) { return reinterpret_cast<uintptr_t>(p) % kAlignment == 0; }

void every_size_is_aligned_and_little_is_wasted() {
  for (size_t bytes = 0; bytes < size_t{20} << 20; bytes += 1 + bytes / 37) {
    const int64_t before = memory_stats().allocated;
    auto* p = static_cast<unsigned char*>(pool_alloc(bytes));
    const auto size = static_cast<size_t>(memory_stats().allocated - before);
    CHECK(p != nullptr && aligned(p));
    CHECK(size >= bytes);
    CHECK(size <= bytes + bytes / 8 || size - bytes < kAlignment || bytes == 0);
    if (bytes) p[0] = 1, p[bytes - 1] = 2;
    pool_free(p);
    CHECK_EQ(memory_stats().allocated, before);
  }
}

void boundaries_between_classes() {
  for (int shift = 6; shift < 26; ++shift)
    for (size_t step = 8; step < 16; ++step)
      for (int off = -1; off <= 1; ++off) {
        const size_t bytes = (step << shift) / 8 + off;
        const int64_t before = memory_stats().allocated;
        auto* p = static_cast<unsigned char*>(pool_alloc(bytes));
        std::memset(p, 0x5a, bytes < 4096 ? bytes : 1);
        p[bytes - 1] = 0x5a;
        CHECK(memory_stats().allocated - before >= static_cast<int64_t>(bytes));
        pool_free(p);
      }
}

// Or the stores of one would hold up the loads of the other.
void large_neighbours_begin_at_different_places_of_a_page(size_t bytes) {
  empty_cache();
  std::vector<unsigned char*> blocks;
  for (int i = 0; i < 8; ++i) {
    blocks.push_back(static_cast<unsigned char*>(pool_alloc(bytes)));
    CHECK(aligned(blocks.back()));
    std::memset(blocks.back(), i, bytes);
  }
  for (int i = 0; i < 8; ++i) {
    CHECK_EQ(blocks[i][0], i);
    CHECK_EQ(blocks[i][bytes - 1], i);
    pool_free(blocks[i]);
  }
  empty_cache();
  if (bytes < size_t{2} << 20) return;  // the system's own places are not the same for all
  std::set<uintptr_t> places;
  for (auto* block : blocks) places.insert(reinterpret_cast<uintptr_t>(block) % 4096);
  CHECK_EQ(places.size(), size_t{8});
}

void statistics_are_exact() {
  empty_cache();
  const MemoryStats start = memory_stats();
  CHECK_EQ(start.cached, 0);
  void* a = pool_alloc(1024);
  void* b = pool_alloc(size_t{8} << 20);
  reset_peak_memory();
  MemoryStats s = memory_stats();
  CHECK_EQ(s.allocated, start.allocated + 1024 + (8 << 20));
  CHECK_EQ(s.peak, s.allocated);
  CHECK_EQ(s.cached, 0);
  CHECK_EQ(s.system_calls, start.system_calls + 2);
  pool_free(b);
  pool_free(a);
  s = memory_stats();
  CHECK_EQ(s.allocated, start.allocated);
  CHECK_EQ(s.peak, start.allocated + 1024 + (8 << 20));
  CHECK_EQ(s.cached, 1024 + (8 << 20));
  CHECK_EQ(pool_alloc(1000), a);  // the same class, so the same block, and no call to the system
  CHECK_EQ(memory_stats().system_calls, start.system_calls + 2);
  pool_free(a);
  reset_peak_memory();
  CHECK_EQ(memory_stats().peak, start.allocated);
  empty_cache();
  CHECK_EQ(memory_stats().cached, 0);
}

void the_cache_keeps_to_its_limit() {
  empty_cache();
  set_cache_limit(1 << 20);
  std::vector<void*> blocks;
  for (int i = 0; i < 64; ++i) blocks.push_back(pool_alloc(64 << 10));
  for (void* p : blocks) {
    pool_free(p);
    CHECK(memory_stats().cached <= 1 << 20);
  }
  CHECK_EQ(memory_stats().cached, 1 << 20);
  const int64_t calls = memory_stats().system_calls;
  CHECK_EQ(pool_alloc(64 << 10), blocks.back());  // the most recently used stay
  CHECK_EQ(memory_stats().system_calls, calls);
  pool_free(blocks.back());
  pool_free(pool_alloc(
      2 << 20));  // larger than the limit: not kept, and it does not sweep out the others
  CHECK_EQ(memory_stats().cached, 1 << 20);
  set_cache_limit(0);
  CHECK_EQ(memory_stats().cached, 0);
  pool_free(pool_alloc(64));
  CHECK_EQ(memory_stats().cached, 0);
  set_cache_limit(size_t{1} << 30);
}

void impossible_sizes_are_refused() {
  const MemoryStats before = memory_stats();
  const size_t too_large = ~size_t{0};
  for (size_t bytes : {too_large, too_large / 2, too_large / 2 + 1, size_t{1} << 47})
    CHECK_FAILS(ErrorKind::memory, std::to_string(bytes), pool_alloc(bytes));
  const MemoryStats after = memory_stats();
  CHECK_EQ(after.allocated, before.allocated);
  CHECK_EQ(after.peak, before.peak);
}

void many_threads() {
  const int64_t before = memory_stats().allocated;
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t)
    threads.emplace_back([t] {
      std::vector<std::pair<unsigned char*, size_t>> held;
      uint64_t random = t + 1;
      for (int i = 0; i < 3000; ++i) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        const size_t bytes = 1 + (random >> 33) % (i % 100 == 0 ? 9'000'000 : 5000);
        auto* p = static_cast<unsigned char*>(pool_alloc(bytes));
        p[0] = p[bytes - 1] = static_cast<unsigned char>(t);
        held.emplace_back(p, bytes);
        if (held.size() > 20) {
          auto [q, n] = held[random % 20];
          CHECK(q[0] == t && q[n - 1] == t);  // nobody else was given the same bytes
          pool_free(q);
          held.erase(held.begin() + static_cast<long>(random % 20));
        }
      }
      for (auto [p, n] : held) pool_free(p);
    });
  for (std::thread& t : threads) t.join();
  CHECK_EQ(memory_stats().allocated, before);
}

void a_forked_child_can_allocate() {
  std::atomic<bool> stop{false};
  std::thread busy([&] {
    while (!stop) pool_free(pool_alloc(100));
  });
  for (int i = 0; i < 20; ++i) {
    CHECK_EQ(test::in_child([] {
               for (size_t k = 0; k < 100; ++k) pool_free(pool_alloc(k * 50));
               return true;
             }),
             0);
  }
  stop = true;
  busy.join();
}

void workspaces_share_their_memory() {
  empty_cache();
  const MemoryStats start = memory_stats();
  const auto place = [](size_t bytes) {
    const Workspace w(bytes);
    std::memset(w.data(), 1, bytes);
    return w.data();
  };
  void* const large = place(100000);
  CHECK_EQ(place(100), large);  // fits: the same bytes, still in the caches
  CHECK_EQ(place(90000), large);
  {
    const Workspace outer(50000), inner(50000);  // nested: two blocks
    CHECK(outer.data() == large && inner.data() != large && aligned(inner.data()));
  }
  place(200000);
  void* const taken = pool_alloc(200000);  // a block of that size for somebody else
  CHECK(place(100) != taken);
  pool_free(taken);
  CHECK_EQ(memory_stats().allocated, start.allocated);
  place(size_t{80} << 20);
  CHECK(memory_stats().cached > 0);
  empty_cache();
  CHECK_EQ(memory_stats().cached, 0);
  place(100);  // the old place is gone
}

}  // namespace

void test_memory() {
  every_size_is_aligned_and_little_is_wasted();
  boundaries_between_classes();
  for (size_t bytes : {size_t{256} << 10, size_t{2} << 20, (size_t{5} << 20) + 100})
    large_neighbours_begin_at_different_places_of_a_page(bytes);
  statistics_are_exact();
  workspaces_share_their_memory();
  the_cache_keeps_to_its_limit();
  impossible_sizes_are_refused();
  many_threads();
  a_forked_child_can_allocate();
}
