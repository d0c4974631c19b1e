// Max unpooling, and fractional max pooling: straight loops, one plane a task.
#include <cmath>
#include <limits>

#include "cpu/image.h"
#include "fastnn/ops/pool.h"

namespace fastnn {

namespace {

// ---- Checks ----------------------------------------------------------------------------------

void check_image(const std::string& op, const TensorView& v, int dims, const char* name) {
  if (v.ndim != dims + 2)
    fail(ErrorKind::shape, op, ": ", name, " must have ", dims + 2,
         " dimensions (batch, channels, ", dims, " spatial) or ", dims + 1,
         " without the batch, got shape ", v.shape_text());
  if (!is_float(v.dtype))
    fail(ErrorKind::dtype, op, ": ", name, " must be float32, float64, bfloat16 or float16, got ",
         name_of(v.dtype));
}

int64_t spatial_size(const TensorView& v) {
  int64_t n = 1;
  for (int d = 2; d < v.ndim; ++d) n *= v.shape[d];
  return n;
}

// `small` is pooled and has an index into the planes of `large` for each element.
void check_unpool(const UnpoolParams& p, const TensorView& small, const char* small_name,
                  const TensorView& index, const TensorView& large, const char* large_name) {
  const std::string op = cat("max_unpool", p.dims, "d");
  check_image(op, small, p.dims, small_name);
  check_image(op, large, p.dims, large_name);
  if (index.dtype != DType::i64)
    fail(ErrorKind::dtype, op, ": indices must be int64, got ", name_of(index.dtype));
  if (index.ndim != small.ndim || !std::equal(index.shape, index.shape + index.ndim, small.shape))
    fail(ErrorKind::shape, op, ": indices have shape ", index.shape_text(), "; expected that of ",
         small_name, ", ", small.shape_text());
  if (large.dtype != small.dtype || large.shape[0] != small.shape[0] ||
      large.shape[1] != small.shape[1])
    fail(ErrorKind::shape, op, ": ", large_name, " is ", name_of(large.dtype), " of shape ",
         large.shape_text(), "; expected ", name_of(small.dtype), " with batch and channels of ",
         small.shape_text());
  const int64_t limit = spatial_size(large);
  const Image at(index, p.dims);
  const auto* position = index.ptr<int64_t>();
  for (int64_t plane = 0; plane < at.planes(); ++plane)
    at.for_positions([&](int64_t d, int64_t h, int64_t w) {
      const int64_t i = position[at.at(plane, d, h, w)];
      if (i < 0 || i >= limit)
        fail(ErrorKind::index, op, ": found an invalid max index: ", i, " (output planes have ",
             limit, " elements: shape ", large.shape_text(), ")");
    });
}

// ---- Unpooling -------------------------------------------------------------------------------

// The element of plane `plane` of m at flat position i.
int64_t flat(const Image& m, int64_t plane, int64_t i) {
  return m.at(plane, i / (m.h * m.w), i / m.w % m.h, i % m.w);
}

// f(small element, large element): offsets of the pairs that the index joins, in memory order of
// `small`.
template <class F>
void for_pairs(const Image& small, const Image& index, const Image& large, int64_t plane, F f) {
  const auto* position = reinterpret_cast<const int64_t*>(index.data);
  small.for_positions([&](int64_t d, int64_t h, int64_t w) {
    f(small.at(plane, d, h, w), flat(large, plane, position[index.at(plane, d, h, w)]));
  });
}

void unpool_check(const UnpoolParams& p, const TensorView* v) {
  check_unpool(p, v[0], "input", v[1], v[2], "the output");
}

void unpool_run(const UnpoolParams& p, const TensorView* v, void*) {
  const Image x(v[0], p.dims), index(v[1], p.dims), y(v[2], p.dims);
  parallel_for(y.planes(), [&](int64_t plane, int) {
    with_element_type(x.dtype, [&](auto tag) {
      using T = decltype(tag);
      const T* from = reinterpret_cast<const T*>(x.data);
      T* to = reinterpret_cast<T*>(y.data);
      y.for_positions([&](int64_t d, int64_t h, int64_t w) { to[y.at(plane, d, h, w)] = T{}; });
      for_pairs(x, index, y, plane, [&](int64_t s, int64_t l) { to[l] = from[s]; });
    });
  });
}

void unpool_backward_check(const UnpoolParams& p, const TensorView* v) {
  check_unpool(p, v[2], "the gradient of the input", v[1], v[0], "grad_output");
}

void unpool_backward_run(const UnpoolParams& p, const TensorView* v, void*) {
  const Image dy(v[0], p.dims), index(v[1], p.dims), dx(v[2], p.dims);
  parallel_for(dx.planes(), [&](int64_t plane, int) {
    with_element_type(dx.dtype, [&](auto tag) {
      using T = decltype(tag);
      const T* from = reinterpret_cast<const T*>(dy.data);
      T* to = reinterpret_cast<T*>(dx.data);
      for_pairs(dx, index, dy, plane, [&](int64_t s, int64_t l) { to[s] = from[l]; });
    });
  });
}

// ---- Fractional max pooling ------------------------------------------------------------------

struct FractionalAxis {
  int64_t in, out, kernel;

