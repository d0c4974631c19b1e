// Images (N, C, spatial...) or (C, spatial...) as arguments and results of bindings.
#pragma once

#include "bindings/convert.h"

namespace fastnn {

// (C, spatial...) -> (1, C, spatial...)
inline TensorView batched(const TensorView& v, int dims) {
  if (v.ndim != dims + 1) return v;
  TensorView b = v;
  b.ndim = v.ndim + 1;
  b.shape[0] = 1;
  b.stride[0] = 0;
  for (int d = 0; d < v.ndim; ++d) {
    b.shape[d + 1] = v.shape[d];
    b.stride[d + 1] = v.stride[d];
  }
  return b;
}

// An array of `like`'s memory format (channels-last or row-major) with `channels` and another
// spatial shape.
inline NewArray new_image(const TensorView& like, DType dtype, int64_t channels,
                          const int64_t* spatial, int dims) {
  TensorView wanted = like;
  const int lead = like.ndim - dims;
  const bool channels_last = !like.contiguous() && like.stride[lead - 1] == 1 &&
                             like.shape[lead - 1] > 1 &&
                             (like.stride[like.ndim - 1] != 1 || like.shape[like.ndim - 1] == 1);
  wanted.shape[lead - 1] = channels;
  for (int d = 0; d < dims; ++d) wanted.shape[lead + d] = spatial[d];
  if (!channels_last) return new_array(dtype, wanted.shape, wanted.ndim);
  wanted.stride[lead - 1] = 1;
  int64_t step = wanted.shape[lead - 1];
  for (int d = wanted.ndim - 1; d >= lead; --d) {
    wanted.stride[d] = step;
    step *= wanted.shape[d];
  }
  if (lead == 2) wanted.stride[0] = step;
  return new_array_like(wanted, dtype);
}

// The same with the channels of `like`.
inline NewArray new_image(const TensorView& like, DType dtype, const int64_t* spatial, int dims) {
  return new_image(like, dtype, like.shape[like.ndim - dims - 1], spatial, dims);
}

}  // namespace fastnn
