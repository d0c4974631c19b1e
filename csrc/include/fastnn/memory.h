// The caching pool that backs every CPU output and workspace: thread-safe, 64-byte aligned, with a
// limit on what it keeps.
#pragma once

#include <cstddef>
#include <cstdint>

namespace fastnn {

constexpr size_t kAlignment = 64;

// Blocks come in 8 sizes for each power of two, so up to 1/8 more than asked is set aside, and
// counted. Freed blocks are kept up to a limit (at first 1 GiB or an eighth of the machine's
// memory, whichever is less); the ones that were not used for longest go first.
void* pool_alloc(size_t bytes);  // 64-byte aligned, uninitialised; throws Error(memory). bytes = 0
                                 // gives a valid pointer
void pool_free(void* p) noexcept;
// The same for memory that is freed soon: the last such block is used again, also for fewer bytes.
void* scratch_alloc(size_t bytes);
void scratch_free(void* p) noexcept;

struct MemoryStats {
  int64_t allocated;     // bytes in use now
  int64_t peak;          // highest value of allocated
  int64_t cached;        // bytes kept for reuse
  int64_t system_calls;  // blocks asked from the system so far
};
MemoryStats memory_stats();
void reset_peak_memory();
void empty_cache();                  // gives every cached block back
void set_cache_limit(size_t bytes);  // high-water limit for cached bytes

// Scratch memory for one launch.
class Workspace {
 public:
  explicit Workspace(size_t bytes) : p_(bytes ? scratch_alloc(bytes) : nullptr) {}
  ~Workspace() {
    if (p_) scratch_free(p_);
  }
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;
  void* data() const { return p_; }

 private:
  void* p_;
};

}  // namespace fastnn
