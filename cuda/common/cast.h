// Elements of any dtype, read as and written from the type that a kernel computes in.
#pragma once

#include "common/ptx.h"

namespace fastnn::cuda {

// Floats to integers: toward zero; NaN and what does not fit become INT64_MIN, as on x86.
template <class C>
__device__ __forceinline__ int64_t to_integer(C v) {
  if constexpr (C(0.5) == C(0)) {
    return v;
  } else {
    const bool fits = v >= C(-0x1p63) && v < C(0x1p63);
    return fits ? static_cast<int64_t>(v) : INT64_MIN;
  }
}

template <class C, class T>
__device__ __forceinline__ C convert(T v) {
  if constexpr (C(0.5) == C(0))
    return to_integer(v);
  else
    return static_cast<C>(v);
}

template <class C>
__device__ __forceinline__ C load_as(const void* data, DType dtype, int64_t at) {
  switch (dtype) {
    case DType::f32:
      return convert<C>(static_cast<const float*>(data)[at]);
    case DType::f64:
      return convert<C>(static_cast<const double*>(data)[at]);
    case DType::bf16:
      return convert<C>(widen(static_cast<const bf16*>(data)[at]));
    case DType::f16:
      return convert<C>(widen(static_cast<const f16*>(data)[at]));
    case DType::b8:
      return static_cast<C>(static_cast<const uint8_t*>(data)[at] != 0);
    case DType::u8:
      return static_cast<C>(static_cast<const uint8_t*>(data)[at]);
    case DType::i8:
      return static_cast<C>(static_cast<const int8_t*>(data)[at]);
    case DType::i16:
      return static_cast<C>(static_cast<const int16_t*>(data)[at]);
    case DType::i32:
      return static_cast<C>(static_cast<const int32_t*>(data)[at]);
    default:
      return static_cast<C>(static_cast<const int64_t*>(data)[at]);
  }
}

template <class C>
__device__ __forceinline__ void store_as(void* data, DType dtype, int64_t at, C v) {
  switch (dtype) {
    case DType::f32:
      static_cast<float*>(data)[at] = static_cast<float>(v);
      return;
    case DType::f64:
      static_cast<double*>(data)[at] = static_cast<double>(v);
      return;
    case DType::bf16:
      narrow(static_cast<float>(v), static_cast<bf16*>(data)[at]);
      return;
    case DType::f16:
      narrow(static_cast<float>(v), static_cast<f16*>(data)[at]);
      return;
    case DType::b8:
      static_cast<uint8_t*>(data)[at] = v != 0;
      return;
    case DType::u8:
    case DType::i8:
      static_cast<uint8_t*>(data)[at] = static_cast<uint8_t>(to_integer(v));
      return;
    case DType::i16:
      static_cast<uint16_t*>(data)[at] = static_cast<uint16_t>(to_integer(v));
      return;
    case DType::i32:
      static_cast<uint32_t*>(data)[at] = static_cast<uint32_t>(to_integer(v));
      return;
    default:
      static_cast<int64_t*>(data)[at] = to_integer(v);
  }
}

// A typed element, without a switch.
template <class C, class T>
__device__ __forceinline__ C widen_to(T v) {
  if constexpr (sizeof(T) == 2)
    return static_cast<C>(widen(v));
  else
    return static_cast<C>(v);
}
template <class T, class C>
__device__ __forceinline__ T narrow_to(C v) {
  if constexpr (sizeof(T) == 2) {
    T out;
    narrow(static_cast<float>(v), out);
    return out;
  } else {
    return static_cast<T>(v);
  }
}

}  // namespace fastnn::cuda