  // First element of window o. The arithmetic is that of PyTorch, in the element type T.
  template <class T>
  int64_t start(int64_t o, T sample) const {
    if (o == out - 1) return in - kernel;
    const T alpha = static_cast<T>(in - kernel) / static_cast<T>(out - 1);
    return static_cast<int64_t>((static_cast<T>(o) + sample) * alpha) -
           static_cast<int64_t>(sample * alpha);
  }
};

void fractional_axes(const FractionalPoolParams& p, const Image& x, const Image& y,
                     FractionalAxis* axis) {
  const int64_t in[3] = {x.d, x.h, x.w}, out[3] = {y.d, y.h, y.w};
  for (int i = 0; i < 3; ++i) {
    const int j = i - (3 - p.dims);
    axis[i] = {in[i], out[i], j < 0 ? 1 : p.kernel[j]};
  }
}

void fractional_check(const FractionalPoolParams& p, const TensorView* v) {
  if (p.dims != 2 && p.dims != 3)
    fail(ErrorKind::value, "fractional_max_pool: dims must be 2 or 3, got ", p.dims);
  const std::string op = cat("fractional_max_pool", p.dims, "d");
  const TensorView &x = v[0], &samples = v[1], &y = v[2], &index = v[3];
  check_image(op, x, p.dims, "input");
  check_image(op, y, p.dims, "the output");
  if (samples.ndim != 3 || samples.shape[0] != x.shape[0] || samples.shape[1] != x.shape[1] ||
      samples.shape[2] != p.dims)
    fail(ErrorKind::shape, op, ": _random_samples must have shape (", x.shape[0], ", ", x.shape[1],
         ", ", p.dims, "), got ", samples.shape_text());
  if (samples.dtype != x.dtype || y.dtype != x.dtype)
    fail(ErrorKind::dtype, op, ": _random_samples and output must be ", name_of(x.dtype),
         " like the input, got ", name_of(samples.dtype), " and ", name_of(y.dtype));
  if (index.dtype != DType::i64 || index.ndim != y.ndim ||
      !std::equal(y.shape, y.shape + y.ndim, index.shape))
    fail(ErrorKind::shape, op, ": indices must be int64 of shape ", y.shape_text());
  for (int i = 0; i < p.dims; ++i) {
    const int64_t in = x.shape[2 + i], out = y.shape[2 + i], k = p.kernel[i];
    if (k < 1 || out < 1 || k > in || out > in || out + k - 1 > in)
      fail(ErrorKind::value, op, ": kernel_size ", k, " and output_size ", out, " of pooled axis ",
           i, " are too large (or below 1) for input size ", in,
           "; expected output_size + kernel_size - 1 <= input size");
  }
  // A sample outside of [0, 1) would move windows out of the image.
  const TensorView& s = samples;
  const Image as_image(s, 1);
  for (int64_t plane = 0; plane < as_image.planes(); ++plane)
    for (int64_t i = 0; i < as_image.w; ++i) {
      const double u = element(as_image, as_image.at(plane, 0, 0, i));
      if (!(u >= 0 && u < 1))
        fail(ErrorKind::value, op, ": _random_samples must lie in [0, 1), got ", u);
    }
}

template <class T>
void fractional_plane(const FractionalAxis* axis, const T* sample, const Image& x, const Image& y,
                      const Image& index, int64_t plane) {
  y.for_positions([&](int64_t od, int64_t oh, int64_t ow) {
    const int64_t d = axis[0].start(od, sample[0]), h = axis[1].start(oh, sample[1]),
                  w = axis[2].start(ow, sample[2]);
    double best = -std::numeric_limits<double>::infinity();
    int64_t position = (d * x.h + h) * x.w + w;
    for (int64_t i = d; i < d + axis[0].kernel; ++i)
      for (int64_t j = h; j < h + axis[1].kernel; ++j)
        for (int64_t k = w; k < w + axis[2].kernel; ++k) {
          const double value = element(x, x.at(plane, i, j, k));
          if (value > best || std::isnan(value)) best = value, position = (i * x.h + j) * x.w + k;
        }
    set_element(y, y.at(plane, od, oh, ow), best);
    reinterpret_cast<int64_t*>(index.data)[index.at(plane, od, oh, ow)] = position;
  });
}

void fractional_run(const FractionalPoolParams& p, const TensorView* v, void*) {
  const Image x(v[0], p.dims), samples(v[1], 1), y(v[2], p.dims), index(v[3], p.dims);
  FractionalAxis axis[3];
  fractional_axes(p, x, y, axis);
  parallel_for(y.planes(), [&](int64_t plane, int) {
    const auto compute = [&](auto tag) {
      using T = decltype(tag);
      T sample[3] = {0, 0, 0};
      for (int i = 0; i < p.dims; ++i) {
        const int to = p.dims == 3 ? i : 2 - i;  // two axes: samples are (w, h)
        sample[to] = static_cast<T>(element(samples, samples.at(plane, 0, 0, i)));
      }
      fractional_plane<T>(axis, sample, x, y, index, plane);
    };
    if (x.dtype == DType::f64)
      compute(double{});
    else
      compute(float{});
  });
}

}  // namespace

const Op<UnpoolParams> max_unpool_forward = {"max_unpool", unpool_check, nullptr, unpool_run};
const Op<UnpoolParams> max_unpool_backward = {"max_unpool_backward", unpool_backward_check, nullptr,
                                              unpool_backward_run};
const Op<FractionalPoolParams> fractional_max_pool_forward = {
    "fractional_max_pool", fractional_check, nullptr, fractional_run};

}  // namespace fastnn
