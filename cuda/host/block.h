// One block of threads as fibers: who can run, who waits for what.
#pragma once

#include <functional>
#include <vector>

#include "host/fiber.h"
#include "host/shim.h"

namespace fastnn::cuda::shim {

constexpr int kMostThreads = 1024, kMostWarps = kMostThreads / 32;
constexpr int kBarriers = 16;
constexpr size_t kSharedLimit = 227 * 1024;  // of Hopper; sm_80 has 163 KiB
constexpr size_t kStaticSharedLimit = 48 * 1024;

struct AsyncCopy {
  void* dst;
  const void* src;
  int size, bytes;
};

struct Thread {
  Ids ids;
  Fiber fiber;
  const char* waits_for = nullptr;  // null: can run
  int barrier = -1;
  uint32_t mask = 0;
  bool done = false;
  std::vector<AsyncCopy> copies;  // not yet landed, oldest first
  std::vector<size_t> groups;     // number of copies in each committed group
  size_t grouped = 0;
};

// Lanes of a warp that wait for the rest of their mask.
struct Meeting {
  const char* what;
  Finish finish;
  uint32_t mask, arrived;
};

struct Warp {
  uint32_t ready = 0;
  Meeting meetings[kBarriers];
  int pending = 0;
  void* args[32];
};

struct Barrier {
  int expected = 0, arrived = 0;
  uint32_t phase = 0;
  uint32_t waiting[kMostWarps] = {};
};

// Shared memory of one block: poisoned where it is handed out, out of bounds elsewhere.
class SharedMemory {
 public:
  SharedMemory();
  ~SharedMemory();
  void reset(size_t dynamic_bytes);
  void* array(const void* tag, size_t bytes);
  void* dynamic() const { return dynamic_; }
  bool contains(const void* p, size_t bytes) const;

 private:
  struct Piece {
    const void* tag;
    char* begin;
    size_t bytes;
  };
  char* hand_out(const void* tag, size_t bytes, size_t align);

  char* memory_;
  size_t used_ = 0, static_bytes_ = 0, dynamic_bytes_ = 0;
  void* dynamic_ = nullptr;
  std::vector<Piece> pieces_;
};

class Block {
 public:
  // Runs one block to its end; throws Fault.
  void run(const Grid& grid, uint3 index, const std::function<void()>& body, const Schedule& order);

  Thread& self() { return *self_; }
  SharedMemory& memory() { return memory_; }
  void barrier(int id, int threads, bool waits);
  void meet(const char* what, uint32_t mask, void* args, Finish finish);
  [[noreturn]] void fault(const std::string& what);
  void finish_thread();
  void run_body() { (*body_)(); }

 private:
  void wait(const char* what);
  void release(int warp, uint32_t lanes);
  Thread* next_thread();
  void switch_to(Thread* next);
  std::string place(const Thread& t) const;
  std::string deadlock() const;

  const Grid* grid_ = nullptr;
  const std::function<void()>* body_ = nullptr;
  Order order_ = Order::forward;
  uint64_t random_ = 1;
  int alive_ = 0;
  Fiber scheduler_;
  Thread* self_ = nullptr;
  std::string fault_;
  bool failed_ = false;
  Thread threads_[kMostThreads];
  Warp warps_[kMostWarps];
  Barrier barriers_[kBarriers];
  Stacks stacks_;
  SharedMemory memory_;
};

}  // namespace fastnn::cuda::shim
