// CUDA's built-in functions, as far as our kernels use them.
#pragma once

#include <type_traits>

#include "host/shim.h"

inline void __syncthreads() { fastnn::cuda::shim::barrier(0, 0); }

namespace fastnn::cuda::shim {

template <class T>
struct ShuffleArgs {
  T value, result;
  int source;
};

template <class T>
void finish_shuffle(void* const* args, uint32_t mask) {
  for (int i = 0; i < 32; ++i) {
    if (!(mask >> i & 1)) continue;
    auto& mine = *static_cast<ShuffleArgs<T>*>(args[i]);
    if (!(mask >> mine.source & 1)) fault("shuffle: reads a lane outside of the mask");
    mine.result = static_cast<ShuffleArgs<T>*>(args[mine.source])->value;
  }
}

template <class T>
T shuffle(const char* what, uint32_t mask, T value, int source) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8);
  ShuffleArgs<T> args{value, value, source};
  meet(what, mask, &args, finish_shuffle<T>);
  return args.result;
}

struct VoteArgs {
  bool value;
  uint32_t ballot;
};

inline void finish_vote(void* const* args, uint32_t mask) {
  uint32_t ballot = 0;
  for (int i = 0; i < 32; ++i)
    if (mask >> i & 1 && static_cast<VoteArgs*>(args[i])->value) ballot |= 1u << i;
  for (int i = 0; i < 32; ++i)
    if (mask >> i & 1) static_cast<VoteArgs*>(args[i])->ballot = ballot;
}

inline uint32_t vote(const char* what, uint32_t mask, bool value) {
  VoteArgs args{value, 0};
  meet(what, mask, &args, finish_vote);
  return args.ballot;
}

}  // namespace fastnn::cuda::shim

// ---- Warps ------------------------------------------------------------------------------------

inline void __syncwarp(uint32_t mask = 0xffffffffu) {
  fastnn::cuda::shim::meet("__syncwarp", mask, nullptr, [](void* const*, uint32_t) {});
}
template <class T>
T __shfl_sync(uint32_t mask, T value, int source) {
  return fastnn::cuda::shim::shuffle("__shfl_sync", mask, value, source & 31);
}
template <class T>
T __shfl_xor_sync(uint32_t mask, T value, int lanes) {
  return fastnn::cuda::shim::shuffle("__shfl_xor_sync", mask, value,
                                     (fastnn::cuda::shim::lane() ^ lanes) & 31);
}
template <class T>
T __shfl_down_sync(uint32_t mask, T value, unsigned delta) {
  const int lane = fastnn::cuda::shim::lane(), source = lane + static_cast<int>(delta);
  return fastnn::cuda::shim::shuffle("__shfl_down_sync", mask, value, source > 31 ? lane : source);
}
template <class T>
T __shfl_up_sync(uint32_t mask, T value, unsigned delta) {
  const int lane = fastnn::cuda::shim::lane(), source = lane - static_cast<int>(delta);
  return fastnn::cuda::shim::shuffle("__shfl_up_sync", mask, value, source < 0 ? lane : source);
}
inline uint32_t __ballot_sync(uint32_t mask, bool value) {
  return fastnn::cuda::shim::vote("__ballot_sync", mask, value);
}
inline bool __any_sync(uint32_t mask, bool value) {
  return fastnn::cuda::shim::vote("__any_sync", mask, value) != 0;
}
inline bool __all_sync(uint32_t mask, bool value) {
  return fastnn::cuda::shim::vote("__all_sync", mask, value) == mask;
}

// ---- Atomics: blocks run on several threads ---------------------------------------------------

template <class T>
T atomicAdd(T* p, T value) {
  fastnn::cuda::shim::check_aligned("atomicAdd", p, sizeof(T));
  if constexpr (std::is_integral_v<T>) {
    return __atomic_fetch_add(p, value, __ATOMIC_RELAXED);
  } else {
    T old, next;
    __atomic_load(p, &old, __ATOMIC_RELAXED);
    do next = old + value;
    while (!__atomic_compare_exchange(p, &old, &next, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
    return old;
  }
}
template <class T>
T atomicMax(T* p, T value) {
  T old = __atomic_load_n(p, __ATOMIC_RELAXED);
  while (old < value &&
         !__atomic_compare_exchange_n(p, &old, value, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
  }
  return old;
}
template <class T>
T atomicCAS(T* p, T expected, T value) {
  __atomic_compare_exchange_n(p, &expected, value, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
  return expected;
}
inline void __threadfence() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }

// ---- Arithmetic -------------------------------------------------------------------------------

template <class T>
T __ldg(const T* p) {
  return *p;
}
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline double __dmul_rn(double a, double b) { return a * b; }
inline double __dadd_rn(double a, double b) { return a + b; }
inline uint32_t __umulhi(uint32_t a, uint32_t b) {
  return static_cast<uint32_t>(uint64_t{a} * b >> 32);
}
inline uint64_t __umul64hi(uint64_t a, uint64_t b) {
  return static_cast<uint64_t>(static_cast<unsigned __int128>(a) * b >> 64);
}
inline int __popc(uint32_t v) { return __builtin_popcount(v); }
inline int __clz(int v) { return v ? __builtin_clz(static_cast<unsigned>(v)) : 32; }
inline float __int_as_float(int v) {
  float f;
  std::memcpy(&f, &v, 4);
  return f;
}
inline int __float_as_int(float v) {
  int i;
  std::memcpy(&i, &v, 4);
  return i;
}
inline float __uint_as_float(uint32_t v) { return __int_as_float(static_cast<int>(v)); }
inline uint32_t __float_as_uint(float v) { return static_cast<uint32_t>(__float_as_int(v)); }
inline float rsqrtf(float v) { return 1 / std::sqrt(v); }
