// Matrix products on CUDA cores: c[m][n] = sum_k a[m][k] b[k][n], with operands that are looked up
// element by element (any strides, or an image read as its im2col matrix), and any place for c.
//
// A block computes a Tile x Tile part in slices of kSlice along k; slice t + 1 is on its way
// (cp.async for float32) while slice t is multiplied. Threads read 16 bytes of shared memory at
// once.
#pragma once

#include "common/dtypes.h"
#include "common/operands.h"
#include "common/tiles.h"

namespace fastnn::cuda {

constexpr int kTileThreads = 256, kSlice = 8;

template <class C, int Tile>
struct TileMemory {
  C a[2][kSlice][Tile + 4], b[2][kSlice][Tile + 4];
};

// Loads one slice of one operand: element e of this thread is (lane[e], k[e]).
template <class C, int Tile, class Operand>
struct SliceLoader {
  static constexpr int kCount = Tile * kSlice / kTileThreads;
  using T = typename Operand::Element;
  const Operand& operand;
  int64_t shift;  // of the batch, in elements
  uint32_t first, lanes;
  typename Operand::Row rows[kCount];

  __device__ __forceinline__ uint32_t lane(int e) const {
    return operand.k_fast ? threadIdx.x / kSlice + e * (kTileThreads / kSlice)
                          : (threadIdx.x + e * kTileThreads) % Tile;
  }
  __device__ __forceinline__ uint32_t slice_k(int e) const {
    return operand.k_fast ? threadIdx.x % kSlice : (threadIdx.x + e * kTileThreads) / Tile;
  }
  __device__ __forceinline__ SliceLoader(const Operand& o, int64_t shift_, uint32_t first_,
                                         uint32_t lanes_)
      : operand(o), shift(shift_), first(first_), lanes(lanes_) {
    FASTNN_UNROLL
    for (int e = 0; e < kCount; ++e) rows[e] = o.row(first + lane(e) < lanes ? first + lane(e) : 0);
  }
  __device__ __forceinline__ void load(C (&to)[kSlice][Tile + 4], uint32_t k0, uint32_t k_end) {
    FASTNN_UNROLL
    for (int e = 0; e < kCount; ++e) {
      const uint32_t k = k0 + slice_k(e);
      const bool inside = first + lane(e) < lanes && k < k_end;
      const T* p = inside ? operand.at(rows[e], k) : nullptr;
      C* target = &to[slice_k(e)][lane(e)];
      if constexpr (sizeof(T) == 4)
        cp_async<4>(target, p ? p + shift : operand.data, p ? 4 : 0);
      else
        *target = p ? widen_to<C>(p[shift]) : C(0);
    }
  }
};

// acc += the product of one slice; thread (x, y) has rows y * 4 .. and columns x * 4 .., repeated
// every Tile / Repeats.
template <class C, int Tile>
__device__ __forceinline__ void multiply_slice(const C (&a)[kSlice][Tile + 4],
                                               const C (&b)[kSlice][Tile + 4],
                                               C (&acc)[Tile / 16][Tile / 16]) {
  constexpr int N = Tile / 16;
  const int x = threadIdx.x % 16 * 4, y = threadIdx.x / 16 * 4;
  FASTNN_UNROLL
  for (int k = 0; k < kSlice; ++k) {
    C va[N], vb[N];
    FASTNN_UNROLL
    for (int i = 0; i < N; i += 4) {
      FASTNN_UNROLL
      for (int j = 0; j < 4; ++j) {
        va[i + j] = a[k][y + i * 16 + j];
        vb[i + j] = b[k][x + i * 16 + j];
      }
    }
    FASTNN_UNROLL
    for (int i = 0; i < N; ++i) FASTNN_UNROLL
    for (int j = 0; j < N; ++j) acc[i][j] += va[i] * vb[j];
  }
}

template <class C, int Tile, class A, class B>
__global__ void __launch_bounds__(kTileThreads, 1)
    tile_gemm(A a, B b, TileShape s, Batch batch, Epilogue out) {
  constexpr int N = Tile / 16;
  using Memory = TileMemory<C, Tile>;
  SHARED(Memory, memory, [1]);
  const Place at(s, batch, Tile);
  SliceLoader<C, Tile, A> load_a(a, at.shift_a, at.m0, s.m);
  SliceLoader<C, Tile, B> load_b(b, at.shift_b, at.n0, s.n);
  C acc[N][N] = {};
  int buffer = 0;
  if (at.k_begin < at.k_end) {
    load_a.load(memory[0].a[0], at.k_begin, at.k_end);
    load_b.load(memory[0].b[0], at.k_begin, at.k_end);
  }
  cp_async_commit();
  for (uint32_t k = at.k_begin; k < at.k_end; k += kSlice, buffer ^= 1) {
    cp_async_wait<0>();
    __syncthreads();  // the slice is there, and the other buffer is no longer read
    if (k + kSlice < at.k_end) {
      load_a.load(memory[0].a[buffer ^ 1], k + kSlice, at.k_end);
      load_b.load(memory[0].b[buffer ^ 1], k + kSlice, at.k_end);
    }
    cp_async_commit();
    multiply_slice<C, Tile>(memory[0].a[buffer], memory[0].b[buffer], acc);
  }
  // Thread (x, y) has rows y * 4 .., and the same of each further 64; 32 rows at a time go out.
  C* sums = reinterpret_cast<C*>(memory);
  static_assert(sizeof memory == 32 * (Tile + 4) * sizeof(C));
  const int x = threadIdx.x % 16 * 4, y = threadIdx.x / 16 * 4;
  FASTNN_UNROLL
  for (int first = 0; first < Tile; first += 32) {
    __syncthreads();
    if (y / 32 == first / 32 % 2) {
      FASTNN_UNROLL
      for (int i = 0; i < 4; ++i) FASTNN_UNROLL
      for (int j = 0; j < N; ++j)
        sums[(y % 32 + i) * (Tile + 4) + x + j / 4 * 64 + j % 4] = acc[first / 64 * 4 + i][j];
    }
    __syncthreads();
    store_sums<C, kTileThreads, 32, Tile, Tile + 4>(sums, at.m0 + first, at, s, out);
  }
}

template <class A, class B>
void launch_tile_gemm(const char* name, const A& a, const B& b, const Cut& cut, const Batch& batch,
                      int64_t batches, Epilogue out, void* workspace, Stream stream) {
  using C = Wide<typename A::Element>;
  const TileShape& s = cut.shape;
  out.partial = s.splits > 1 ? workspace : nullptr;
  const Launch l = tile_grid(name, cut, batches, kTileThreads, stream);
  if constexpr (sizeof(C) == 4) {
    if (cut.tile == 128)
      cuda::launch(l, tile_gemm<C, 128, A, B>, a, b, s, batch, out);
    else
      cuda::launch(l, tile_gemm<C, 64, A, B>, a, b, s, batch, out);
  } else {
    cuda::launch(l, tile_gemm<C, 64, A, B>, a, b, s, batch, out);
  }
  launch_join<C>(s, batch, batches, out, stream);
}

}  // namespace fastnn::cuda
