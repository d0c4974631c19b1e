// What maximum pooling and its gradient share: how a call runs, and what indices may be.
#pragma once

#include "cpu/kernels/max_pool.h"
#include "cpu/pool_geometry.h"

namespace fastnn {

constexpr int64_t kLargestPlace = 256;  // places in a window that uint8 can tell apart

struct MaxPoolPlan {
  PoolGeometry geometry;
  bool pixels;   // channels-last kernels
  bool windows;  // kernels with places in uint8; otherwise window by window, with positions in the
                 // plane
};

inline MaxPoolPlan make_plan(const PoolParams& p, const Image& in, const Image& out, bool direct) {
  const PoolGeometry g(p, in, out);
  const bool small = g.volume() <= kLargestPlace;
  const bool narrow = in.w == 1 && in.h == 1;  // both layouts at once
  const bool pixels = small && direct && in.c > 1 && (in.stride_w != 1 || narrow);
  return {g, pixels, pixels || (small && !g.adaptive && !g.one_window())};
}

template <class T>
const MaxPoolTable<T>& max_pool_kernels_of() {
  if constexpr (sizeof(T) == 4)
    return active_max_pool_kernels().f32;
  else
    return active_max_pool_kernels().f64;
}

inline bool same_shape(const TensorView& a, const TensorView& b) {
  return a.ndim == b.ndim && std::equal(a.shape, a.shape + a.ndim, b.shape);
}

inline void check_index(const PoolParams& p, const TensorView& index, const TensorView& y,
                        int64_t plane_size) {
  const char* op = "max_pool";
  if (!same_shape(index, y))
    fail(ErrorKind::shape, op, ": indices have shape ", index.shape_text(), "; expected ",
         y.shape_text());
  if (index.dtype != DType::u8 && index.dtype != DType::i32 && index.dtype != DType::i64)
    fail(ErrorKind::dtype, op, ": indices must be uint8, int32 or int64, got ",
         name_of(index.dtype));
  if (index.dtype == DType::u8 && (p.adaptive || pool_window_volume(p) > kLargestPlace))
    fail(ErrorKind::dtype, op, ": uint8 indices are for plain windows of at most ", kLargestPlace,
         " elements");
  if (index.dtype == DType::i32 && plane_size > INT32_MAX)
    fail(ErrorKind::dtype, op, ": int32 indices cannot address planes of ", plane_size,
         " elements");
}

inline int64_t plane_size_of(const TensorView& v) {
  int64_t n = 1;
  for (int d = 2; d < v.ndim; ++d) n *= v.shape[d];
  return n;
}

}  // namespace fastnn
