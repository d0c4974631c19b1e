// Convolution: arrays in, arrays out. Images without a batch axis are viewed with a batch of one.
#include "fastnn/ops/conv.h"

#include "bindings/activation.h"
#include "bindings/image.h"
#include "bindings/layers.h"

namespace fastnn {

namespace {

// What all directions take.
struct Geometry {
  ConvParams p;
  int64_t padding_after[3] = {};
  bool transposed;
  const char* op;

  Geometry(int weight_ndim, py::handle stride, py::handle padding, py::handle dilation,
           int64_t groups, bool is_transposed)
      : transposed(is_transposed) {
    if (weight_ndim < 3 || weight_ndim > 5)
      fail(ErrorKind::shape,
           "conv: weight must have 3 to 5 dimensions (channels, channels per "
           "group, 1 to 3 spatial), got ",
           weight_ndim);
    p.dims = weight_ndim - 2;
    p.groups = groups;
    static constexpr const char* kNames[2][3] = {
        {"conv1d", "conv2d", "conv3d"},
        {"conv_transpose1d", "conv_transpose2d", "conv_transpose3d"}};
    op = kNames[transposed][p.dims - 1];
    int_or_list(stride, p.stride, p.dims, op, "stride");
    int_or_list(dilation, p.dilation, p.dims, op, "dilation");
    read_padding(padding);
  }

  // A number, one for each axis, or (before, after) for each axis.
  void read_padding(py::handle padding) {
    const bool pairs = !transposed && PySequence_Check(padding.ptr()) &&
                       PySequence_Size(padding.ptr()) == 2 * p.dims;
    if (!pairs) {
      int_or_list(padding, p.padding, p.dims, op, "padding");
      std::copy(p.padding, p.padding + p.dims, padding_after);
      return;
    }
    const std::vector<int64_t> list = int_list(padding, op, "padding");
    for (int d = 0; d < p.dims; ++d) {
      p.padding[d] = list[2 * d];
      padding_after[d] = list[2 * d + 1];
    }
  }

