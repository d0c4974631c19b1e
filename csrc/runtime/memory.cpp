// The caching pool. Every block has a header of one cache line in front of the bytes that the user
// sees; freed blocks wait in one list per size class, and in one list by age, from which the oldest
// leave when the cache is over its limit.
#include "fastnn/memory.h"

#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstdlib>
#include <new>

#include "fastnn/error.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void)(p), (void)(n))
#endif

namespace fastnn {
namespace {

// Sizes are multiples of 64 up to 512, then 8 classes for each power of two: at most 1/8 is wasted.
constexpr int kStepBits = 3, kSteps = 1 << kStepBits;
constexpr size_t kLargest = size_t{1} << 47;  // beyond any address space in use
constexpr int kClasses = kSteps * (47 - 9 + 2);
constexpr int64_t kLargestScratch = int64_t{64} << 20;  // kept for workspaces of any size
constexpr size_t kHugePage = size_t{2} << 20;  // blocks of at least this size are mapped on them
// From this size on, blocks begin at various places of a page; what they leave free before them is
// not counted.
constexpr size_t kShifted = size_t{128} << 10;
constexpr uint32_t kAlias = 4096;  // addresses so far apart look alike to stores that wait

int class_of(size_t bytes) {
  if (bytes <= kSteps * kAlignment) return bytes ? static_cast<int>((bytes - 1) / kAlignment) : 0;
  const int shift =
      std::bit_width(bytes - 1) - 1 - kStepBits;  // (bytes - 1) >> shift is in [8, 16)
  return (shift - 6 + 1) * kSteps + static_cast<int>((bytes - 1) >> shift) - kSteps;
}

size_t class_bytes(int c) {
  const int shift = c < kSteps ? 6 : c / kSteps + 5;
  const size_t steps = c < kSteps ? c + 1 : kSteps + c % kSteps + 1;
  return steps << shift;
}

struct Link {
  Link* prev;
  Link* next;

  void reset() { prev = next = this; }
  bool empty() const { return next == this; }
  void insert_after(Link* at) {
    prev = at;
    next = at->next;
    next->prev = this;
    at->next = this;
  }
  void remove() {
    prev->next = next;
    next->prev = prev;
  }
};

// The header. Its place is the 64 bytes in front of the user's.
struct alignas(kAlignment) Block {
  Link same_size;
  Link by_age;
  int size_class;
  uint32_t shift;  // bytes between where it could begin and where it does

