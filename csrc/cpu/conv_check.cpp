// What all convolutions check, and the size of their outputs.
#include <algorithm>

#include "fastnn/ops/conv.h"

namespace fastnn {

namespace {

// Larger values are refused: every product of two of them then fits in 64 bits.
constexpr int64_t kLargest = INT32_MAX;

std::string text(const int64_t* values, int n) {
  std::string s = "(";
  for (int i = 0; i < n; ++i) s += cat(i ? ", " : "", values[i]);
  return s + (n == 1 ? ",)" : ")");
}

void check_range(const char* op, const char* name, const int64_t* values, int n, int64_t least) {
  for (int i = 0; i < n; ++i)
    if (values[i] < least || values[i] > kLargest)
      fail(ErrorKind::value, op, ": ", name, " must be between ", least, " and ", kLargest,
           ", got ", text(values, n));
}

void check_params(const char* op, const ConvParams& p) {
  check_range(op, "stride", p.stride, p.dims, 1);
  check_range(op, "padding", p.padding, p.dims, 0);
  check_range(op, "dilation", p.dilation, p.dims, 1);
  check_range(op, "groups", &p.groups, 1, 1);
}

// `forward`: the image's channels are the weight's second axis times groups; transposed: its first.
void check_image(const char* op, const ConvParams& p, const TensorView& x, const TensorView& w,
                 bool forward) {
  if (w.ndim != p.dims + 2)
    fail(ErrorKind::shape, op, ": weight must have ", p.dims + 2, " dimensions, got shape ",
         w.shape_text());
  if (x.ndim != p.dims + 2)
    fail(ErrorKind::shape, op, ": input must have ", p.dims + 2, " dimensions (batch, channels, ",
         p.dims, " spatial) or ", p.dims + 1, " without the batch, got shape ", x.shape_text());
  for (const TensorView* v : {&x, &w})
    if (!is_float(v->dtype))
      fail(ErrorKind::dtype, op, ": ", v == &x ? "input" : "weight",
           " must be float32, float64, bfloat16 or float16, got ", name_of(v->dtype));
  if (x.dtype != w.dtype)
    fail(ErrorKind::dtype, op, ": input is ", name_of(x.dtype), " and weight ", name_of(w.dtype),
         "; they must be the same: convert one of them");
  for (int d = 2; d < w.ndim; ++d)
    if (w.shape[d] < 1 || w.shape[d] > kLargest)
      fail(ErrorKind::shape, op, ": kernel sizes must be between 1 and ", kLargest,
           ", got weight of shape ", w.shape_text());
  for (int d = 2; d < x.ndim; ++d)
    if (x.shape[d] > kLargest)
      fail(ErrorKind::shape, op, ": spatial sizes must be at most ", kLargest,
           ", got input of shape ", x.shape_text());
  if (w.shape[0] % p.groups != 0)
    fail(ErrorKind::shape, op, ": the first size of weight must be divisible by groups=", p.groups,
         ", got weight of shape ", w.shape_text());
  const int64_t channels = forward ? checked_mul(w.shape[1], p.groups, op) : w.shape[0];
  if (x.shape[1] != channels)
    fail(ErrorKind::shape, op, ": weight of shape ", w.shape_text(), " with groups=", p.groups,
         " expects an input with ", channels, " channels, got ", x.shape[1], " (input of shape ",
         x.shape_text(), ")");
}

}  // namespace

void conv_output_shape(const char* op, const ConvParams& p, const int64_t* padding_after,
                       const TensorView& x, const TensorView& w, int64_t* out) {
  check_params(op, p);
  check_range(op, "padding", padding_after, p.dims, 0);
  check_image(op, p, x, w, true);
  for (int d = 0; d < p.dims; ++d) {
    const int64_t span = (w.shape[2 + d] - 1) * p.dilation[d] + 1;
    const int64_t room = x.shape[2 + d] + p.padding[d] + padding_after[d] - span;
    if (room < 0)
      fail(ErrorKind::shape, op, ": kernel of ", w.shape[2 + d], " with dilation ", p.dilation[d],
           " spans ", span, " pixels, more than the padded input has (",
           x.shape[2 + d] + p.padding[d] + padding_after[d], ") along spatial axis ", d,
           "; input of shape ", x.shape_text(), ", weight of shape ", w.shape_text());
    out[d] = room / p.stride[d] + 1;
  }
}

void conv_transpose_output_shape(const char* op, const ConvParams& p, const int64_t* output_padding,
                                 const TensorView& x, const TensorView& w, int64_t* out) {
  check_params(op, p);
  check_range(op, "output_padding", output_padding, p.dims, 0);
  check_image(op, p, x, w, false);
  for (int d = 0; d < p.dims; ++d) {
    if (output_padding[d] >= std::max(p.stride[d], p.dilation[d]))
      fail(ErrorKind::value, op, ": output_padding must be smaller than stride or dilation, got ",
           output_padding[d], " with stride ", p.stride[d], " and dilation ", p.dilation[d]);
    out[d] = (x.shape[2 + d] - 1) * p.stride[d] - 2 * p.padding[d] +
             (w.shape[2 + d] - 1) * p.dilation[d] + output_padding[d] + 1;
    if (x.shape[2 + d] < 1 || out[d] < 1 || out[d] > kLargest)
      fail(ErrorKind::shape, op, ": output size ", out[d], " along spatial axis ", d,
           " is not between 1 and ", kLargest, "; input of shape ", x.shape_text(),
           ", weight of shape ", w.shape_text());
  }
}

}  // namespace fastnn
