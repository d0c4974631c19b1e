// Matrix products of bfloat16 and float16 on tensor cores: mma.sync m16n8k16 with float32 sums, for
// sm_80 and up. c[m][n] = sum_k a[m][k] b[k][n].
//
// A block computes Tile x Tile sums in slices of kMmaSlice along k. kStages slices have room in
// shared memory: while one is multiplied the next are on their way. What lies outside of the
// matrices is loaded as zeros, so ragged sizes take the same path.
#pragma once

#include "common/mma_tile.h"
#include "common/tiles.h"

namespace fastnn::cuda {

constexpr int kStages = 3;

template <int Tile>
struct MmaShape {
  static constexpr int kThreads = Tile == 128 ? 256 : 128;
  static constexpr int kRows = Tile == 128 ? 64 : 32, kColumns = 32;  // of a warp
  static constexpr int kWarpsAcross = Tile / kColumns;
};

// sums += one slice; this warp's rows start at row, its columns at column.
template <class T, class TileA, class TileB, int M, int N>
__device__ __forceinline__ void multiply_mma_slice(T* a, T* b, int row, int column,
                                                   float (&sums)[M][N][4]) {
  FASTNN_UNROLL
  for (int k = 0; k < kMmaSlice; k += 16) {
    uint32_t fa[M][4], fb[N / 2][4];
    FASTNN_UNROLL
    for (int i = 0; i < M; ++i) TileA::fragment(fa[i], a, row + 16 * i, k);
    FASTNN_UNROLL
    for (int j = 0; j < N / 2; ++j) TileB::fragment(fb[j], b, column + 16 * j, k);
    FASTNN_UNROLL
    for (int i = 0; i < M; ++i) FASTNN_UNROLL
    for (int j = 0; j < N; ++j)
      mma_m16n8k16<T>(sums[i][j], fa[i], fb[j / 2][j % 2], fb[j / 2][j % 2 + 2]);
  }
}

// Columns 2 (lane % 4) and the next of rows lane / 4 and 8 further of each m16n8 tile. The pitch of
// Tile + 8 floats spreads a half warp's pairs over all banks.
template <int Tile, int M, int N>
__device__ __forceinline__ void stage_sums(float* to, int row, int column,
                                           const float (&sums)[M][N][4]) {
  const int lane = threadIdx.x % kWarp;
  FASTNN_UNROLL
  for (int i = 0; i < M; ++i) FASTNN_UNROLL
  for (int j = 0; j < N; ++j) FASTNN_UNROLL
  for (int half = 0; half < 2; ++half) {
    const int r = row + 16 * i + 8 * half + lane / 4, c = column + 8 * j + lane % 4 * 2;
    const float* pair = &sums[i][j][2 * half];
    store_pack(to + r * (Tile + 8) + c, Pack<float, 2>{{pair[0], pair[1]}});
  }
}

template <int Tile, class A, class B>
__global__ void __launch_bounds__(MmaShape<Tile>::kThreads, 2)
    mma_gemm(A a, B b, TileShape s, Batch batch, Epilogue out) {
  using T = typename A::Element;
  using Shape = MmaShape<Tile>;
  constexpr int M = Shape::kRows / 16, N = Shape::kColumns / 8, kPart = Tile * kMmaSlice;
  SHARED(T, memory, [kStages][2][kPart]);
  const Place at(s, batch, Tile);
  const typename A::template Loader<Tile, Shape::kThreads> load_a(a, at.shift_a, at.m0, s.m);
  const typename B::template Loader<Tile, Shape::kThreads> load_b(b, at.shift_b, at.n0, s.n);
  const auto load = [&](uint32_t k, int stage) {
    if (k < at.k_end) {
      load_a.load(memory[stage][0], k, at.k_end);
      load_b.load(memory[stage][1], k, at.k_end);
    }
    cp_async_commit();  // of nothing at the end: waits count groups
  };
  const int warp = threadIdx.x / kWarp, row = warp / Shape::kWarpsAcross * Shape::kRows,
            column = warp % Shape::kWarpsAcross * Shape::kColumns;
  float sums[M][N][4] = {};
  for (int i = 0; i < kStages - 1; ++i) load(at.k_begin + i * kMmaSlice, i);
  int stage = 0, free = kStages - 1;
  FASTNN_NO_UNROLL
  for (uint32_t k = at.k_begin; k < at.k_end; k += kMmaSlice) {
    cp_async_wait<kStages - 2>();
    __syncthreads();  // this slice is there for all warps, and the one before no longer read
    load(k + (kStages - 1) * kMmaSlice, free);
    multiply_mma_slice<T, MmaTile<T, Tile, A::KFast>, MmaTile<T, Tile, B::KFast>>(
        memory[stage][0], memory[stage][1], row, column, sums);
    free = stage;
    stage = stage + 1 < kStages ? stage + 1 : 0;
  }
  cp_async_wait<0>();
  float* staged = reinterpret_cast<float*>(memory);
  static_assert(sizeof memory >= 64 * (Tile + 8) * sizeof(float));
  FASTNN_UNROLL
  for (int first = 0; first < Tile; first += 64) {
    __syncthreads();
    if (row / 64 == first / 64) stage_sums<Tile>(staged, row % 64, column, sums);
    __syncthreads();
    store_sums<float, Shape::kThreads, 64, Tile, Tile + 8>(staged, at.m0 + first, at, s, out);
  }
}

template <class A, class B>
void launch_mma_gemm(const char* name, const A& a, const B& b, const Cut& cut, const Batch& batch,
                     int64_t batches, Epilogue out, void* workspace, Stream stream) {
  const TileShape& s = cut.shape;
  out.partial = s.splits > 1 ? workspace : nullptr;
  const int threads = cut.tile == 128 ? MmaShape<128>::kThreads : MmaShape<64>::kThreads;
  cuda::launch(tile_grid(name, cut, batches, threads, stream),
               cut.tile == 128 ? mma_gemm<128, A, B> : mma_gemm<64, A, B>, a, b, s, batch, out);
  launch_join<float>(s, batch, batches, out, stream);
}

}  // namespace fastnn::cuda
