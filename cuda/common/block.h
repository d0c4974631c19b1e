// Reductions over a warp or a block, in an order that depends on its size alone.
#pragma once

#include "common/device.h"

namespace fastnn::cuda {

// A struct that is shuffled has its own overload, which is found by its namespace.
template <class T>
__device__ __forceinline__ T shuffle_xor(T value, int lanes) {
  return __shfl_xor_sync(kFullMask, value, lanes);
}

// Joins the values of `Width` neighbouring lanes (a power of two, at most a warp); all lanes get
// the result, and of two partners both join in the order of their lanes.
template <int Width, class T, class Join>
__device__ __forceinline__ T join_lanes(T value, Join join) {
  FASTNN_UNROLL
  for (int d = 1; d < Width; d *= 2) {
    const T other = shuffle_xor(value, d);
    value = threadIdx.x & d ? join(other, value) : join(value, other);
  }
  return value;
}

// Joins the values of all threads of a block of Threads; all threads get the result. `room` is
// shared memory for Threads / 32 values; the caller's next use of it needs a barrier before.
template <int Threads, class T, class Join>
__device__ __forceinline__ T join_block(T value, T* room, Join join) {
  value = join_lanes<kWarp>(value, join);
  if constexpr (Threads == kWarp) return value;
  if (threadIdx.x % kWarp == 0) room[threadIdx.x / kWarp] = value;
  __syncthreads();
  value = room[0];
  FASTNN_UNROLL
  for (int w = 1; w < Threads / kWarp; ++w) value = join(value, room[w]);
  return value;
}

// Width neighbouring threads, which work on one line: 1, a warp, or the whole block.
template <int Width, class T, class Join>
__device__ __forceinline__ T join_line(T value, T* room, Join join) {
  if constexpr (Width == 1)
    return value;
  else
    return join_block<Width>(value, room, join);
}

}  // namespace fastnn::cuda
