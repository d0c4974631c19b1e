// Small kernels that use, or misuse, one thing each.
#pragma once

#include "common/ptx.h"

namespace fastnn::cuda {

inline void half_at_barrier(float* out) {
  if (threadIdx.x < 32) __syncthreads();
  out[0] = 1;
}
inline void all_at_barrier(float*) {
  for (int i = 0; i < 3; ++i) __syncthreads();
  named_barrier(1 + static_cast<int>(threadIdx.x / 32), 32);
}
inline void diverged_shuffle(float* out) {
  float v = 1;
  if (threadIdx.x % 2) v = __shfl_xor_sync(kFullMask, v, 2);
  out[threadIdx.x] = v;
}
inline void mixed_collectives(float* out) {
  float v = 1;
  if (threadIdx.x % 2)
    v = __shfl_xor_sync(kFullMask, v, 2);
  else
    __syncwarp();
  out[threadIdx.x] = v;
}
inline void outside_mask(float* out) { out[0] = __shfl_sync(0xffffu, 1.0f, 0); }
inline void misaligned_copy(float* out) {
  SHARED(float, tile, [64]);
  cp_async<16>(tile + 1, out);
}
inline void copy_out_of_bounds(float* out) {
  SHARED(float, tile, [64]);
  cp_async<16>(tile + 64, out);
}
inline void barrier_counts(float*) { named_barrier(1, threadIdx.x < 32 ? 32 * 2 : 32 * 3); }
inline void no_dynamic_memory(float* out) { out[0] = dynamic_shared<float>()[0]; }
inline void too_much_static(float* out) {
  SHARED(float, tile, [13000]);
  out[0] = tile[0];
}

inline void copy_groups(const float* source, float* out) {
  SHARED(float, tile, [32]);
  const unsigned i = threadIdx.x;
  if (i < 8) cp_async<16>(tile + 4 * i, source + 4 * i, 12);
  cp_async_commit();
  __syncthreads();
  out[i] = tile[i];
  __syncthreads();
  cp_async_wait<0>();
  __syncthreads();
  out[32 + i] = tile[i];
}

inline void store_value(float* out, float value) {
  if (threadIdx.x == 0) *out = value;
}

inline void warp_sums(int* count) {
  int v = static_cast<int>(threadIdx.x % 32);
  for (int d = 16; d > 0; d /= 2) v += __shfl_xor_sync(kFullMask, v, d);
  const bool all = __all_sync(kFullMask, true) && !__any_sync(kFullMask, false) &&
                   __ballot_sync(kFullMask, threadIdx.x % 32 < 4) == 15;
  if (threadIdx.x % 32 == 0 && all) atomicAdd(count, v);
}

// D = A B through ldmatrix, A row-major 16x16, B row-major 16x8.
template <class T>
void mma_probe(const float* a, const float* b, float* d) {
  SHARED(T, ta, [16][16]);
  SHARED(T, tb, [16][8]);
  const int lane = static_cast<int>(threadIdx.x);
  for (int i = lane; i < 256; i += 32) narrow(a[i], ta[i / 16][i % 16]);
  for (int i = lane; i < 128; i += 32) narrow(b[i], tb[i / 8][i % 8]);
  __syncwarp();
  uint32_t fa[4], fb[4];
  ldmatrix_x4(fa, &ta[lane % 16][lane / 16 * 8]);
  ldmatrix_x4_trans(fb, &tb[lane % 16][0]);
  float acc[4] = {};
  mma_m16n8k16<T>(acc, fa, fb[0], fb[1]);
  for (int e = 0; e < 4; ++e) d[(lane / 4 + 8 * (e / 2)) * 8 + lane % 4 * 2 + e % 2] = acc[e];
}

// A 16x8, B 8x8, straight from memory.
inline void mma_tf32_probe(const float* a, const float* b, float* d) {
  const int lane = static_cast<int>(threadIdx.x), g = lane / 4, t = lane % 4;
  const uint32_t fa[4] = {to_tf32(a[g * 8 + t]), to_tf32(a[(g + 8) * 8 + t]),
                          to_tf32(a[g * 8 + t + 4]), to_tf32(a[(g + 8) * 8 + t + 4])};
  float acc[4] = {};
  mma_m16n8k8_tf32(acc, fa, to_tf32(b[t * 8 + g]), to_tf32(b[(t + 4) * 8 + g]));
  for (int e = 0; e < 4; ++e) d[(g + 8 * (e / 2)) * 8 + 2 * t + e % 2] = acc[e];
}

}  // namespace fastnn::cuda
