#include "fastnn/ops/resize.h"

#include <pybind11/stl.h>

#include "bindings/image.h"

namespace fastnn {

namespace {

constexpr const char* kOp = "interpolate";

ResizeMode mode_from(const std::string& name) {
  if (name == "nearest") return ResizeMode::nearest;
  if (name == "nearest-exact") return ResizeMode::nearest_exact;
  if (name == "linear") return ResizeMode::linear;
  if (name == "cubic") return ResizeMode::cubic;
  fail(ErrorKind::value, kOp, ": mode must be nearest, nearest-exact, linear or cubic, got '", name,
       "'");
}

ResizeParams params_from(int dims, const std::string& mode, bool align_corners, bool antialias,
                         py::handle scales) {
  if (dims < 1 || dims > 3)
    fail(ErrorKind::value, kOp, ": 1 to 3 spatial axes are supported, got ", dims);
  ResizeParams p;
  p.dims = dims;
  p.mode = mode_from(mode);
  p.align_corners = align_corners;
  p.antialias = antialias;
  if (scales.is_none()) return p;
  const auto list = scales.cast<std::vector<double>>();
  if (static_cast<int>(list.size()) != dims)
    fail(ErrorKind::value, kOp, ": scale_factor must have ", dims, " entries, got ", list.size());
  for (int d = 0; d < dims; ++d) {
    if (!(list[d] > 0))
      fail(ErrorKind::value, kOp, ": scale_factor must be positive, got ", list[d]);
    p.scale[d] = list[d];
  }
  return p;
}

py::object resize(py::handle input, int dims, py::handle output_size, const std::string& mode,
                  bool align_corners, bool antialias, py::handle scales) {
  const ResizeParams p = params_from(dims, mode, align_corners, antialias, scales);
  const Arg x = input_arg(input, kOp, "input");
  if (x.view.ndim != dims + 2)
    fail(ErrorKind::shape, kOp, ": input must have ", dims + 2, " dimensions, got shape ",
         x.view.shape_text());
  int64_t out[3];
  int_or_list(output_size, out, dims, kOp, "size");
  for (int d = 0; d < dims; ++d)
    if (out[d] < 1)
      fail(ErrorKind::value, kOp, ": output sizes must be at least 1, got ", out[d], " for axis ",
           d);
  const NewArray y = new_image(x.view, x.view.dtype, out, dims);
  run_op(resize_forward, p, {x, y});
  return y.array;
}

py::object resize_gradient(py::handle grad, py::handle input_size, int dims,
                           const std::string& mode, bool align_corners, bool antialias,
                           py::handle scales) {
  const ResizeParams p = params_from(dims, mode, align_corners, antialias, scales);
  const Arg dy = input_arg(grad, kOp, "grad_output");
  if (dy.view.ndim != dims + 2)
    fail(ErrorKind::shape, kOp, ": grad_output must have ", dims + 2, " dimensions, got shape ",
         dy.view.shape_text());
  int64_t in[3];
  int_or_list(input_size, in, dims, kOp, "input_size");
  for (int d = 0; d < dims; ++d)
    if (in[d] < 1)
      fail(ErrorKind::value, kOp, ": input sizes must be at least 1, got ", in[d], " for axis ", d);
  const NewArray dx = new_image(dy.view, dy.view.dtype, in, dims);
  run_op(resize_backward, p, {dy, dx});
  return dx.array;
}

}  // namespace

void bind_resize(py::module_& m) {
  m.def("resize", &resize);
  m.def("resize_backward", &resize_gradient);
}

}  // namespace fastnn
