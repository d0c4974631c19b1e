// Images (N, C, D, H, W) in any memory order and floating type, for ops that work plane by plane: a
// plane is used where it lies when its rows are contiguous values of type T, and is packed
// otherwise.
#pragma once

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "fastnn/float16.h"
#include "fastnn/tensor_view.h"

namespace fastnn {

// (N, C, spatial...) as five axes; spatial axes that are missing have size 1.
struct Image {
  char* data;
  DType dtype;
  int64_t n, c, d, h, w;
  int64_t stride_n, stride_c, stride_d, stride_h, stride_w;  // in elements
  bool even_planes;                                          // at multiples of stride_c

  Image(const TensorView& v, int dims)
      : data(v.ptr<char>()), dtype(v.dtype), n(v.shape[0]), c(v.shape[1]) {
    int64_t size[3] = {1, 1, 1}, stride[3] = {0, 0, 0};
    for (int i = 0; i < dims; ++i) {
      size[3 - dims + i] = v.shape[2 + i];
      stride[3 - dims + i] = v.stride[2 + i];
    }
    d = size[0], h = size[1], w = size[2];
    stride_n = v.stride[0], stride_c = v.stride[1];
    even_planes = n == 1 || stride_n == c * stride_c;
    stride_d = stride[0], stride_h = stride[1], stride_w = stride[2];
  }

  int64_t planes() const { return n * c; }
  int64_t plane_size() const { return d * h * w; }
  int64_t offset(int64_t plane) const {
    if (even_planes) return plane * stride_c;  // no division
    return plane / c * stride_n + plane % c * stride_c;
  }

  int64_t at(int64_t plane, int64_t id, int64_t ih, int64_t iw) const {
    return offset(plane) + id * stride_d + ih * stride_h + iw * stride_w;
  }

  // f(d, h, w) for every position of a plane, row by row.
  template <class F>
  void for_positions(F f) const {
    for (int64_t id = 0; id < d; ++id)
      for (int64_t ih = 0; ih < h; ++ih)
        for (int64_t iw = 0; iw < w; ++iw) f(id, ih, iw);
  }

  template <class T>
  bool holds() const {
    if constexpr (std::is_same_v<T, uint8_t>) return dtype == DType::u8;
    return dtype == (sizeof(T) == 4 ? DType::f32 : DType::f64);
  }
  template <class T>
  bool rows_direct() const {
    return holds<T>() && (stride_w == 1 || w == 1);
  }
  // The elements of each plane lie in one run.
  bool dense_planes() const {
    return (w == 1 || stride_w == 1) && (h == 1 || stride_h == w) && (d == 1 || stride_d == h * w);
  }
  // Each plane begins where the one before it ends.
  bool stacked() const {
    return (c == 1 || stride_c == plane_size()) && (n == 1 || stride_n == c * plane_size());
  }
  template <class T>
  bool channels_direct() const {
    return holds<T>() && stride_c == 1;
  }
};

// One plane whose rows are contiguous.
template <class T>
struct Plane {
  T* data;
  int64_t stride_d, stride_h;
  T* row(int64_t d, int64_t h) const { return data + d * stride_d + h * stride_h; }
};

template <class T>
constexpr bool kStoredOnly = std::is_same_v<T, bf16> || std::is_same_v<T, f16>;

template <class T, class S>
inline T convert_to(S v) {
  if constexpr (kStoredOnly<S>)
    return static_cast<T>(to_float(v));
  else if constexpr (std::is_same_v<T, bf16>)
    return to_bf16(static_cast<float>(v));
  else if constexpr (std::is_same_v<T, f16>)
    return to_f16(static_cast<float>(v));
  else
    return static_cast<T>(v);
}

// Calls f with a value of the element type of a floating (or uint8) dtype.
template <class F>
void with_element_type(DType t, F&& f) {
  switch (t) {
    case DType::f32:
      return f(float{});
    case DType::f64:
      return f(double{});
    case DType::bf16:
      return f(bf16{});
    case DType::f16:
      return f(f16{});
    default:
      return f(uint8_t{});
  }
}

// Rows [first, last) of a plane (numbered d * H + h), densely to or from `rows`.
template <class T>
void pack_rows(const Image& m, int64_t plane, int64_t first, int64_t last, T* rows) {
  with_element_type(m.dtype, [&](auto tag) {
    using S = decltype(tag);
    const S* base = reinterpret_cast<const S*>(m.data) + m.offset(plane);
    for (int64_t r = first; r < last; ++r) {
      const S* in = base + r / m.h * m.stride_d + r % m.h * m.stride_h;
      for (int64_t i = 0; i < m.w; ++i) *rows++ = convert_to<T>(in[i * m.stride_w]);
    }
  });
}

template <class T>
void unpack_rows(const T* rows, const Image& m, int64_t plane, int64_t first, int64_t last) {
  with_element_type(m.dtype, [&](auto tag) {
    using S = decltype(tag);
    S* base = reinterpret_cast<S*>(m.data) + m.offset(plane);
    for (int64_t r = first; r < last; ++r) {
      S* out = base + r / m.h * m.stride_d + r % m.h * m.stride_h;
      for (int64_t i = 0; i < m.w; ++i) out[i * m.stride_w] = convert_to<S>(*rows++);
    }
  });
}

// The plane where it lies, or a packed copy of it in `scratch`.
template <class T>
Plane<const T> input_plane(const Image& m, int64_t plane, T* scratch) {
  if (m.rows_direct<T>())
    return {reinterpret_cast<const T*>(m.data) + m.offset(plane), m.stride_d, m.stride_h};
  pack_rows(m, plane, 0, m.d * m.h, scratch);
  return {scratch, m.h * m.w, m.w};
}

// The plane itself, or dense scratch that unpack_rows carries over afterwards.
template <class T>
Plane<T> output_plane(const Image& m, int64_t plane, T* scratch) {
  if (!m.rows_direct<T>()) return {scratch, m.h * m.w, m.w};
  return {reinterpret_cast<T*>(m.data) + m.offset(plane), m.stride_d, m.stride_h};
}

// Single elements of any floating type, for the straight reference loops.
inline double element(const Image& m, int64_t offset) {
  double v = 0;
  with_element_type(m.dtype, [&](auto tag) {
    v = convert_to<double>(reinterpret_cast<const decltype(tag)*>(m.data)[offset]);
  });
  return v;
}

inline void set_element(const Image& m, int64_t offset, double v) {
  with_element_type(m.dtype, [&](auto tag) {
    using S = decltype(tag);
    reinterpret_cast<S*>(m.data)[offset] = convert_to<S>(v);
  });
}

}  // namespace fastnn
