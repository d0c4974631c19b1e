// The host shim: a .cu file compiled as C++ against this header runs on the CPU. Every thread of a
// block is a fiber, so barriers, shuffles and mma mean what they mean on a GPU; blocks are spread
// over fastnn's threads. What goes wrong silently on hardware is a Fault here: barriers that not
// all threads reach, shuffles in diverged warps, misaligned vectors, too much shared memory. Shared
// memory starts as NaNs, and cp.async lands only when it is waited for.
//
// docs/cuda.md says what it cannot see.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <stdexcept>
#include <string>

#include "host/vector_types.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define FASTNN_UNROLL
#define FASTNN_NO_UNROLL

namespace fastnn::cuda::shim {

// ---- For tests and bindings -------------------------------------------------------------------

// A kernel did what hardware forbids, or got stuck. The text names kernel, block and thread.
class Fault : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Which of the threads that can run, runs: the lowest, the highest, or a random one. Blocks and, in
// deferred mode, streams follow the same order.
enum class Order { forward, reverse, shuffled };
struct Schedule {
  Order order = Order::forward;
  uint64_t seed = 0;
  bool deferred = false;  // launches wait for synchronize(), and only a stream's own order is kept
};
void set_schedule(
    const Schedule& schedule);  // FASTNN_SHIM=forward|reverse|shuffled[:seed] at first
const Schedule& schedule();
void synchronize();

struct Grid {
  const char* name;
  dim3 blocks;
  int threads;
  size_t shared_bytes;
};
void enqueue(void* stream, const Grid& grid, std::function<void()> body);

// ---- For kernels ------------------------------------------------------------------------------

struct Ids {
  uint3 thread, block;
  dim3 block_dim, grid_dim;
};
extern thread_local Ids* current;

[[noreturn]] void fault(const std::string& what);  // ends the launch
void barrier(int id, int threads);                 // threads = 0: all of the block
void barrier_arrive(int id, int threads);

// Lanes of `mask` meet; the last one runs finish(args of all lanes, mask) for all.
using Finish = void (*)(void* const* args, uint32_t mask);
void meet(const char* what, uint32_t mask, void* args, Finish finish);

void* shared_array(const void* tag, size_t bytes);
void* dynamic_shared_memory();
// Checks that [p, p + bytes) is shared memory of this block, aligned to `align`.
void check_shared(const char* what, const void* p, size_t bytes, size_t align);
void check_aligned(const char* what, const void* p, size_t align);

void copy_async(void* dst, const void* src, int size, int bytes);  // the rest of size: zeros
void copy_async_commit();
void copy_async_wait(int pending_groups);

template <class T>
T& shared(const void* tag) {
  return *static_cast<T*>(shared_array(tag, sizeof(T)));
}

inline int lane() { return static_cast<int>(current->thread.x % 32); }

}  // namespace fastnn::cuda::shim

#define SHARED(type, name, dims)           \
  using name##_shared_type = type dims;    \
  static const char name##_shared_tag = 0; \
  name##_shared_type& name = ::fastnn::cuda::shim::shared<name##_shared_type>(&name##_shared_tag)

namespace fastnn::cuda {

template <class T>
T* dynamic_shared() {
  return static_cast<T*>(shim::dynamic_shared_memory());
}

}  // namespace fastnn::cuda

#define threadIdx (::fastnn::cuda::shim::current->thread)
#define blockIdx (::fastnn::cuda::shim::current->block)
#define blockDim (::fastnn::cuda::shim::current->block_dim)
#define gridDim (::fastnn::cuda::shim::current->grid_dim)

#include "host/intrinsics.h"
