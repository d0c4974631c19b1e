// What all poolings check, and the size of their output.
#include "cpu/pool_geometry.h"

namespace fastnn {

namespace {

// Larger values are refused: every product of two of them then fits in 64 bits.
constexpr int64_t kLargest = INT32_MAX;

// An op's name with its number of dimensions; written out only where something is wrong.
struct Name {
  const char* op;
  int dims;
  bool adaptive = false;
  friend std::ostream& operator<<(std::ostream& out, const Name& n) {
    return out << (n.adaptive ? "adaptive_" : "") << n.op << n.dims << 'd';
  }
};

void check_positive(const Name& op, const char* name, const int64_t* values, int n, int64_t least) {
  for (int i = 0; i < n; ++i)
    if (values[i] < least || values[i] > kLargest)
      fail(ErrorKind::value, op, ": ", name, " must be between ", least, " and ", kLargest,
           ", got ", values[i], n > 1 ? cat(" for pooled axis ", i) : "");
}

void check_params(const Name& op, const PoolParams& p) {
  if (p.dims < 1 || p.dims > 3)
    fail(ErrorKind::value, op, ": dims must be 1, 2 or 3, got ", p.dims);
  if (p.adaptive) return;
  check_positive(op, "kernel_size", p.kernel, p.dims, 1);
  check_positive(op, "stride", p.stride, p.dims, 1);
  check_positive(op, "padding", p.padding, p.dims, 0);
  check_positive(op, "dilation", p.dilation, p.dims, 1);
  for (int i = 0; i < p.dims; ++i) {
    const int64_t span = (p.kernel[i] - 1) * p.dilation[i] + 1;
    if (p.padding[i] > span / 2)
      fail(ErrorKind::value, op,
           ": padding must be at most half of the effective kernel size, got padding=",
           p.padding[i], " with kernel_size=", p.kernel[i], " and dilation=", p.dilation[i]);
  }
}

void check_input(const Name& op, int dims, const TensorView& x, const char* name) {
  if (x.ndim != dims + 2)
    fail(ErrorKind::shape, op, ": ", name, " must have ", dims + 2,
         " dimensions (batch, channels, ", dims, " spatial) or ", dims + 1,
         " without the batch, got shape ", x.shape_text());
  if (!is_float(x.dtype))
    fail(ErrorKind::dtype, op, ": ", name, " must be float32, float64, bfloat16 or float16, got ",
         name_of(x.dtype));
  for (int d = 1; d < x.ndim; ++d)
    if (x.shape[d] < 1)
      fail(ErrorKind::shape, op, ": ", name, " may be empty only in its batch axis, got shape ",
           x.shape_text());
}

int64_t output_size(const Name& op, const PoolParams& p, int i, int64_t in, const TensorView& x) {
  const int64_t span = (p.kernel[i] - 1) * p.dilation[i] + 1;
  const int64_t room = in + 2 * p.padding[i] - span;
  int64_t out = room < 0 ? 0 : room / p.stride[i] + 1;
  if (p.ceil_mode && room > -p.stride[i]) {
    out = div_up(room, p.stride[i]) + 1;
    if ((out - 1) * p.stride[i] >= in + p.padding[i])
      --out;  // no window starts in the right padding
  }
  if (out < 1)
    fail(ErrorKind::shape, op, ": output size is too small: input of shape ", x.shape_text(),
         " with kernel_size=", p.kernel[i], ", stride=", p.stride[i], ", padding=", p.padding[i],
         ", dilation=", p.dilation[i], " gives size ", out, " in pooled axis ", i);
  return out;
}

// With dilation a window may step over the whole input: it would have no maximum.
void check_windows(const Name& op, const PoolParams& p, const TensorView& x, const TensorView& y) {
  for (int i = 0; i < p.dims; ++i) {
    if (p.dilation[i] == 1 || p.padding[i] == 0) continue;
    const PoolAxis a = {x.shape[2 + i], y.shape[2 + i], p.kernel[i], p.stride[i], p.padding[i],
                        p.dilation[i],  false,          nullptr,     nullptr};
    for (int64_t o = 0; o < a.out; ++o)
      if (pool_window(a, o, true).count < 1)
        fail(ErrorKind::shape, op, ": window ", o, " of pooled axis ", i,
             " holds only padding (input size ", a.in, ", kernel_size=", a.kernel,
             ", dilation=", a.dilation, ", padding=", a.padding, ")");
  }
}

}  // namespace

int64_t pool_window_volume(const PoolParams& p) {
  if (p.adaptive) return 0;
  int64_t v = 1;
  for (int i = 0; i < p.dims; ++i)
    if (__builtin_mul_overflow(v, p.kernel[i], &v)) return INT64_MAX;
  return v;
}

void pool_output_shape(const char* op, const PoolParams& p, const TensorView& x, int64_t* out) {
  const Name name{op, p.dims};
  check_params(name, p);
  check_input(name, p.dims, x, "input");
  for (int i = 0; i < p.dims; ++i) out[i] = output_size(name, p, i, x.shape[2 + i], x);
}

void check_pool(const char* op, const PoolParams& p, const TensorView& x, const char* x_name,
                const TensorView& y, const char* y_name, bool average) {
  const Name name{op, p.dims, p.adaptive};
  check_params(name, p);
  check_input(name, p.dims, x, x_name);
  if (y.ndim != x.ndim || y.dtype != x.dtype)
    fail(y.dtype != x.dtype ? ErrorKind::dtype : ErrorKind::shape, name, ": ", y_name, " must be ",
         name_of(x.dtype), " with ", x.ndim, " dimensions, got ", name_of(y.dtype), " of shape ",
         y.shape_text());
  bool fits = y.shape[0] == x.shape[0] && y.shape[1] == x.shape[1];
  int64_t out[3] = {};
  for (int i = 0; i < p.dims; ++i) {
    if (p.adaptive) {
      if (y.shape[2 + i] < 1)
        fail(ErrorKind::value, name, ": output_size must be at least 1, got ", y.shape[2 + i]);
      checked_mul(x.shape[2 + i] + 1, y.shape[2 + i] + 1, op);
    } else {
      out[i] = output_size(name, p, i, x.shape[2 + i], x);
      fits = fits && y.shape[2 + i] == out[i];
    }
  }
  if (!fits) {
    std::string expected = p.adaptive ? ", ..." : "";
    for (int i = 0; i < p.dims && !p.adaptive; ++i) expected += cat(", ", out[i]);
    fail(ErrorKind::shape, name, ": ", y_name, " has shape ", y.shape_text(), "; expected (",
         x.shape[0], ", ", x.shape[1], expected, ") for ", x_name, " of shape ", x.shape_text());
  }
  if (!p.adaptive && !average) check_windows(name, p, x, y);
}

}  // namespace fastnn
