// Depthwise convolutions and their gradients on planes that are read and written where they lie: no
// band is copied, no weight packed.
#include "cpu/conv_band.h"
#include "cpu/conv_direct.h"

namespace fastnn {

namespace {

constexpr int64_t kTaskWork = 50000;       // multiply-adds
constexpr int64_t kPixelsTogether = 2048;  // of small planes that one vector of sums takes

// A kernel that has its own code, on both axes alike, on images whose columns are adjacent.
bool is_stencil(const Correlation& c) {
  const ConvAxis &y = c.axis[1], &x = c.axis[2];
  return two_axes(c) && c.in == 1 && c.out == 1 && c.elem() >= 4 && y.taps == x.taps &&
         (x.taps == 3 || x.taps == 5) && std::abs(y.tap_step) == 1 && std::abs(x.tap_step) == 1 &&
         y.step == x.step && x.step <= 2 && c.image.axis[2] == 1 && c.result.axis[2] == 1 &&
         (c.activation == Activation::none || rectifies(c.activation)) &&
         conv_direct_kernels(c.dtype).image_plane != nullptr;
}

// Calls run(n, group, groups, row0, row1) for all rows of all planes of the result: rows of one
// plane, or all of some planes.
template <class Run>
void for_plane_rows(const Correlation& c, Run run) {
  if (c.pixels() == 0) return;
  const int64_t row_work = c.axis[2].out * c.taps();
  const int64_t fit = std::max<int64_t>(8, kTaskWork / row_work / 4 * 4);
  const int64_t rows = std::min(fit, c.axis[1].out);  // of a task, in a plane
  const int64_t parts = (c.axis[1].out + rows - 1) / rows;
  const int64_t per_task = std::max<int64_t>(1, kTaskWork / (row_work * rows));
  parallel_blocks(c.batch * c.groups * parts, per_task, [&](int64_t begin, int64_t end, int) {
    while (begin < end) {
      const int64_t part = begin % parts, group = begin / parts % c.groups;
      const int64_t groups = parts > 1 ? 1 : std::min(end - begin, c.groups - group);
      run(begin / parts / c.groups, group, groups, part * rows,
          std::min((part + 1) * rows, c.axis[1].out));
      begin += groups;
    }
  });
}

char* plane_of(const ConvImageView& image, int64_t n, int64_t g, int64_t elem) {
  return image.data + (n * image.n + g * image.c) * elem;
}
const void* bias_of(const Correlation& c, int64_t g) {
  return c.bias ? static_cast<const char*>(c.bias.data) + g * c.bias.stride[0] * c.elem() : nullptr;
}

// What all planes have in common: all but data, weight, rows and where the taps begin.
ConvImagePlane any_plane(const Correlation& c) {
  ConvImagePlane t;
  t.kernel = static_cast<int>(c.axis[1].taps);
  t.step = static_cast<int>(c.axis[1].step);
  t.image_row = c.image.axis[1];
  t.size_y = c.axis[1].size;
  t.size_x = c.axis[2].size;
  t.dst_row = c.result.axis[1];
  t.pixels = c.axis[2].out;
  t.rectifier = rectifier_of(c.activation);
  t.image_plane = c.image.c;
  t.dst_plane = c.result.c;
  t.weight_plane = c.weight.group;
  t.bias_plane = c.bias ? c.bias.stride[0] : 0;
  return t;
}

// Calls kernel(t) for all rows of all planes; `weight`: a group's first tap.
void run_planes(const Correlation& c, const ConvImagePlane& like, const char* weight,
                void (*kernel)(const ConvImagePlane&)) {
  for_plane_rows(c, [&](int64_t n, int64_t g, int64_t groups, int64_t row0, int64_t row1) {
    ConvImagePlane t = like;
    t.planes = groups;
    t.image = plane_of(c.image, n, g, c.elem());
    t.dst = plane_of(c.result, n, g, c.elem());
    t.row0 = row0;
    t.row1 = row1;
    t.bias = bias_of(c, g);
    t.weight = weight + g * c.weight.group * c.elem();
    kernel(t);
  });
}

// A weight's gradient, rounded to its type.
void store_taps(const Correlation& c, const double* sum, int64_t g) {
  for (int64_t y = 0; y < c.axis[1].taps; ++y)
    for (int64_t x = 0; x < c.axis[2].taps; ++x, ++sum) {
      char* to = c.weight.data +
                 (g * c.weight.group + y * c.weight.axis[1] + x * c.weight.axis[2]) * c.elem();
      if (c.dtype == DType::f64)
        *reinterpret_cast<double*>(to) = *sum;
      else
        *reinterpret_cast<float*>(to) = static_cast<float>(*sum);
    }
}

// What the dots of all planes have in common.
ConvPlaneDots any_dots(const Correlation& c, const Bands& bands) {
  ConvPlaneDots t;
  t.kernel = static_cast<int>(c.axis[1].taps);
  t.step = static_cast<int>(c.axis[1].step);
  t.image_row = c.image.axis[1];
  t.size_y = c.axis[1].size;
  t.size_x = c.axis[2].size;
  t.low_y = bands.low_y;
  t.low_x = bands.low_x;
  t.dy_row = c.result.axis[1];
  t.rows = c.axis[1].out;
  t.pixels = c.axis[2].out;
  t.image_n = c.image.n;
  t.dy_n = c.result.n;
  t.image_plane = c.image.c;
  t.dy_plane = c.result.c;
  return t;
}

// All images of some channels. Vectors add up a plane, or several small ones; these sums are added
// up in double.
void run_dots(const Correlation& c, ConvPlaneDots t, int64_t g, int64_t planes) {
  double sum[kConvDotPlanes * 25] = {};
  t.sum = sum;
  t.planes = planes;
  const int64_t together = std::max<int64_t>(1, kPixelsTogether / std::max<int64_t>(1, c.pixels()));
  for (int64_t n = 0; n < c.batch; n += together) {
    t.images = std::min(together, c.batch - n);
    t.image = plane_of(c.image, n, g, c.elem());
    t.dy = plane_of(c.result, n, g, c.elem());
    conv_direct_kernels(c.dtype).plane_dots(t);
  }
  for (int64_t p = 0; p < planes; ++p) store_taps(c, sum + p * c.taps(), g + p);
}

}  // namespace

bool prefers_planes(const Correlation& c) { return is_stencil(c); }

size_t correlate_planes_workspace(const Correlation&) { return 0; }

void correlate_planes(const Correlation& c, void*) {
  const Bands bands(c, 0);
  ConvImagePlane t = any_plane(c);
  // In the order of the image's rows and columns, which taps with a negative step run against.
  const char* weight = c.weight.data;
  int64_t step[3];
  for (int a = 1; a < 3; ++a) {
    const bool against = c.axis[a].tap_step < 0;
    step[a] = against ? -c.weight.axis[a] : c.weight.axis[a];
    if (against) weight += (t.kernel - 1) * c.weight.axis[a] * c.elem();
  }
  t.weight_y = step[1];
  t.weight_x = step[2];
  t.low_y = bands.low_y;
  t.low_x = bands.low_x;
  run_planes(c, t, weight, conv_direct_kernels(c.dtype).image_plane);
}

bool prefers_spread_planes(const Correlation& whole) {
  return is_stencil(whole) && whole.axis[2].step == 2 && whole.axis[1].tap_step == 1 &&
         whole.axis[2].tap_step == 1;
}

void correlate_spread_planes(const Correlation& whole) {
  ConvImagePlane t = any_plane(whole);
  t.weight_y = whole.weight.axis[1];
  t.weight_x = whole.weight.axis[2];
  t.low_y = whole.axis[1].origin;
  t.low_x = whole.axis[2].origin;
  run_planes(whole, t, whole.weight.data, conv_direct_kernels(whole.dtype).spread_plane);
}

bool weight_prefers_planes(const Correlation& c) {
  constexpr int64_t kGroups = 8;  // each is a task: with fewer, threads would idle
  return is_stencil(c) && c.groups >= kGroups && c.axis[1].tap_step == 1 && c.axis[2].tap_step == 1;
}

size_t correlate_weight_planes_workspace(const Correlation&) { return 0; }

void correlate_weight_planes(const Correlation& c, void*) {
  const ConvPlaneDots t = any_dots(c, Bands(c, 0));
  const int64_t planes =
      std::clamp<int64_t>(kPixelsTogether / std::max<int64_t>(1, c.pixels()), 1, kConvDotPlanes);
  const int64_t work = c.batch * c.pixels() * c.taps() * planes;
  const int64_t blocks = std::max<int64_t>(1, kTaskWork / std::max<int64_t>(1, work));
  parallel_blocks(c.groups, blocks * planes, [&](int64_t begin, int64_t end, int) {
    for (int64_t g = begin; g < end; g += planes) run_dots(c, t, g, std::min(planes, end - g));
  });
}

}  // namespace fastnn
