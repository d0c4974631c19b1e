// Depthwise convolutions on planes that are read where they lie: no band is copied, no weight
// packed.
#include "cpu/conv_band.h"
#include "cpu/conv_direct.h"

namespace fastnn {

namespace {

constexpr int64_t kTaskWork = 200000;  // multiply-adds

// A kernel that has its own code, on both axes alike.
bool is_stencil(const Correlation& c) {
  const ConvAxis &y = c.axis[1], &x = c.axis[2];
  return c.in == 1 && c.out == 1 && y.taps == x.taps && (x.taps == 3 || x.taps == 5) &&
         std::abs(y.tap_step) == 1 && std::abs(x.tap_step) == 1 && y.step == x.step && x.step <= 2;
}

class PlaneRun {
 public:
  explicit PlaneRun(const Correlation& c)
      : c_(c), bands_(c, 0), kernel_(conv_direct_kernels(c.dtype).image_plane) {}

  void all() const {
    const int64_t row_work = std::max<int64_t>(1, c_.axis[2].out * c_.taps());
    const int64_t fit = std::max<int64_t>(8, kTaskWork / row_work / 4 * 4);
    const int64_t rows = std::min(fit, c_.axis[1].out);  // of a task, in a plane
    const int64_t parts = (c_.axis[1].out + rows - 1) / rows;
    const int64_t per_task = std::max<int64_t>(1, kTaskWork / (row_work * rows));
    parallel_blocks(c_.batch * c_.groups * parts, per_task, [&](int64_t begin, int64_t end, int) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t plane = i / parts, row0 = i % parts * rows;
        run(plane / c_.groups, plane % c_.groups, row0, std::min(row0 + rows, c_.axis[1].out));
      }
    });
  }

 private:
  void run(int64_t n, int64_t g, int64_t row0, int64_t row1) const {
    ConvImagePlane t;
    t.kernel = static_cast<int>(c_.axis[1].taps);
    t.step = static_cast<int>(c_.axis[1].step);
    // In the order of the image's rows and columns, which taps with a negative step run against.
    const char* weight = c_.weight.data + g * c_.weight.group * c_.elem();
    int64_t step[3];
    for (int a = 1; a < 3; ++a) {
      const bool against = c_.axis[a].tap_step < 0;
      step[a] = against ? -c_.weight.axis[a] : c_.weight.axis[a];
      if (against) weight += (t.kernel - 1) * c_.weight.axis[a] * c_.elem();
    }
    t.weight = weight;
    t.weight_y = step[1];
    t.weight_x = step[2];
    t.image = c_.image.data + (n * c_.image.n + g * c_.image.c) * c_.elem();
    t.image_row = c_.image.axis[1];
    t.size_y = c_.axis[1].size;
    t.size_x = c_.axis[2].size;
    t.low_y = bands_.low_y;
    t.low_x = bands_.low_x;
    t.dst = c_.result.data + (n * c_.result.n + g * c_.result.c) * c_.elem();
    t.dst_row = c_.result.axis[1];
    t.row0 = row0;
    t.row1 = row1;
    t.pixels = c_.axis[2].out;
    t.bias = c_.bias ? static_cast<const char*>(c_.bias.data) + g * c_.bias.stride[0] * c_.elem()
                     : nullptr;
    t.rectifier = rectifier_of(c_.activation);
    kernel_(t);
  }

  const Correlation& c_;
  const Bands bands_;
  void (*const kernel_)(const ConvImagePlane&);
};

}  // namespace

bool prefers_planes(const Correlation& c) {
  return two_axes(c) && is_stencil(c) && c.elem() >= 4 &&
         conv_direct_kernels(c.dtype).image_plane != nullptr && c.image.axis[2] == 1 &&
         c.result.axis[2] == 1 && (c.activation == Activation::none || rectifies(c.activation));
}

size_t correlate_planes_workspace(const Correlation&) { return 0; }

void correlate_planes(const Correlation& c, void*) {
  if (c.batch > 0 && c.pixels() > 0) PlaneRun(c).all();
}

}  // namespace fastnn
