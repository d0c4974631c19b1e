// Straight loops. Forward and the gradient of the grid go point by point; the gradient of the image
// goes plane by plane, so that its sums have one order.
#include "cpu/grid_taps.h"
#include "cpu/image.h"
#include "cpu/row_blocks.h"

namespace fastnn {

namespace {

// A grid as an image with 2 or 3 "channels": (N, OD, OH, OW, k) -> (N, k, OD, OH, OW).
Image grid_image(const TensorView& grid, int dims) {
  TensorView v = grid;
  v.shape[1] = grid.shape[dims + 1];
  v.stride[1] = grid.stride[dims + 1];
  for (int d = 0; d < dims; ++d) {
    v.shape[2 + d] = grid.shape[1 + d];
    v.stride[2 + d] = grid.stride[1 + d];
  }
  return Image(v, dims);
}

template <class T>
T value_at(const Image& m, int64_t offset) {
  if (m.holds<T>()) return reinterpret_cast<const T*>(m.data)[offset];
  return static_cast<T>(element(m, offset));
}

// The taps of all axes at one point.
template <class T>
struct Point {
  AxisTaps<T> d, h, w;

  Point(const Image& x, const Image& grid, int64_t n, int64_t od, int64_t oh, int64_t ow,
        const GridSampleParams& p) {
    const auto coordinate = [&](int64_t axis) {
      return value_at<T>(grid, grid.at(n * grid.c + axis, od, oh, ow));
    };
    w = axis_taps(coordinate(0), x.w, p);
    h = axis_taps(coordinate(1), x.h, p);
    if (p.dims == 3)
      d = axis_taps(coordinate(2), x.d, p);
    else
      d = {1, {0}, {1}, {0}};
  }

