#include "fastnn/ops/fold.h"

#include "bindings/image.h"

namespace fastnn {

namespace {

FoldParams params_from(py::handle kernel, py::handle dilation, py::handle padding,
                       py::handle stride, const char* op) {
  FoldParams p;
  int_or_list(kernel, p.kernel, 2, op, "kernel_size");
  int_or_list(dilation, p.dilation, 2, op, "dilation");
  int_or_list(padding, p.padding, 2, op, "padding");
  int_or_list(stride, p.stride, 2, op, "stride");
  return p;
}

// (N, C, H, W) -> (N, C*KH*KW, L); (C, H, W) -> (C*KH*KW, L).
py::object unfold(py::handle input, py::handle kernel, py::handle dilation, py::handle padding,
                  py::handle stride) {
  const char* op = "unfold";
  const FoldParams p = params_from(kernel, dilation, padding, stride, op);
  const Arg x = input_arg(input, op, "input");
  const TensorView image = batched(x.view, 2);
  if (image.ndim != 4)
    fail(ErrorKind::shape, op, ": input must have shape (N, C, H, W) or (C, H, W), got ",
         x.view.shape_text());
  const int64_t positions = checked_mul(fold_positions(p, 0, image.shape[2], op),
                                        fold_positions(p, 1, image.shape[3], op), op);
  const int64_t rows = checked_mul(checked_mul(image.shape[1], p.kernel[0], op), p.kernel[1], op);
  const bool batch = x.view.ndim == 4;
  const NewArray y = batch ? new_array(x.view.dtype, {image.shape[0], rows, positions})
                           : new_array(x.view.dtype, {rows, positions});
  run_op(unfold_forward, p, {image, batched(y.view, 1)});
  return y.array;
}

py::object fold(py::handle input, py::handle output_size, py::handle kernel, py::handle dilation,
                py::handle padding, py::handle stride) {
  const char* op = "fold";
  const FoldParams p = params_from(kernel, dilation, padding, stride, op);
  const Arg x = input_arg(input, op, "input");
  const TensorView columns = batched(x.view, 1);
  if (columns.ndim != 3)
    fail(ErrorKind::shape, op, ": input must have shape (N, C*KH*KW, L) or (C*KH*KW, L), got ",
         x.view.shape_text());
  int64_t out[2];
  int_or_list(output_size, out, 2, op, "output_size");
  fold_positions(p, 0, out[0], op);
  fold_positions(p, 1, out[1], op);
  const int64_t block = checked_mul(p.kernel[0], p.kernel[1], op);
  if (columns.shape[1] < 1 || columns.shape[1] % block)
    fail(ErrorKind::shape, op, ": the size of input's dimension 1 must be divisible by the ", block,
         " elements of kernel_size, got shape ", x.view.shape_text());
  const int64_t channels = columns.shape[1] / block;
  const NewArray y = x.view.ndim == 3
                         ? new_array(x.view.dtype, {columns.shape[0], channels, out[0], out[1]})
                         : new_array(x.view.dtype, {channels, out[0], out[1]});
  run_op(fold_forward, p, {columns, batched(y.view, 2)});
  return y.array;
}

}  // namespace

void bind_fold(py::module_& m) {
  m.def("unfold", &unfold);
  m.def("fold", &fold);
}

}  // namespace fastnn