  TensorView image(const Arg& arg, const char* name) const {
    if (arg.view.ndim != p.dims + 1 && arg.view.ndim != p.dims + 2)
      fail(ErrorKind::shape, op, ": ", name, " must have ", p.dims + 1, " or ", p.dims + 2,
           " dimensions, got shape ", arg.view.shape_text());
    return batched(arg.view, p.dims);
  }
};

void check_bias(const Geometry& g, const TensorView& bias, int64_t channels, DType dtype) {
  if (!bias) return;
  if (bias.ndim != 1 || bias.shape[0] != channels)
    fail(ErrorKind::shape, g.op, ": bias must have shape (", channels,
         ",), one value for each output channel, got ", bias.shape_text());
  if (bias.dtype != dtype && (size_of(dtype) != 2 || bias.dtype != DType::f32))
    fail(ErrorKind::dtype, g.op, ": input is ", name_of(dtype), " and bias ", name_of(bias.dtype),
         "; they must be the same: convert one of them");
}

py::object forward(py::handle x_in, py::handle w_in, py::handle bias_in, py::handle stride,
                   py::handle padding, py::handle dilation, int64_t groups, bool transposed,
                   py::handle output_padding, py::handle activation) {
  const char* family = transposed ? "conv_transpose" : "conv";
  const Arg x = input_arg(x_in, family, "input"), w = input_arg(w_in, family, "weight"),
            bias = optional_arg(bias_in, family, "bias");
  Geometry g(w.view.ndim, stride, padding, dilation, groups, transposed);
  const char* op = g.op;
  const TensorView xb = g.image(x, "input");
  g.p.activation = activation_arg(activation, op);
  int64_t out[3], extra[3];
  int_or_list(output_padding, extra, g.p.dims, op, "output_padding");
  if (transposed)
    conv_transpose_output_shape(op, g.p, extra, xb, w, out);
  else
    conv_output_shape(op, g.p, g.padding_after, xb, w, out);
  const int64_t channels = transposed ? checked_mul(w.view.shape[1], groups, op) : w.view.shape[0];
  check_bias(g, bias, channels, xb.dtype);
  const NewArray y = new_image(x.view, x.view.dtype, channels, out, g.p.dims);
  run_op(transposed ? conv_backward_input : conv_forward, g.p,
         {xb, w, bias, batched(y.view, g.p.dims)});
  return y.array;
}

// The gradient of forward's x; `input_shape` is that of x.
py::object backward_input(py::handle dy_in, py::handle w_in, py::handle input_shape,
                          py::handle stride, py::handle padding, py::handle dilation,
                          int64_t groups, bool transposed) {
  const Arg dy = input_arg(dy_in, "conv backward", "grad_output"),
            w = input_arg(w_in, "conv backward", "weight");
  const Geometry g(w.view.ndim, stride, padding, dilation, groups, transposed);
  const TensorView dyb = g.image(dy, "grad_output");
  const std::vector<int64_t> shape = int_list(input_shape, g.op, "input shape");
  const int rank = static_cast<int>(shape.size());
  bool fits = rank == dy.view.ndim && (rank == g.p.dims + 1 || rank == g.p.dims + 2);
  for (int d = 0; fits && d < rank; ++d) fits = shape[d] >= 0;
  if (!fits || (rank == g.p.dims + 2 && shape[0] != dy.view.shape[0]))
    fail(ErrorKind::shape, g.op, ": grad_output of shape ", dy.view.shape_text(),
         " does not fit an input of rank ", rank, "; expected the same rank and batch");
  const NewArray dx = new_image(dy.view, dy.view.dtype, shape[rank - g.p.dims - 1],
                                shape.data() + rank - g.p.dims, g.p.dims);
  run_op(transposed ? conv_forward : conv_backward_input, g.p,
         {dyb, w, TensorView{}, batched(dx.view, g.p.dims)});
  return dx.array;
}

// The gradient of forward's w; `weight_shape` is that of w.
py::object backward_weight(py::handle dy_in, py::handle x_in, py::handle weight_shape,
                           py::handle stride, py::handle padding, py::handle dilation,
                           int64_t groups, bool transposed) {
  const Arg dy = input_arg(dy_in, "conv backward", "grad_output"),
            x = input_arg(x_in, "conv backward", "input");
  const std::vector<int64_t> shape = int_list(weight_shape, "conv backward", "weight shape");
  const Geometry g(static_cast<int>(shape.size()), stride, padding, dilation, groups, transposed);
  for (const int64_t size : shape)
    if (size < 0) fail(ErrorKind::shape, g.op, ": weight shape must not be negative, got ", size);
  const NewArray dw = new_array(x.view.dtype, shape.data(), static_cast<int>(shape.size()));
  const TensorView xb = g.image(x, "input"), dyb = g.image(dy, "grad_output");
  if (transposed)
    run_op(conv_backward_weight, g.p, {dyb, xb, dw});
  else
    run_op(conv_backward_weight, g.p, {xb, dyb, dw});
  return dw.array;
}

// The sum of every channel.
py::object backward_bias(py::handle dy_in, int dims) {
  const Arg dy = input_arg(dy_in, "conv backward", "grad_output");
  ConvParams p;
  p.dims = dims;
  const TensorView dyb = batched(dy.view, dims);
  if (dims < 1 || dims > 3 || dyb.ndim != dims + 2)
    fail(ErrorKind::shape,
         "conv backward: grad_output must have dims + 1 or dims + 2 dimensions "
         "with dims = 1, 2 or 3, got shape ",
         dy.view.shape_text(), " and dims = ", dims);
  const NewArray db = new_array(dyb.dtype, {dyb.shape[1]});
  run_op(conv_backward_bias, p, {dyb, db});
  return db.array;
}

}  // namespace

NewArray conv_new(const ConvParams& params, const TensorView& x, const Arg& w,
                  const TensorView& bias, PreparedWeights* prepared, py::handle weight) {
  ConvParams p = params;
  const TensorView xb = batched(x, p.dims);
  int64_t out[3];
  conv_output_shape("conv", p, p.padding, xb, w, out);
  NewArray y = new_image(x, x.dtype, w.view.shape[0], out, p.dims);
  const TensorView views[] = {xb, w, bias, batched(y.view, p.dims)};
  std::shared_ptr<const void> data;
  if (prepared) {
    conv_forward.check(p, views);
    data = prepared->find(p, views, weight, w.keep);
    p.prepares = true;
    p.prepared = data.get();
  }
  launch_where(conv_forward, p, views, 4);
  return y;
}

void bind_conv(py::module_& m) {
  py::class_<PreparedWeights>(m, "PreparedWeights")
      .def(py::init<>())
      .def_property_readonly("bytes", &PreparedWeights::bytes)
      .def("__reduce__", [](py::object self) {  // a copy prepares its own
        return py::make_tuple(py::type::of(self), py::tuple());
      });
  m.def("conv_forward", &forward, py::arg("input"), py::arg("weight"), py::arg("bias"),
        py::arg("stride"), py::arg("padding"), py::arg("dilation"), py::arg("groups"),
        py::arg("transposed") = false, py::arg("output_padding") = 0, py::arg("activation") = 0);
  m.def("conv_backward_input", &backward_input, py::arg("grad_output"), py::arg("weight"),
        py::arg("input_shape"), py::arg("stride"), py::arg("padding"), py::arg("dilation"),
        py::arg("groups"), py::arg("transposed") = false);
  m.def("conv_backward_weight", &backward_weight, py::arg("grad_output"), py::arg("input"),
        py::arg("weight_shape"), py::arg("stride"), py::arg("padding"), py::arg("dilation"),
        py::arg("groups"), py::arg("transposed") = false);
  m.def("conv_backward_bias", &backward_bias, py::arg("grad_output"), py::arg("dims"));
}

}  // namespace fastnn
