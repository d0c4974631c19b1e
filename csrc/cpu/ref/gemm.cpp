#include "cpu/ref/gemm.h"

#include "cpu/ref/element.h"

namespace fastnn {
namespace {

double read(const TensorView& v, int64_t at) { return read_element(v.data, v.dtype, at); }

// Offset in v, broadcast to c's axes, of the element with these coordinates on the axes before the
// last `skip`.
int64_t batch_offset(const TensorView& v, const TensorView& c, const int64_t* index) {
  int64_t at = 0;
  for (int d = 0; d < c.ndim - 2; ++d) {
    const int own = d - (c.ndim - v.ndim);
    if (own >= 0 && v.shape[own] != 1) at += index[d] * v.stride[own];
  }
  return at;
}

// The stride of an axis counted from the end (1: columns); 0 where v is broadcast along it.
int64_t stride_from_end(const TensorView& v, int axis) {
  const int d = v.ndim - axis;
  return d >= 0 && v.shape[d] != 1 ? v.stride[d] : 0;
}

}  // namespace

void gemm_reference(const GemmParams& params, const TensorView* views) {
  const TensorView &a = views[0], &b = views[1], &c = views[2], &bias = views[3];
  if (c.numel() == 0) return;
  const int64_t m = c.shape[c.ndim - 2], n = c.shape[c.ndim - 1], k = a.shape[a.ndim - 1];
  const int64_t a_row = stride_from_end(a, 2), a_k = stride_from_end(a, 1);
  const int64_t b_k = stride_from_end(b, 2), b_column = stride_from_end(b, 1);
  int64_t index[kMaxDims] = {};
  for (bool more = true; more;) {
    const int64_t a0 = batch_offset(a, c, index), b0 = batch_offset(b, c, index);
    const int64_t c0 = batch_offset(c, c, index), bias0 = bias ? batch_offset(bias, c, index) : 0;
    for (int64_t i = 0; i < m; ++i)
      for (int64_t j = 0; j < n; ++j) {
        double sum = 0;
        for (int64_t l = 0; l < k; ++l)
          sum += read(a, a0 + i * a_row + l * a_k) * read(b, b0 + l * b_k + j * b_column);
        const int64_t at = c0 + i * c.stride[c.ndim - 2] + j * c.stride[c.ndim - 1];
        double y = params.alpha * sum;
        if (params.beta != 0) y += params.beta * read(c, at);
        if (bias)
          y += read(bias, bias0 + i * stride_from_end(bias, 2) + j * stride_from_end(bias, 1));
        write_element(c.data, c.dtype, at, activate_reference(params.activation, y));
      }
    more = false;
    for (int d = c.ndim - 3; d >= 0 && !more; --d) {
      more = ++index[d] < c.shape[d];
      if (!more) index[d] = 0;
    }
  }
}

}  // namespace fastnn
