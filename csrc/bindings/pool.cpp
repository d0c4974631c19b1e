// Pooling: arrays in, arrays out. Images without a batch axis are viewed with a batch of one.
#include "fastnn/ops/pool.h"

#include "bindings/image.h"
#include "bindings/layers.h"

namespace fastnn {

namespace {

void window_args(PoolParams& p, py::handle kernel, py::handle stride, py::handle padding,
                 py::handle dilation, const char* op) {
  int_or_list(kernel, p.kernel, p.dims, op, "kernel_size");
  if (stride.is_none() || (PySequence_Check(stride.ptr()) && PySequence_Size(stride.ptr()) == 0))
    std::copy(p.kernel, p.kernel + p.dims, p.stride);
  else
    int_or_list(stride, p.stride, p.dims, op, "stride");
  int_or_list(padding, p.padding, p.dims, op, "padding");
  int_or_list(dilation, p.dilation, p.dims, op, "dilation");
}

void check_dims(int dims) {
  if (dims < 1 || dims > 3) fail(ErrorKind::value, "pooling: dims must be 1, 2 or 3, got ", dims);
}

// What a maximum's place is written as: "none", "window" (the smallest form that backward takes) or
// "plane" (int64 positions in the plane).
enum class Places { none, window, plane };

Places places_from(const std::string& name) {
  if (name == "none") return Places::none;
  if (name == "window") return Places::window;
  if (name == "plane") return Places::plane;
  fail(ErrorKind::value, "max_pool: indices must be 'none', 'window' or 'plane', got '", name, "'");
}

py::object max_pool(PoolParams& p, const Arg& x, const int64_t* out, Places places) {
  const TensorView xb = batched(x.view, p.dims);
  const NewArray y = new_image(x.view, x.view.dtype, out, p.dims);
  if (places == Places::none) {
    run_op(max_pool_forward, p, {xb, batched(y.view, p.dims), TensorView{}});
    return y.array;
  }
  const int64_t volume = pool_window_volume(p);
  int64_t plane = 1;
  for (int d = 2; d < xb.ndim; ++d) plane *= xb.shape[d];
  DType dtype = DType::i64;
  if (places == Places::window && volume > 0 && volume <= 256)
    dtype = DType::u8;
  else if (places == Places::window && plane <= INT32_MAX)
    dtype = DType::i32;
  const NewArray index = new_image(x.view, dtype, out, p.dims);
  run_op(max_pool_forward, p, {xb, batched(y.view, p.dims), batched(index.view, p.dims)});
  return py::make_tuple(y.array, index.array);
}

PoolParams adaptive_params(int dims) {
  check_dims(dims);
  PoolParams p;
  p.dims = dims;
  p.adaptive = true;
  return p;
}

// None in output_size keeps the size of that axis.
void adaptive_sizes(const TensorView& x, py::handle output_size, int dims, const char* op,
                    int64_t* out) {
  if (x.ndim != dims + 1 && x.ndim != dims + 2)
    fail(ErrorKind::shape, op, dims, "d: input must have ", dims + 1, " or ", dims + 2,
         " dimensions, got shape ", x.shape_text());
  const int64_t* in = x.shape + x.ndim - dims;
  if (output_size.is_none()) {
    std::copy(in, in + dims, out);
    return;
  }
  if (PySequence_Check(output_size.ptr())) {
    const auto n = PySequence_Size(output_size.ptr());
    if (n != dims)
      fail(ErrorKind::value, op, dims, "d: output_size must be an integer or have ", dims,
           " of them, got ", n);
    for (int d = 0; d < dims; ++d) {
      const auto item = py::reinterpret_steal<py::object>(PySequence_GetItem(output_size.ptr(), d));
      if (item.is_none())
        out[d] = in[d];
      else
        int_or_list(item, out + d, 1, op, "output_size");
    }
  } else {
    int_or_list(output_size, out, dims, op, "output_size");
  }
  for (int d = 0; d < dims; ++d)
    if (out[d] < 1)
      fail(ErrorKind::value, op, dims, "d: output_size must be at least 1, got ", out[d]);
}

PoolParams plain_params(int dims, bool ceil_mode) {
  check_dims(dims);
  PoolParams p;
  p.dims = dims;
  p.ceil_mode = ceil_mode;
  return p;
}

// The array for a gradient of the given shape, in the memory format of `like` (which has the pooled
// shape).
NewArray new_gradient(const TensorView& like, DType dtype, py::handle input_shape, int dims,
                      const char* op) {
  const auto shape = int_list(input_shape, op, "input_shape");
  const auto rank = static_cast<int>(shape.size());
  bool fits = like.ndim == rank && (rank == dims + 1 || rank == dims + 2);
  for (int d = 0; fits && d < rank; ++d)
    fits = shape[d] >= 0 && (d >= rank - dims || shape[d] == like.shape[d]);
  if (!fits)
    fail(ErrorKind::shape, op, ": grad_output of shape ", like.shape_text(),
         " does not fit an input of rank ", rank, " with ", dims,
         " pooled axes; expected the same rank, batch and channels");
  return new_image(like, dtype, shape.data() + rank - dims, dims);
}

py::object max_pool_py(py::handle input, int dims, py::handle kernel, py::handle stride,
                       py::handle padding, py::handle dilation, bool ceil_mode,
                       const std::string& indices) {
  PoolParams p = plain_params(dims, ceil_mode);
  const Arg x = input_arg(input, "max_pool", "input");
  window_args(p, kernel, stride, padding, dilation, "max_pool");
  int64_t out[3];
  pool_output_shape("max_pool", p, batched(x.view, dims), out);
  return max_pool(p, x, out, places_from(indices));
}

py::object max_pool_gradient(const PoolParams& p, py::handle grad, py::handle indices,
                             py::handle input_shape) {
  const char* op = "max_pool backward";
  const Arg dy = input_arg(grad, op, "grad_output"), index = input_arg(indices, op, "indices");
  const NewArray dx = new_gradient(index.view, dy.view.dtype, input_shape, p.dims, op);
  run_op(max_pool_backward, p,
         {batched(dy.view, p.dims), batched(index.view, p.dims), batched(dx.view, p.dims)});
  return dx.array;
}

py::object max_pool_backward_py(py::handle grad, py::handle indices, py::handle input_shape,
                                int dims, py::handle kernel, py::handle stride, py::handle padding,
                                py::handle dilation, bool ceil_mode) {
  PoolParams p = plain_params(dims, ceil_mode);
  window_args(p, kernel, stride, padding, dilation, "max_pool");
  return max_pool_gradient(p, grad, indices, input_shape);
}

// For indices that are positions in the plane, whatever made them.
py::object max_pool_scatter(py::handle grad, py::handle indices, py::handle input_shape, int dims) {
  return max_pool_gradient(adaptive_params(dims), grad, indices, input_shape);
}

py::object adaptive_max_pool_py(py::handle input, int dims, py::handle output_size,
                                const std::string& indices) {
  PoolParams p = adaptive_params(dims);
  const Arg x = input_arg(input, "adaptive_max_pool", "input");
  int64_t out[3];
  adaptive_sizes(x, output_size, dims, "adaptive_max_pool", out);
  return max_pool(p, x, out, places_from(indices));
}

void average_args(PoolParams& p, py::handle kernel, py::handle stride, py::handle padding,
                  bool count_include_pad, py::handle divisor_override) {
  window_args(p, kernel, stride, padding, py::int_(1), "avg_pool");
  p.count_include_pad = count_include_pad;
  if (divisor_override.is_none()) return;
  int_or_list(divisor_override, &p.divisor_override, 1, "avg_pool", "divisor_override");
  if (p.divisor_override == 0)
    fail(ErrorKind::value, "avg_pool", p.dims, "d: divisor_override must not be zero");
}

NewArray average(const PoolParams& p, const TensorView& x, const int64_t* out) {
  const NewArray y = new_image(x, x.dtype, out, p.dims);
  run_op(avg_pool_forward, p, {batched(x, p.dims), batched(y.view, p.dims)});
  return y;
}

py::object average_gradient(const PoolParams& p, py::handle grad, py::handle input_shape) {
  const Arg dy = input_arg(grad, "avg_pool backward", "grad_output");
  const NewArray dx =
      new_gradient(dy.view, dy.view.dtype, input_shape, p.dims, "avg_pool backward");
  run_op(avg_pool_backward, p, {batched(dy.view, p.dims), batched(dx.view, p.dims)});
  return dx.array;
}

py::object avg_pool_py(py::handle input, int dims, py::handle kernel, py::handle stride,
                       py::handle padding, bool ceil_mode, bool count_include_pad,
                       py::handle divisor_override) {
  PoolParams p = plain_params(dims, ceil_mode);
  const Arg x = input_arg(input, "avg_pool", "input");
  average_args(p, kernel, stride, padding, count_include_pad, divisor_override);
  int64_t out[3];
  pool_output_shape("avg_pool", p, batched(x.view, dims), out);
  return average(p, x, out).array;
}

py::object avg_pool_backward_py(py::handle grad, py::handle input_shape, int dims,
                                py::handle kernel, py::handle stride, py::handle padding,
                                bool ceil_mode, bool count_include_pad,
                                py::handle divisor_override) {
  PoolParams p = plain_params(dims, ceil_mode);
  average_args(p, kernel, stride, padding, count_include_pad, divisor_override);
  return average_gradient(p, grad, input_shape);
}

py::object adaptive_avg_pool_py(py::handle input, int dims, py::handle output_size) {
  check_dims(dims);
  const Arg x = input_arg(input, "adaptive_avg_pool", "input");
  return adaptive_avg_pool_new(x, dims, output_size).array;
}

py::object adaptive_avg_pool_backward_py(py::handle grad, py::handle input_shape, int dims) {
  return average_gradient(adaptive_params(dims), grad, input_shape);
}

// ---- Unpooling, fractional pooling -----------------------------------------------------------

void image_sizes(const Arg& x, py::handle output_size, int dims, const char* op, int64_t* out) {
  if (x.view.ndim != dims + 1 && x.view.ndim != dims + 2)
    fail(ErrorKind::shape, op, dims, "d: input must have ", dims + 1, " or ", dims + 2,
         " dimensions, got shape ", x.view.shape_text());
  int_or_list(output_size, out, dims, op, "output_size");
  for (int d = 0; d < dims; ++d)
    if (out[d] < 1)
      fail(ErrorKind::value, op, dims, "d: output_size must be at least 1, got ", out[d]);
}

py::object max_unpool_py(py::handle input, py::handle indices, int dims, py::handle output_size) {
  check_dims(dims);
  const Arg x = input_arg(input, "max_unpool", "input"),
            index = input_arg(indices, "max_unpool", "indices");
  int64_t out[3];
  image_sizes(x, output_size, dims, "max_unpool", out);
  const NewArray y = new_image(x.view, x.view.dtype, out, dims);
  run_op(max_unpool_forward, UnpoolParams{dims},
         {batched(x.view, dims), batched(index.view, dims), batched(y.view, dims)});
  return y.array;
}

py::object max_unpool_backward_py(py::handle grad, py::handle indices, int dims) {
  check_dims(dims);
  const char* op = "max_unpool backward";
  const Arg dy = input_arg(grad, op, "grad_output"), index = input_arg(indices, op, "indices");
  const NewArray dx = new_array_like(index.view, dy.view.dtype);
  run_op(max_unpool_backward, UnpoolParams{dims},
         {batched(dy.view, dims), batched(index.view, dims), batched(dx.view, dims)});
  return dx.array;
}

py::object fractional_max_pool_py(py::handle input, py::handle random_samples, int dims,
                                  py::handle kernel, py::handle output_size) {
  check_dims(dims);
  const char* op = "fractional_max_pool";
  const Arg x = input_arg(input, op, "input"),
            samples = input_arg(random_samples, op, "_random_samples");
  FractionalPoolParams p;
  p.dims = dims;
  int_or_list(kernel, p.kernel, dims, op, "kernel_size");
  int64_t out[3];
  image_sizes(x, output_size, dims, op, out);
  const NewArray y = new_image(x.view, x.view.dtype, out, dims),
                 index = new_image(x.view, DType::i64, out, dims);
  run_op(fractional_max_pool_forward, p,
         {batched(x.view, dims), samples.view, batched(y.view, dims), batched(index.view, dims)});
  return py::make_tuple(y.array, index.array);
}

}  // namespace

NewArray max_pool_new(const TensorView& x, int dims, const WindowArgs& window) {
  PoolParams p = plain_params(dims, window.ceil_mode);
  window_args(p, window.kernel, window.stride, window.padding, window.dilation, "max_pool");
  int64_t out[3];
  pool_output_shape("max_pool", p, batched(x, dims), out);
  const NewArray y = new_image(x, x.dtype, out, dims);
  run_op(max_pool_forward, p, {batched(x, dims), batched(y.view, dims), TensorView{}});
  return y;
}

NewArray adaptive_avg_pool_new(const TensorView& x, int dims, py::handle output_size) {
  int64_t out[3];
  adaptive_sizes(x, output_size, dims, "adaptive_avg_pool", out);
  return average(adaptive_params(dims), x, out);
}

void bind_pool(py::module_& m) {
  m.def("max_pool", &max_pool_py);
  m.def("max_pool_backward", &max_pool_backward_py);
  m.def("max_pool_scatter", &max_pool_scatter);
  m.def("adaptive_max_pool", &adaptive_max_pool_py);
  m.def("avg_pool", &avg_pool_py);
  m.def("avg_pool_backward", &avg_pool_backward_py);
  m.def("adaptive_avg_pool", &adaptive_avg_pool_py);
  m.def("adaptive_avg_pool_backward", &adaptive_avg_pool_backward_py);
  m.def("max_unpool", &max_unpool_py);
  m.def("max_unpool_backward", &max_unpool_backward_py);
  m.def("fractional_max_pool", &fractional_max_pool_py);
}

}  // namespace fastnn
