// Operands of tensor core products in shared memory: how they are loaded, and read as fragments.
//
// A slice of an operand is Lanes x kMmaSlice elements (lanes are rows of a, columns of b), kept as
// the array has it: rows along k (KFast), or rows along the lanes. Rows are chunks of 16 bytes,
// whose places are exchanged from row to row, so that the eight rows that ldmatrix reads at once
// lie in eight different groups of banks.
#pragma once

#include "common/operands.h"
#include "common/ptx.h"

namespace fastnn::cuda {

constexpr int kMmaSlice = 32, kChunk = 8;  // elements

template <class T, int Lanes, bool KFast>
struct MmaTile {
  static constexpr int kAcross = (KFast ? kMmaSlice : Lanes) / kChunk;

  static __device__ __forceinline__ T* chunk(T* tile, int row, int c) {
    const int place = KFast ? c ^ (row / 2 & 3) : c ^ (row & 7);
    return tile + (row * kAcross + place) * kChunk;
  }
  // 16 lanes by 16 k, as ldmatrix gives them: r[0] lanes 0-7 and k 0-7, r[1] lanes 8-15, r[2] and
  // r[3] the same for k 8-15. That is operand a of an mma, or two operands b: r[0], r[2] and r[1],
  // r[3].
  static __device__ __forceinline__ void fragment(uint32_t (&r)[4], T* tile, int lane0, int k0) {
    const int i = threadIdx.x % kWarp, row = i % 8, lane_half = i / 8 % 2, k_half = i / 16;
    if constexpr (KFast)
      ldmatrix_x4(r, chunk(tile, lane0 + 8 * lane_half + row, k0 / kChunk + k_half));
    else
      ldmatrix_x4_trans(r, chunk(tile, k0 + 8 * k_half + row, lane0 / kChunk + lane_half));
  }
};

// ---- A matrix with strides. The axis with chunks is k (KFast) or the lanes --------------------

template <class T, bool KFast_>
struct DenseChunks {
  using Element = T;
  static constexpr bool KFast = KFast_;
  const T* data;
  int64_t lane_stride, k_stride;
  bool whole;  // chunks are aligned and without gaps: copied by cp.async

  template <int Lanes, int Threads>
  struct Loader {
    using Tile = MmaTile<T, Lanes, KFast>;
    static constexpr int kCount = Lanes * kMmaSlice / kChunk / Threads;
    const DenseChunks& operand;
    const T* start;  // of this block's lanes
    uint32_t lanes;  // left from there

    __device__ __forceinline__ Loader(const DenseChunks& o, int64_t shift, uint32_t first,
                                      uint32_t all)
        : operand(o), start(o.data + shift + first * o.lane_stride), lanes(all - first) {}

    __device__ __forceinline__ void load(T* tile, uint32_t k0, uint32_t k_end) const {
      const uint32_t ks = k_end - k0;
      FASTNN_UNROLL
      for (int e = 0; e < kCount; ++e) {
        const uint32_t i = threadIdx.x + e * Threads, row = i / Tile::kAcross,
                       c = i % Tile::kAcross, at = c * kChunk;
        const uint32_t lane = KFast ? row : at, k = KFast ? at : row;
        const uint32_t left = lane >= lanes || k >= ks ? 0 : KFast ? ks - k : lanes - lane;
        const int count = left < kChunk ? static_cast<int>(left) : kChunk;
        const T* from = start + lane * operand.lane_stride + (k0 + k) * operand.k_stride;
        copy(Tile::chunk(tile, row, c), count ? from : operand.data, count);
      }
    }
    __device__ __forceinline__ void copy(T* to, const T* from, int count) const {
      if (operand.whole) return cp_async<16>(to, from, count * static_cast<int>(sizeof(T)));
      const int64_t stride = KFast ? operand.k_stride : operand.lane_stride;
      Pack<T, kChunk> pack;
      FASTNN_UNROLL
      for (int j = 0; j < kChunk; ++j) pack.v[j] = j < count ? from[j * stride] : T{};
      store_pack(to, pack);
    }
  };
};

// ---- Anything that is looked up element by element (operands.h) -------------------------------

template <class Operand>
struct GatheredChunks {
  using Element = typename Operand::Element;
  static constexpr bool KFast = true;
  Operand operand;

  template <int Lanes, int Threads>
  struct Loader {
    using T = Element;
    using Tile = MmaTile<T, Lanes, true>;
    static constexpr int kCount = Lanes * kMmaSlice / kChunk / Threads;
    const Operand& operand;
    int64_t shift;
    uint32_t lanes;
    typename Operand::Row rows[kCount];

    __device__ __forceinline__ uint32_t lane(int e) const {
      const uint32_t i = threadIdx.x + e * Threads;
      return operand.k_fast ? i / Tile::kAcross : i % Lanes;
    }
    __device__ __forceinline__ uint32_t chunk(int e) const {
      const uint32_t i = threadIdx.x + e * Threads;
      return operand.k_fast ? i % Tile::kAcross : i / Lanes;
    }
    __device__ __forceinline__ Loader(const GatheredChunks& o, int64_t shift_, uint32_t first,
                                      uint32_t all)
        : operand(o.operand), shift(shift_), lanes(all - first) {
      FASTNN_UNROLL
      for (int e = 0; e < kCount; ++e) rows[e] = operand.row(lane(e) < lanes ? first + lane(e) : 0);
    }
    __device__ __forceinline__ void load(T* tile, uint32_t k0, uint32_t k_end) const {
      FASTNN_UNROLL
      for (int e = 0; e < kCount; ++e) {
        const uint32_t k = k0 + chunk(e) * kChunk;
        Pack<T, kChunk> pack;
        FASTNN_UNROLL
        for (int j = 0; j < kChunk; ++j) {
          const bool inside = lane(e) < lanes && k + j < k_end;
          const T* p = inside ? operand.at(rows[e], k + j) : nullptr;
          pack.v[j] = p ? p[shift] : T{};
        }
        store_pack(Tile::chunk(tile, lane(e), chunk(e)), pack);
      }
    }
  };
};

}  // namespace fastnn::cuda
