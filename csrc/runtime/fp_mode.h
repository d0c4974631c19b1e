// The arithmetic mode of a thread: rounding, traps, treatment of denormals.
#pragma once

#include <cstdint>

namespace fastnn {

#if defined(__x86_64__)
constexpr uint64_t kDefaultFpMode = 0x1f80, kFpStickyFlags = 0x3f;
inline uint64_t fp_mode() { return __builtin_ia32_stmxcsr(); }
inline void set_fp_mode(uint64_t mode) { __builtin_ia32_ldmxcsr(static_cast<unsigned>(mode)); }
#elif defined(__aarch64__)
constexpr uint64_t kDefaultFpMode = 0, kFpStickyFlags = 0;
inline uint64_t fp_mode() {
  uint64_t mode;
  __asm__ volatile("mrs %0, fpcr" : "=r"(mode));
  return mode;
}
inline void set_fp_mode(uint64_t mode) { __asm__ volatile("msr fpcr, %0" ::"r"(mode)); }
#else
constexpr uint64_t kDefaultFpMode = 0, kFpStickyFlags = 0;
inline uint64_t fp_mode() { return kDefaultFpMode; }
inline void set_fp_mode(uint64_t) {}
#endif

}  // namespace fastnn
