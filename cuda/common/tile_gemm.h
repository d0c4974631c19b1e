// Matrix products on CUDA cores: c[m][n] = sum_k a[m][k] b[k][n], with operands that are looked up
// element by element (any strides, or an image read as its im2col matrix), and any place for c.
//
// A block computes a Tile x Tile part in slices of kSlice along k; slice t + 1 is on its way
// (cp.async for float32) while slice t is multiplied. Threads read 16 bytes of shared memory at
// once.
#pragma once

#include "common/cast.h"
#include "common/dtypes.h"
#include "common/epilogue.h"
#include "common/fast_div.h"
#include "common/launch.h"
#include "fastnn/tensor_view.h"

namespace fastnn::cuda {

// ---- Operands: row(lane) once, then at(row, k), null where the element is 0
// ------------------------

template <class T>
struct DenseOperand {
  using Element = T;
  const T* data;
  int64_t lane_stride, k_stride;
  bool k_fast;  // neighbouring threads read neighbours along k

  using Row = const T*;
  __device__ __forceinline__ Row row(uint32_t lane) const { return data + lane * lane_stride; }
  __device__ __forceinline__ const T* at(Row r, uint32_t k) const { return r + k * k_stride; }
};

template <class T>
struct DigitOperand {
  using Element = T;
  const T* data;
  int64_t lane_stride;
  Digits k_digits;
  bool k_fast;

  using Row = const T*;
  __device__ __forceinline__ Row row(uint32_t lane) const { return data + lane * lane_stride; }
  __device__ __forceinline__ const T* at(Row r, uint32_t k) const { return r + k_digits.offset(k); }
};

// Pixels (n, p0, p1, p2) by taps (c, t0, t1, t2) of an image; lanes are one of them, k the other.
struct ImageMap {
  FastDiv out[3], taps[3];
  int origin[3], step[3], tap_step[3], size[3];
  int64_t stride_n, stride_c, stride[3];
};

template <class T, bool LaneIsPixel>
struct ImageOperand {
  using Element = T;
  const T* data;
  ImageMap map;
  bool k_fast;

  struct Row {
    int64_t at;
    int q[3];
  };
  __device__ __forceinline__ Row pixel(uint32_t i) const {
    Row r;
    for (int a = 2; a >= 0; --a)
      r.q[a] = map.origin[a] + static_cast<int>(map.out[a].take(i)) * map.step[a];
    r.at = i * map.stride_n;
    return r;
  }
  __device__ __forceinline__ Row tap(uint32_t i) const {
    Row r;
    for (int a = 2; a >= 0; --a) r.q[a] = static_cast<int>(map.taps[a].take(i)) * map.tap_step[a];
    r.at = i * map.stride_c;
    return r;
  }
  __device__ __forceinline__ Row row(uint32_t lane) const {
    return LaneIsPixel ? pixel(lane) : tap(lane);
  }
  __device__ __forceinline__ const T* at(const Row& r, uint32_t k) const {
    const Row other = LaneIsPixel ? tap(k) : pixel(k);
    int64_t at = r.at + other.at;
    FASTNN_UNROLL
    for (int a = 0; a < 3; ++a) {
      const int q = r.q[a] + other.q[a];
      if (q < 0 || q >= map.size[a]) return nullptr;
      at += q * map.stride[a];
    }
    return data + at;
  }
};

// ---- The kernel -------------------------------------------------------------------------------

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
  uint32_t at = blockIdx.z / s.splits;
  const uint32_t split = blockIdx.z % s.splits, number = at;
  int64_t shift_a = 0, shift_b = 0, shift_c = 0, shift_bias = 0;
  for (int d = 0; d < batch.axes; ++d) {
    const int64_t i = batch.shape[d].take(at);
    shift_a += i * batch.a[d];
    shift_b += i * batch.b[d];
    shift_c += i * batch.c[d];
    shift_bias += i * batch.bias[d];
  }
  const uint32_t m0 = blockIdx.y * Tile, n0 = blockIdx.x * Tile;
  const uint32_t k_begin = split * s.k_per_split;
  const uint32_t k_end = k_begin + s.k_per_split < s.k ? k_begin + s.k_per_split : s.k;
  SliceLoader<C, Tile, A> load_a(a, shift_a, m0, s.m);
  SliceLoader<C, Tile, B> load_b(b, shift_b, n0, s.n);
  C acc[N][N] = {};
  int buffer = 0;
  if (k_begin < k_end) {
    load_a.load(memory[0].a[0], k_begin, k_end);
    load_b.load(memory[0].b[0], k_begin, k_end);
  }
  cp_async_commit();
  for (uint32_t k = k_begin; k < k_end; k += kSlice, buffer ^= 1) {
    cp_async_wait<0>();
    __syncthreads();  // the slice is there, and the other buffer is no longer read
    if (k + kSlice < k_end) {
      load_a.load(memory[0].a[buffer ^ 1], k + kSlice, k_end);
      load_b.load(memory[0].b[buffer ^ 1], k + kSlice, k_end);
    }
    cp_async_commit();
    multiply_slice<C, Tile>(memory[0].a[buffer], memory[0].b[buffer], acc);
  }
  const uint32_t x = n0 + threadIdx.x % 16 * 4, y = m0 + threadIdx.x / 16 * 4;
  const size_t part = (size_t{split} * (gridDim.z / s.splits) + number) * s.m * s.n;
  FASTNN_UNROLL
  for (int j = 0; j < N; ++j) {
    const uint32_t n = x + j / 4 * 64 + j % 4;
    if (n >= s.n) continue;
    const int64_t column = out.columns.offset(n) + shift_c;
    FASTNN_UNROLL
    for (int i = 0; i < N; ++i) {
      const uint32_t m = y + i / 4 * 64 + i % 4;
      if (m >= s.m) continue;
      if (out.partial)
        static_cast<C*>(out.partial)[part + size_t{m} * s.n + n] = acc[i][j];
      else
        out.template write<C>(acc[i][j], m, n, column, shift_bias);
    }
  }
}

