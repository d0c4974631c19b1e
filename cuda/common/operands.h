// What a product reads: element (lane, k) of a matrix that is looked up, whatever lies behind it.
// row(lane) once, then at(row, k), which is null where the element is 0.
#pragma once

#include "common/epilogue.h"
#include "common/fast_div.h"

namespace fastnn::cuda {

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

}  // namespace fastnn::cuda
