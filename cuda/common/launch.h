// The one place where kernels are launched.
#pragma once

#include <tuple>

#include "common/device.h"
#include "common/stream.h"
#include "fastnn/error.h"

namespace fastnn::cuda {

struct Launch {
  const char* name;  // of the kernel, for error texts
  Stream stream;
  unsigned grid_x = 1;
  int threads = 256;
  size_t shared_bytes = 0;  // dynamic
  unsigned grid_y = 1, grid_z = 1;
};

constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

#if defined(__CUDACC__)

inline void check_cuda(cudaError_t status, const char* what) {
  if (status != cudaSuccess)
    fail(status == cudaErrorMemoryAllocation ? ErrorKind::memory : ErrorKind::runtime, what, ": ",
         cudaGetErrorString(status));
}

template <class... P, class... A>
void launch(const Launch& l, void (*kernel)(P...), const A&... args) {
  static_assert(sizeof...(P) == sizeof...(A));
  const void* entry = reinterpret_cast<const void*>(kernel);
  if (l.shared_bytes > 48 * 1024)  // more must be asked for, per kernel and device
    check_cuda(cudaFuncSetAttribute(entry, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                    static_cast<int>(l.shared_bytes)),
               l.name);
  std::tuple<P...> packed(args...);
  std::apply(
      [&](P&... p) {
        void* pointers[] = {const_cast<void*>(static_cast<const void*>(&p))...};
        check_cuda(cudaLaunchKernel(entry, dim3(l.grid_x, l.grid_y, l.grid_z), dim3(l.threads),
                                    pointers, l.shared_bytes, static_cast<cudaStream_t>(l.stream)),
                   l.name);
      },
      packed);
}

inline void fill_zero(void* p, size_t bytes, Stream stream) {
  check_cuda(cudaMemsetAsync(p, 0, bytes, static_cast<cudaStream_t>(stream)), "memset");
}

#else

template <class... P, class... A>
void launch(const Launch& l, void (*kernel)(P...), const A&... args) {
  static_assert(sizeof...(P) == sizeof...(A));
  static_assert((sizeof(P) + ... + 0) <= 4096, "more kernel arguments than older drivers take");
  std::tuple<P...> packed(args...);
  const shim::Grid grid{l.name, {l.grid_x, l.grid_y, l.grid_z}, l.threads, l.shared_bytes};
  shim::enqueue(l.stream, grid, [kernel, packed] { std::apply(kernel, packed); });
}

#endif

}  // namespace fastnn::cuda