  // f(pixel's offset in a plane of m, i, j, k) for the taps inside the image.
  template <class F>
  void for_pixels(const Image& m, F f) const {
    for (int i = 0; i < d.count; ++i)
      for (int j = 0; j < h.count; ++j)
        for (int k = 0; k < w.count; ++k)
          if (d.i[i] >= 0 && h.i[j] >= 0 && w.i[k] >= 0)
            f(d.i[i] * m.stride_d + h.i[j] * m.stride_h + w.i[k] * m.stride_w, i, j, k);
  }
  T weight(int i, int j, int k) const { return d.weight[i] * h.weight[j] * w.weight[k]; }
};

// f(n, od, oh, ow, worker) for all points, in parallel by rows.
template <class F>
void for_points(const Image& grid, int64_t work, F f) {
  for_row_blocks(grid.n, grid.d * grid.h, grid.w * work, false,
                 [&](int64_t n, int64_t first, int64_t last, int) {
                   for (int64_t r = first; r < last; ++r)
                     for (int64_t ow = 0; ow < grid.w; ++ow) f(n, r / grid.h, r % grid.h, ow);
                 });
}

template <class T>
void sample(const GridSampleParams& p, const Image& x, const Image& grid, const Image& y) {
  for_points(grid, 8 * x.c, [&](int64_t n, int64_t od, int64_t oh, int64_t ow) {
    const Point<T> point(x, grid, n, od, oh, ow, p);
    for (int64_t c = 0; c < x.c; ++c) {
      const int64_t plane = n * x.c + c, base = x.offset(plane);
      T sum = 0;
      point.for_pixels(x, [&](int64_t at, int i, int j, int k) {
        sum += value_at<T>(x, base + at) * point.weight(i, j, k);
      });
      set_element(y, y.at(plane, od, oh, ow), static_cast<double>(sum));
    }
  });
}

template <class T>
void grid_gradient(const GridSampleParams& p, const Image& dy, const Image& x, const Image& grid,
                   const Image& dgrid) {
  for_points(grid, 24 * x.c, [&](int64_t n, int64_t od, int64_t oh, int64_t ow) {
    const Point<T> point(x, grid, n, od, oh, ow, p);
    T sum[3] = {0, 0, 0};
    for (int64_t c = 0; c < x.c; ++c) {
      const int64_t plane = n * x.c + c, base = x.offset(plane);
      const T g = value_at<T>(dy, dy.at(plane, od, oh, ow));
      point.for_pixels(x, [&](int64_t at, int i, int j, int k) {
        const T v = g * value_at<T>(x, base + at);
        sum[0] += v * point.d.weight[i] * point.h.weight[j] * point.w.slope[k];
        sum[1] += v * point.d.weight[i] * point.h.slope[j] * point.w.weight[k];
        sum[2] += v * point.d.slope[i] * point.h.weight[j] * point.w.weight[k];
      });
    }
    for (int axis = 0; axis < p.dims; ++axis)
      set_element(dgrid, dgrid.at(n * dgrid.c + axis, od, oh, ow), static_cast<double>(sum[axis]));
  });
}

template <class T>
void image_gradient(const GridSampleParams& p, const Image& dy, const Image& grid, const Image& dx,
                    void* scratch) {
  Image dense = dx;  // sums of one plane, in T, before they are rounded
  dense.stride_d = dx.h * dx.w, dense.stride_h = dx.w, dense.stride_w = 1;
  const size_t each = aligned_bytes<T>(dx.plane_size());
  parallel_for(dx.planes(), [&](int64_t plane, int worker) {
    T* sums =
        reinterpret_cast<T*>(static_cast<char*>(scratch) + static_cast<size_t>(worker) * each);
    std::fill(sums, sums + dx.plane_size(), T{0});
    dy.for_positions([&](int64_t od, int64_t oh, int64_t ow) {
      const Point<T> point(dx, grid, plane / dx.c, od, oh, ow, p);
      const T g = value_at<T>(dy, dy.at(plane, od, oh, ow));
      point.for_pixels(
          dense, [&](int64_t at, int i, int j, int k) { sums[at] += g * point.weight(i, j, k); });
    });
    unpack_rows(sums, dx, plane, 0, dx.d * dx.h);
  });
}

// ---- The ops ---------------------------------------------------------------------------------

template <class F>
void with_type(DType t, F&& f) {
  if (t == DType::f64)
    f(double{});
  else
    f(float{});
}

void run(const GridSampleParams& p, const TensorView* v, void*) {
  with_type(v[0].dtype, [&](auto tag) {
    sample<decltype(tag)>(p, Image(v[0], p.dims), grid_image(v[1], p.dims), Image(v[2], p.dims));
  });
}

size_t backward_workspace(const GridSampleParams& p, const TensorView* v) {
  if (!v[3]) return 0;
  return aligned_bytes<double>(Image(v[3], p.dims).plane_size()) *
         static_cast<size_t>(max_workers());
}

void run_backward(const GridSampleParams& p, const TensorView* v, void* scratch) {
  const Image dy(v[0], p.dims), x(v[1], p.dims), grid = grid_image(v[2], p.dims);
  with_type(v[0].dtype, [&](auto tag) {
    using T = decltype(tag);
    if (v[3]) image_gradient<T>(p, dy, grid, Image(v[3], p.dims), scratch);
    if (v[4]) grid_gradient<T>(p, dy, x, grid, grid_image(v[4], p.dims));
  });
}

bool same(const TensorView& a, const TensorView& b) {
  return a.dtype == b.dtype && a.ndim == b.ndim && std::equal(a.shape, a.shape + a.ndim, b.shape);
}

void check(const GridSampleParams& p, const TensorView& x, const TensorView& grid,
           const TensorView& y) {
  const char* op = "grid_sample";
  if (p.dims != 2 && p.dims != 3)
    fail(ErrorKind::value, op, ": images have 2 or 3 spatial axes, got ", p.dims);
  if (p.mode == SampleMode::bicubic && p.dims != 2)
    fail(ErrorKind::value, op, ": bicubic mode needs two spatial axes, got ", p.dims);
  if (x.ndim != p.dims + 2 || grid.ndim != p.dims + 2 || grid.shape[p.dims + 1] != p.dims ||
      grid.shape[0] != x.shape[0])
    fail(ErrorKind::shape, op, ": for an input of shape ", x.shape_text(),
         " expected a grid with the same batch, ", p.dims, " spatial axes and a last axis of size ",
         p.dims, "; got ", grid.shape_text());
  if (!is_float(x.dtype) || grid.dtype != x.dtype)
    fail(ErrorKind::dtype, op, ": input and grid must have one floating dtype, got ",
         name_of(x.dtype), " and ", name_of(grid.dtype));
  for (int d = 2; d < x.ndim; ++d)
    if (x.shape[d] < 1)
      fail(ErrorKind::shape, op, ": input must not be empty in its spatial axes, got shape ",
           x.shape_text());
  bool fits = y.ndim == x.ndim && y.dtype == x.dtype && y.shape[0] == x.shape[0] &&
              y.shape[1] == x.shape[1];
  for (int d = 0; fits && d < p.dims; ++d) fits = y.shape[2 + d] == grid.shape[1 + d];
  if (!fits)
    fail(ErrorKind::shape, op, ": the sampled image is ", name_of(y.dtype), " of shape ",
         y.shape_text(), ", which does not fit input ", x.shape_text(), " and grid ",
         grid.shape_text());
}

void check_forward(const GridSampleParams& p, const TensorView* v) { check(p, v[0], v[1], v[2]); }

void check_backward(const GridSampleParams& p, const TensorView* v) {
  check(p, v[1], v[2], v[0]);
  if ((v[3] && !same(v[3], v[1])) || (v[4] && !same(v[4], v[2])))
    fail(ErrorKind::shape, "grid_sample: gradients must have the shapes of input and grid");
}

}  // namespace

const Op<GridSampleParams> grid_sample_forward = {"grid_sample", check_forward, nullptr, run};
const Op<GridSampleParams> grid_sample_backward = {"grid_sample_backward", check_backward,
                                                   backward_workspace, run_backward};

}  // namespace fastnn
