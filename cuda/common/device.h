// What every .cu file includes first: CUDA itself under nvcc, the host shim under a C++ compiler.
// A kernel then uses CUDA's own names (threadIdx, __syncthreads, __shfl_xor_sync ...), and these
// for what the shim must see:
//
//   SHARED(float, tile, [32][33]);         static shared memory, 16-byte aligned
//   auto* tile = dynamic_shared<float>();  dynamic shared memory, 128-byte aligned
//
// PTX stands in common/ptx.h alone, launches go through common/launch.h alone.
#pragma once

#include <cstddef>
#include <cstdint>

#if defined(__CUDACC__)

#include <cuda_runtime.h>

#define SHARED(type, name, dims) __shared__ __align__(16) type name dims
#define FASTNN_UNROLL _Pragma("unroll")
#define FASTNN_NO_UNROLL _Pragma("unroll 1")

namespace fastnn::cuda {

template <class T>
__device__ __forceinline__ T* dynamic_shared() {
  extern __shared__ __align__(128) unsigned char fastnn_dynamic_shared[];
  return reinterpret_cast<T*>(fastnn_dynamic_shared);
}

}  // namespace fastnn::cuda

#else

#include "host/shim.h"

#endif

namespace fastnn::cuda {

constexpr int kWarp = 32;
constexpr uint32_t kFullMask = 0xffffffffu;

}  // namespace fastnn::cuda
