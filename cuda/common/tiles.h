// How a product is cut into tiles, batches and parts along k, and what becomes of the sums: shared
// by the products on CUDA cores (tile_gemm.h) and on tensor cores (mma_gemm.h).
#pragma once

#include "common/cast.h"
#include "common/epilogue.h"
#include "common/fast_div.h"
#include "common/launch.h"
#include "fastnn/tensor_view.h"

namespace fastnn::cuda {

constexpr int kBatchAxes = kMaxDims;

// Products that differ in where their arrays start; strides in elements of each array.
struct Batch {
  int axes = 0;
  FastDiv shape[kBatchAxes];
  int64_t a[kBatchAxes], b[kBatchAxes], c[kBatchAxes], bias[kBatchAxes];
};

struct TileShape {
  uint32_t m, n, k;
  uint32_t splits, k_per_split;  // parts along k, each written to Epilogue::partial
};

// Where a block works: its tile, its part of k, and how far its batch shifts each array.
struct Place {
  uint32_t m0, n0, k_begin, k_end;
  int64_t shift_a = 0, shift_b = 0, shift_c = 0, shift_bias = 0;
  size_t part;  // of Epilogue::partial

  __device__ __forceinline__ Place(const TileShape& s, const Batch& batch, int tile) {
    uint32_t at = blockIdx.z / s.splits;
    const uint32_t split = blockIdx.z % s.splits, number = at;
    for (int d = 0; d < batch.axes; ++d) {
      const int64_t i = batch.shape[d].take(at);
      shift_a += i * batch.a[d];
      shift_b += i * batch.b[d];
      shift_c += i * batch.c[d];
      shift_bias += i * batch.bias[d];
    }
    m0 = blockIdx.y * tile;
    n0 = blockIdx.x * tile;
    k_begin = split * s.k_per_split;
    k_end = k_begin + s.k_per_split < s.k ? k_begin + s.k_per_split : s.k;
    part = (size_t{split} * (gridDim.z / s.splits) + number) * s.m * s.n;
  }
};

// What becomes of Rows x Columns sums that lie in shared memory, the first of them row m0:
// neighbouring threads take neighbouring columns. One copy of the epilogue's code, however many
// sums a thread has.
template <class C, int Threads, int Rows, int Columns, int Pitch>
__device__ __forceinline__ void store_sums(const C* sums, uint32_t m0, const Place& at,
                                           const TileShape& s, const Epilogue& out) {
  static_assert(Threads % Columns == 0);
  const uint32_t n = at.n0 + threadIdx.x % Columns;
  if (n >= s.n) return;
  const int64_t column = out.columns.offset(n) + at.shift_c;
  FASTNN_NO_UNROLL
  for (int row = threadIdx.x / Columns; row < Rows && m0 + row < s.m; row += Threads / Columns) {
    const uint32_t m = m0 + row;
    const C sum = sums[row * Pitch + threadIdx.x % Columns];
    if (out.partial)
      static_cast<C*>(out.partial)[at.part + size_t{m} * s.n + n] = sum;
    else
      out.template write<C>(sum, m, n, column, at.shift_bias);
  }
}

// Joins the parts of a split sum in their order.
template <class C>
__global__ void __launch_bounds__(256)
    join_splits(TileShape s, Batch batch, Epilogue out, uint32_t batches) {
  const size_t each = size_t{s.m} * s.n, all = each * batches;
  const size_t i = size_t{blockIdx.x} * 256 + threadIdx.x;
  if (i >= all) return;
  C sum = 0;
  for (uint32_t p = 0; p < s.splits; ++p) sum += static_cast<const C*>(out.partial)[p * all + i];
  auto at = static_cast<uint32_t>(i / each);
  int64_t shift_c = 0, shift_bias = 0;
  for (int d = 0; d < batch.axes; ++d) {
    const int64_t index = batch.shape[d].take(at);
    shift_c += index * batch.c[d];
    shift_bias += index * batch.bias[d];
  }
  const auto m = static_cast<uint32_t>(i % each / s.n), n = static_cast<uint32_t>(i % s.n);
  out.template write<C>(sum, m, n, out.columns.offset(n) + shift_c, shift_bias);
}

struct Cut {
  int tile;  // rows and columns of c that a block computes
  TileShape shape;
};

inline Launch tile_grid(const char* name, const Cut& cut, int64_t batches, int threads,
                        Stream stream) {
  return {name,
          stream,
          static_cast<unsigned>(ceil_div(cut.shape.n, cut.tile)),
          threads,
          0,
          static_cast<unsigned>(ceil_div(cut.shape.m, cut.tile)),
          static_cast<unsigned>(batches) * cut.shape.splits};
}

template <class C>
void launch_join(const TileShape& s, const Batch& batch, int64_t batches, const Epilogue& out,
                 Stream stream) {
  if (s.splits == 1) return;
  const int64_t all = int64_t{s.m} * s.n * batches;
  cuda::launch({"join_splits", stream, static_cast<unsigned>(ceil_div(all, 256))}, join_splits<C>,
               s, batch, out, static_cast<uint32_t>(batches));
}

// ---- The cut: by shape and dtype alone, so that the same product has the same bits ------------

// Large tiles where they are filled; doubles keep to the small ones. Few tiles are cut along k, so
// that they still fill the GPU.
inline Cut cut_product(int64_t m, int64_t n, int64_t k, int64_t batches, DType t) {
  const bool half = size_of(t) == 2;
  const int64_t large = ceil_div(m, 128) * ceil_div(n, 128) * (half ? batches : 1);
  const int tile = t != DType::f64 && m > 64 && n > 64 && large >= 64 ? 128 : 64;
  const int64_t tiles = ceil_div(m, tile) * ceil_div(n, tile) * batches, slice = half ? 32 : 8;
  int64_t splits = tiles > 0 ? 264 / tiles : 1;
  if (splits > k / 256) splits = k / 256;
  if (splits < 1) splits = 1;
  const int64_t per_split = k > 0 ? ceil_div(ceil_div(k, splits), slice) * slice : slice;
  splits = k > 0 ? ceil_div(k, per_split) : 1;
  return {tile,
          {static_cast<uint32_t>(m), static_cast<uint32_t>(n), static_cast<uint32_t>(k),
           static_cast<uint32_t>(splits), static_cast<uint32_t>(per_split)}};
}

// Scratch memory for the parts of a split sum.
inline size_t split_bytes(const TileShape& s, int64_t batches, DType t) {
  const size_t sum_bytes = t == DType::f64 ? sizeof(double) : sizeof(float);
  return s.splits > 1 ? size_t{s.splits} * static_cast<size_t>(batches) * s.m * s.n * sum_bytes : 0;
}

// Why one launch cannot take the product.
inline bool too_large(const Cut& c, int64_t m, int64_t n, int64_t k, int64_t batches) {
  const int64_t most = m > n ? (m > k ? m : k) : (n > k ? n : k);
  return most >= int64_t{1} << 30 || m > 65535 * int64_t{c.tile} ||
         batches * c.shape.splits > 65535;
}

}  // namespace fastnn::cuda
