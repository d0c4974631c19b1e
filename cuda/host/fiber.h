// Stacks that take turns on one thread. A switch is ten instructions (x86-64, aarch64); elsewhere
// ucontext stands in, at the price of a system call.
#pragma once

#include <cstddef>

namespace fastnn::cuda::shim {

#if defined(__SANITIZE_ADDRESS__)
constexpr size_t kStackBytes = 256 * 1024;  // frames grow by their red zones
#else
constexpr size_t kStackBytes = 64 * 1024;
#endif

struct Fiber {
  void* context = nullptr;  // saved stack pointer, or a ucontext_t
  char* stack = nullptr;    // null: the thread's own stack
};

void fiber_start(Fiber& fiber, void (*entry)());  // entry must not return
void fiber_switch(Fiber& from, const Fiber& to);

// `count` stacks of kStackBytes, each with a guard page below it.
class Stacks {
 public:
  ~Stacks();
  char* at(int i);  // lowest address of stack i, which is mapped at first use

 private:
  static constexpr int kMost = 1024;
  char* stacks_[kMost] = {};
};

}  // namespace fastnn::cuda::shim