  void* user() { return this + 1; }
  size_t bytes() const { return class_bytes(size_class); }
  char* end() { return static_cast<char*>(user()) + bytes(); }
  static Block* of_user(void* p) { return static_cast<Block*>(p) - 1; }
  static Block* of_age(Link* link) {
    return reinterpret_cast<Block*>(reinterpret_cast<char*>(link) - offsetof(Block, by_age));
  }
};
static_assert(sizeof(Block) == kAlignment);

size_t round_up(size_t n, size_t unit) { return (n + unit - 1) / unit * unit; }

size_t page_size() {
  static const size_t size = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  return size;
}

// Loads wait for earlier stores whose addresses have the same last 12 bits. Were an image and its
// result to begin at the same place of a page, the stores of one row would hold up the loads of the
// rows that follow (depthwise convolutions: by a third), so blocks asked from the system one after
// the other begin half a page apart, the next ones in between. (Later they serve in any order, so
// that one in eight pairs is at the same place again.)
uint32_t next_shift() {
  static std::atomic<uint32_t> number{0};
  const uint32_t i = number.fetch_add(1, std::memory_order_relaxed);
  const uint32_t eighths = (i & 1) << 2 | (i & 2) | (i >> 2 & 1);
  return eighths * (kAlias / 8);
}

// A first write to fresh memory costs more than most kernels, and five times less on huge pages.
// The first of them begins `shift` before the user's bytes, behind a small page that the header
// may need.
Block* map(size_t bytes, uint32_t shift) {
  const size_t page = page_size(), length = round_up(shift + bytes, page);
  const size_t reserved = page + kHugePage + length;
  void* p = mmap(nullptr, reserved, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) return nullptr;
  char* const first = static_cast<char*>(p);
  char* const start = first + (round_up(reinterpret_cast<uintptr_t>(p) + page, kHugePage) -
                               reinterpret_cast<uintptr_t>(p));
  char* const last = start + length;
  if (start - page != first) munmap(first, static_cast<size_t>(start - page - first));
  if (last != first + reserved) munmap(last, static_cast<size_t>(first + reserved - last));
  madvise(start, length, MADV_HUGEPAGE);
  return Block::of_user(start + shift);
}

size_t mapped_bytes(const Block* block) {
  return round_up(block->shift + block->bytes(), page_size());
}

void unmap(Block* block) {
  char* const start = static_cast<char*>(block->user()) - block->shift;
  munmap(start - page_size(), page_size() + mapped_bytes(block));
}

Block* shifted(void* p, uint32_t shift) {
  return p ? reinterpret_cast<Block*>(static_cast<char*>(p) + shift) : nullptr;
}

Block* system_alloc(int size_class) {
  const size_t bytes = class_bytes(size_class);
  const uint32_t shift = bytes >= kShifted ? next_shift() : 0;
  const size_t whole = shift + sizeof(Block) + bytes;
  Block* block = bytes >= kHugePage ? map(bytes, shift)
                                    : shifted(std::aligned_alloc(kAlignment, whole), shift);
  if (!block) return nullptr;
  block->size_class = size_class;
  block->shift = shift;
  if (bytes >= kHugePage)  // what is behind is nobody's
    ASAN_POISON_MEMORY_REGION(block->end(), mapped_bytes(block) - shift - bytes);
  return block;
}

void system_free(Block* block) {
  if (block->bytes() >= kHugePage) {
    ASAN_UNPOISON_MEMORY_REGION(block->user(), mapped_bytes(block) - block->shift);
    return unmap(block);
  }
  ASAN_UNPOISON_MEMORY_REGION(block->user(), block->bytes());
  std::free(reinterpret_cast<char*>(block) - block->shift);
}

size_t default_limit() {
  const long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
  const size_t ram = pages > 0 && page > 0 ? static_cast<size_t>(pages) * page : 0;
  return std::min(size_t{1} << 30, ram / 8);
}

// Everything below is guarded by one lock, held for a few loads and stores and never during a
// system call.
struct State {
  std::atomic<bool> locked{false};
  Link free_lists[kClasses];
  Link by_age;               // newest first
  Block* scratch = nullptr;  // the cached block that last was a workspace
  int64_t allocated = 0, peak = 0, cached = 0, system_calls = 0;
  int64_t limit;

  State() : limit(static_cast<int64_t>(default_limit())) {
    for (Link& list : free_lists) list.reset();
    by_age.reset();
  }

  void lock() {
    while (locked.exchange(true, std::memory_order_acquire))
      for (int i = 0; locked.load(std::memory_order_relaxed); ++i)
        if (i >= 100) sched_yield();
  }
  void unlock() { locked.store(false, std::memory_order_release); }

  Block* take(int size_class) {
    Link& list = free_lists[size_class];
    if (list.empty()) return nullptr;
    Block* block = reinterpret_cast<Block*>(list.next);
    uncache(block);
    return block;
  }

  // Returns what must leave to keep the limit, perhaps the block itself.
  Link* cache(Block* block) {
    const int64_t size = static_cast<int64_t>(block->bytes());
    if (size > limit) {
      block->same_size.next = nullptr;
      return &block->same_size;
    }
    block->same_size.insert_after(&free_lists[block->size_class]);
    block->by_age.insert_after(&by_age);
    cached += size;
    return cached > limit ? shrink_to(limit) : nullptr;
  }

  // A workspace starts where the last one did, if it fits: the bytes are still in the core's
  // caches.
  Block* take_scratch(int size_class) {
    Block* block = scratch;
    if (!block || block->size_class < size_class) return take(size_class);
    uncache(block);
    return block;
  }