// Joins the parts of a split sum in their order.
template <class C>
__global__ void __launch_bounds__(kTileThreads)
    join_splits(TileShape s, Batch batch, Epilogue out, uint32_t batches) {
  const size_t each = size_t{s.m} * s.n, all = each * batches;
  const size_t i = size_t{blockIdx.x} * kTileThreads + threadIdx.x;
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

// ---- Launching --------------------------------------------------------------------------------

// How many parts to cut k into, so that a product of few tiles still fills the GPU: by shape alone.
inline TileShape tile_shape(int64_t m, int64_t n, int64_t k, int64_t batches, int tile) {
  const int64_t tiles = ceil_div(m, tile) * ceil_div(n, tile) * batches;
  int64_t splits = tiles > 0 ? 264 / tiles : 1;
  if (splits > k / 256) splits = k / 256;
  if (splits < 1) splits = 1;
  const int64_t per_split = ceil_div(ceil_div(k, splits), kSlice) * kSlice;
  splits = k > 0 ? ceil_div(k, per_split) : 1;
  return {static_cast<uint32_t>(m), static_cast<uint32_t>(n), static_cast<uint32_t>(k),
          static_cast<uint32_t>(splits), static_cast<uint32_t>(per_split ? per_split : kSlice)};
}

// Large tiles where they are filled; doubles and 16-bit types keep to the small ones.
inline int tile_size(int64_t m, int64_t n, DType t) {
  return t == DType::f32 && m > 64 && n > 64 && ceil_div(m, 128) * ceil_div(n, 128) >= 64 ? 128
                                                                                          : 64;
}

template <class C>
size_t split_bytes(const TileShape& s, int64_t batches) {
  return s.splits > 1 ? size_t{s.splits} * static_cast<size_t>(batches) * s.m * s.n * sizeof(C) : 0;
}

template <class A, class B>
void launch_tiles(const char* name, const A& a, const B& b, const TileShape& s, const Batch& batch,
                  int64_t batches, Epilogue out, int tile, void* workspace, Stream stream) {
  using C = Wide<typename A::Element>;
  out.partial = s.splits > 1 ? workspace : nullptr;
  const Launch l{name,
                 stream,
                 static_cast<unsigned>(ceil_div(s.n, tile)),
                 kTileThreads,
                 0,
                 static_cast<unsigned>(ceil_div(s.m, tile)),
                 static_cast<unsigned>(batches) * s.splits};
  if constexpr (sizeof(typename A::Element) == 4) {
    if (tile == 128)
      cuda::launch(l, tile_gemm<C, 128, A, B>, a, b, s, batch, out);
    else
      cuda::launch(l, tile_gemm<C, 64, A, B>, a, b, s, batch, out);
  } else {
    cuda::launch(l, tile_gemm<C, 64, A, B>, a, b, s, batch, out);
  }
  if (s.splits > 1) {
    const int64_t all = int64_t{s.m} * s.n * batches;
    cuda::launch({"join_splits", stream, static_cast<unsigned>(ceil_div(all, kTileThreads))},
                 join_splits<C>, s, batch, out, static_cast<uint32_t>(batches));
  }
}

}  // namespace fastnn::cuda
