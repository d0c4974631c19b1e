// Blocks of a strided view, widened to the type a kernel computes in: for layouts and dtypes that a
// kernel does not read directly. Elements are numbered in row-major order of the view's shape,
// whatever the strides.
#pragma once

#include <cmath>
#include <limits>

#include "fastnn/tensor_view.h"

namespace fastnn {

constexpr int64_t kStridedBlock = 512;

// IEEE half to and from float, to nearest even; for blocks outside of the vector kernels.
inline float half_to_float(uint16_t h) {
  const uint32_t sign = static_cast<uint32_t>(h & 0x8000u) << 16, exponent = (h >> 10) & 31u,
                 mantissa = h & 1023u;
  if (exponent == 0) {
    const float tiny = std::ldexp(static_cast<float>(mantissa), -24);
    return sign ? -tiny : tiny;
  }
  const uint32_t bits =
      sign | (exponent == 31 ? 0x7f800000u : (exponent + 112) << 23) | (mantissa << 13);
  float f;
  memcpy(&f, &bits, sizeof f);
  return f;
}

inline uint16_t float_to_half(float f) {
  uint32_t bits;
  memcpy(&bits, &f, sizeof bits);
  const auto sign = static_cast<uint16_t>((bits >> 16) & 0x8000u);
  const float magnitude = std::fabs(f);
  if (f != f) return static_cast<uint16_t>(sign | 0x7e00u);
  if (magnitude >= 65520.0f) return static_cast<uint16_t>(sign | 0x7c00u);
  if (magnitude < 0x1p-14f)  // subnormal, or rounds up to the least normal number
    return static_cast<uint16_t>(sign | static_cast<uint16_t>(std::lrint(magnitude * 0x1p24f)));
  bits &= 0x7fffffffu;
  bits += 0xfffu + ((bits >> 13) & 1u);
  return static_cast<uint16_t>(sign | ((bits - (112u << 23)) >> 13));
}

// Walks the offsets of elements begin, begin + 1, ...
class Walk {
 public:
  Walk(const TensorView& v, int64_t begin) : v_(v) {
    for (int d = v.ndim - 1; d >= 0; --d) {
      index_[d] = begin % v.shape[d];
      begin /= v.shape[d];
      offset_ += index_[d] * v.stride[d];
    }
  }
  int64_t offset() const { return offset_; }
  void next() {
    for (int d = v_.ndim - 1; d >= 0; --d) {
      offset_ += v_.stride[d];
      if (++index_[d] < v_.shape[d]) return;
      offset_ -= v_.shape[d] * v_.stride[d];
      index_[d] = 0;
    }
  }

 private:
  const TensorView& v_;
  int64_t index_[kMaxDims];
  int64_t offset_ = 0;
};

// Elements [begin, begin + n) of a floating-point view into `out`.
template <class T>
void gather_block(const TensorView& v, int64_t begin, int64_t n, T* out) {
  Walk at(v, begin);
  for (int64_t i = 0; i < n; ++i, at.next()) {
    const int64_t o = at.offset();
    switch (v.dtype) {
      case DType::f32:
        out[i] = static_cast<T>(v.ptr<const float>()[o]);
        break;
      case DType::f64:
        out[i] = static_cast<T>(v.ptr<const double>()[o]);
        break;
      case DType::bf16:
        out[i] = static_cast<T>(to_float(v.ptr<const bf16>()[o]));
        break;
      default:
        out[i] = static_cast<T>(half_to_float(v.ptr<const uint16_t>()[o]));
    }
  }
}

template <class T>
void scatter_block(const TensorView& v, int64_t begin, int64_t n, const T* in) {
  Walk at(v, begin);
  for (int64_t i = 0; i < n; ++i, at.next()) {
    const int64_t o = at.offset();
    switch (v.dtype) {
      case DType::f32:
        v.ptr<float>()[o] = static_cast<float>(in[i]);
        break;
      case DType::f64:
        v.ptr<double>()[o] = static_cast<double>(in[i]);
        break;
      case DType::bf16:
        v.ptr<bf16>()[o] = to_bf16(static_cast<float>(in[i]));
        break;
      default:
        v.ptr<uint16_t>()[o] = float_to_half(static_cast<float>(in[i]));
    }
  }
}

// Same shape, same strides, no holes and no repeats: element i of one is element i of the other in
// memory order.
inline bool same_dense_layout(const TensorView& a, const TensorView& b) {
  for (int d = 0; d < a.ndim; ++d)
    if (a.shape[d] != 1 && a.stride[d] != b.stride[d]) return false;
  return true;
}

inline bool same_shape(const TensorView& a, const TensorView& b) {
  if (a.ndim != b.ndim) return false;
  for (int d = 0; d < a.ndim; ++d)
    if (a.shape[d] != b.shape[d]) return false;
  return true;
}

// The strides are those of a row-major array with its axes in some order.
inline bool dense(const TensorView& v) {
  if (v.contiguous()) return true;
  bool used[kMaxDims] = {};
  int64_t expected = 1;
  for (int left = v.ndim; left > 0; --left) {
    int next = -1;
    for (int d = v.ndim - 1; d >= 0; --d)
      if (!used[d] && (v.shape[d] == 1 || v.stride[d] == expected)) next = d;
    if (next < 0) return false;
    used[next] = true;
    expected *= v.shape[next];
  }
  return true;
}

}  // namespace fastnn
