#include "host/fiber.h"

#include <sys/mman.h>

#include <cstdint>
#include <cstring>
#include <new>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

#if !defined(FASTNN_SHIM_UCONTEXT) && (defined(__x86_64__) || defined(__aarch64__))
#define FASTNN_SHIM_ASSEMBLY 1
#else
#include <ucontext.h>
#endif

namespace fastnn::cuda::shim {

#if FASTNN_SHIM_ASSEMBLY

// void fastnn_shim_switch(void** save, void* load): saves what a call must keep on the stack and
// the stack pointer in *save, then goes on where `load` was saved.
extern "C" void fastnn_shim_switch(void** save, void* load);

#if defined(__x86_64__)
asm(R"(
.text
.globl fastnn_shim_switch
.hidden fastnn_shim_switch
.type fastnn_shim_switch, @function
fastnn_shim_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size fastnn_shim_switch, . - fastnn_shim_switch
)");
constexpr size_t kSavedWords = 6, kReturnWord = 6;
constexpr size_t kFrameWords = 8;  // registers, return address, and what a call would have pushed
#else
asm(R"(
.text
.globl fastnn_shim_switch
.hidden fastnn_shim_switch
.type fastnn_shim_switch, %function
fastnn_shim_switch:
  sub sp, sp, #160
  stp x19, x20, [sp, #0]
  stp x21, x22, [sp, #16]
  stp x23, x24, [sp, #32]
  stp x25, x26, [sp, #48]
  stp x27, x28, [sp, #64]
  stp x29, x30, [sp, #80]
  stp d8, d9, [sp, #96]
  stp d10, d11, [sp, #112]
  stp d12, d13, [sp, #128]
  stp d14, d15, [sp, #144]
  mov x2, sp
  str x2, [x0]
  mov sp, x1
  ldp x19, x20, [sp, #0]
  ldp x21, x22, [sp, #16]
  ldp x23, x24, [sp, #32]
  ldp x25, x26, [sp, #48]
  ldp x27, x28, [sp, #64]
  ldp x29, x30, [sp, #80]
  ldp d8, d9, [sp, #96]
  ldp d10, d11, [sp, #112]
  ldp d12, d13, [sp, #128]
  ldp d14, d15, [sp, #144]
  add sp, sp, #160
  ret
.size fastnn_shim_switch, . - fastnn_shim_switch
)");
constexpr size_t kReturnWord = 11;  // x30
constexpr size_t kFrameWords = 20;
#endif

void fiber_start(Fiber& fiber, void (*entry)()) {
  auto* top = reinterpret_cast<uintptr_t*>(fiber.stack + kStackBytes);
  uintptr_t* frame = top - kFrameWords;
  std::memset(frame, 0, kFrameWords * sizeof *frame);
  frame[kReturnWord] = reinterpret_cast<uintptr_t>(entry);
  fiber.context = frame;
}

void fiber_switch(Fiber& from, const Fiber& to) { fastnn_shim_switch(&from.context, to.context); }

#else

void fiber_start(Fiber& fiber, void (*entry)()) {
  if (!fiber.context) fiber.context = new ucontext_t;
  auto* context = static_cast<ucontext_t*>(fiber.context);
  getcontext(context);
  context->uc_stack.ss_sp = fiber.stack;
  context->uc_stack.ss_size = kStackBytes;
  context->uc_link = nullptr;
  makecontext(context, entry, 0);
}

void fiber_switch(Fiber& from, const Fiber& to) {
  if (!from.context) from.context = new ucontext_t;
  swapcontext(static_cast<ucontext_t*>(from.context), static_cast<ucontext_t*>(to.context));
}

#endif

namespace {
constexpr size_t kGuardBytes = 16 * 1024;  // a whole page of any size in use
}

char* Stacks::at(int i) {
  if (!stacks_[i]) {
    void* p = mmap(nullptr, kGuardBytes + kStackBytes, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) throw std::bad_alloc();
    mprotect(p, kGuardBytes, PROT_NONE);
    stacks_[i] = static_cast<char*>(p) + kGuardBytes;
  }
#if defined(__SANITIZE_ADDRESS__)
  ASAN_UNPOISON_MEMORY_REGION(stacks_[i], kStackBytes);  // frames of an abandoned fiber
#endif
  return stacks_[i];
}

Stacks::~Stacks() {
  for (char* stack : stacks_)
    if (stack) munmap(stack - kGuardBytes, kGuardBytes + kStackBytes);
}

}  // namespace fastnn::cuda::shim
