#include "fastnn/ops/grid_sample.h"

#include "bindings/image.h"

namespace fastnn {

namespace {

constexpr const char* kOp = "grid_sample";

GridSampleParams params_from(const TensorView& x, const std::string& mode,
                             const std::string& padding, bool align_corners) {
  GridSampleParams p;
  p.dims = x.ndim - 2;
  p.align_corners = align_corners;
  if (mode == "bilinear")
    p.mode = SampleMode::bilinear;
  else if (mode == "nearest")
    p.mode = SampleMode::nearest;
  else if (mode == "bicubic")
    p.mode = SampleMode::bicubic;
  else
    fail(ErrorKind::value, kOp, ": mode must be bilinear, nearest or bicubic, got '", mode, "'");
  if (padding == "zeros")
    p.padding = SamplePadding::zeros;
  else if (padding == "border")
    p.padding = SamplePadding::border;
  else if (padding == "reflection")
    p.padding = SamplePadding::reflection;
  else
    fail(ErrorKind::value, kOp, ": padding_mode must be zeros, border or reflection, got '",
         padding, "'");
  if (p.dims != 2 && p.dims != 3)
    fail(ErrorKind::shape, kOp, ": input must have 4 or 5 dimensions, got shape ", x.shape_text());
  return p;
}

py::object grid_sample(py::handle input, py::handle grid, const std::string& mode,
                       const std::string& padding, bool align_corners) {
  const Arg x = input_arg(input, kOp, "input"), g = input_arg(grid, kOp, "grid");
  const GridSampleParams p = params_from(x.view, mode, padding, align_corners);
  if (g.view.ndim != x.view.ndim)
    fail(ErrorKind::shape, kOp, ": input of shape ", x.view.shape_text(), " and grid of shape ",
         g.view.shape_text(), " must have equally many dimensions");
  const NewArray y = new_image(x.view, x.view.dtype, g.view.shape + 1, p.dims);
  run_op(grid_sample_forward, p, {x, g, y});
  return y.array;
}

py::object grid_sample_gradients(py::handle grad, py::handle input, py::handle grid,
                                 const std::string& mode, const std::string& padding,
                                 bool align_corners, bool want_input, bool want_grid) {
  const Arg dy = input_arg(grad, kOp, "grad_output"), x = input_arg(input, kOp, "input"),
            g = input_arg(grid, kOp, "grid");
  const GridSampleParams p = params_from(x.view, mode, padding, align_corners);
  NewArray dx, dgrid;
  dx.array = dgrid.array = py::none();
  if (want_input) dx = new_array_like(x.view, x.view.dtype);
  if (want_grid) dgrid = new_array_like(g.view, g.view.dtype);
  run_op(grid_sample_backward, p, {dy, x, g, dx, dgrid});
  return py::make_tuple(dx.array, dgrid.array);
}

}  // namespace

void bind_grid_sample(py::module_& m) {
  m.def("grid_sample", &grid_sample);
  m.def("grid_sample_backward", &grid_sample_gradients);
}

}  // namespace fastnn