  void uncache(Block* block) {
    if (block == scratch) scratch = nullptr;
    block->same_size.remove();
    block->by_age.remove();
    cached -= static_cast<int64_t>(block->bytes());
  }

  void add_allocated(int64_t bytes) {
    allocated += bytes;
    if (allocated > peak) peak = allocated;
  }

  // Unlinks the oldest blocks until the cache holds at most `bytes`; they are chained through
  // same_size.next.
  Link* shrink_to(int64_t bytes) {
    Link* chain = nullptr;
    while (cached > bytes) {
      Block* oldest = Block::of_age(by_age.prev);
      uncache(oldest);
      oldest->same_size.next = chain;
      chain = &oldest->same_size;
    }
    return chain;
  }
};

// Never destroyed: buffers are freed during the exit of the interpreter, too.
State& state() {
  alignas(State) static char memory[sizeof(State)];
  static State* const instance = new (memory) State;
  return *instance;
}

void release(Link* chain) {
  while (chain) {
    Link* next = chain->next;
    system_free(reinterpret_cast<Block*>(chain));
    chain = next;
  }
}

// The lock is held across fork, so that the child finds the lists whole.
[[maybe_unused]] const int fork_handler =
    pthread_atfork([] { state().lock(); }, [] { state().unlock(); }, [] { state().unlock(); });

}  // namespace

namespace {

Block* alloc_block(size_t bytes, bool scratch) {
  if (bytes > kLargest)
    fail(ErrorKind::memory, "out of memory: ", bytes,
         " bytes asked, more than any address space holds");
  const int size_class = class_of(bytes);
  State& s = state();
  s.lock();
  Block* block = scratch ? s.take_scratch(size_class) : s.take(size_class);
  if (block) s.add_allocated(static_cast<int64_t>(block->bytes()));
  s.unlock();
  if (!block) {
    block = system_alloc(size_class);
    if (!block) {
      empty_cache();
      block = system_alloc(size_class);
    }
    s.lock();
    if (block) s.add_allocated(static_cast<int64_t>(block->bytes())), ++s.system_calls;
    const int64_t in_use = s.allocated;
    s.unlock();
    if (!block)
      fail(ErrorKind::memory, "out of memory: ", bytes, " bytes asked while ", in_use,
           " bytes are in use");
  }
  ASAN_UNPOISON_MEMORY_REGION(block->user(), bytes);
  return block;
}

void free_block(Block* block, bool scratch) noexcept {
  ASAN_POISON_MEMORY_REGION(block->user(), block->bytes());
  State& s = state();
  s.lock();
  const auto size = static_cast<int64_t>(block->bytes());
  s.allocated -= size;
  if (scratch && size <= kLargestScratch && size <= s.limit) s.scratch = block;
  Link* chain = s.cache(block);
  s.unlock();
  release(chain);
}

}  // namespace

void* pool_alloc(size_t bytes) { return alloc_block(bytes, false)->user(); }
void pool_free(void* p) noexcept {
  if (p) free_block(Block::of_user(p), false);
}

void* scratch_alloc(size_t bytes) { return alloc_block(bytes, true)->user(); }
void scratch_free(void* p) noexcept { free_block(Block::of_user(p), true); }

MemoryStats memory_stats() {
  State& s = state();
  s.lock();
  const MemoryStats stats{s.allocated, s.peak, s.cached, s.system_calls};
  s.unlock();
  return stats;
}

void reset_peak_memory() {
  State& s = state();
  s.lock();
  s.peak = s.allocated;
  s.unlock();
}

void empty_cache() {
  State& s = state();
  s.lock();
  Link* chain = s.shrink_to(0);
  s.unlock();
  release(chain);
}

void set_cache_limit(size_t bytes) {
  State& s = state();
  s.lock();
  s.limit = static_cast<int64_t>(std::min(bytes, kLargest));
  Link* chain = s.shrink_to(s.limit);
  s.unlock();
  release(chain);
}

}  // namespace fastnn
