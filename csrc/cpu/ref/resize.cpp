#include "cpu/ref/resize.h"

#include "fastnn/parallel.h"

namespace fastnn {

namespace {

// f(d, h, w, weight) for all inputs that output (od, oh, ow) reads.
template <class F>
void for_inputs(const ResizeAxis* axis, int64_t od, int64_t oh, int64_t ow, F f) {
  for_taps(axis[0], od, [&](int64_t d, double wd) {
    for_taps(axis[1], oh, [&](int64_t h, double wh) {
      for_taps(axis[2], ow, [&](int64_t w, double ww) { f(d, h, w, wd * wh * ww); });
    });
  });
}

}  // namespace

void resize_forward_ref(const ResizeAxis* axis, const Image& x, const Image& y) {
  parallel_for(y.planes(), [&](int64_t plane, int) {
    y.for_positions([&](int64_t od, int64_t oh, int64_t ow) {
      double sum = 0;
      for_inputs(axis, od, oh, ow, [&](int64_t d, int64_t h, int64_t w, double weight) {
        sum += weight * element(x, x.at(plane, d, h, w));
      });
      set_element(y, y.at(plane, od, oh, ow), sum);
    });
  });
}

void resize_backward_ref(const ResizeAxis* axis, const Image& dy, const Image& dx,
                         double* scratch) {
  parallel_for(dx.planes(), [&](int64_t plane, int worker) {
    double* sums = scratch + worker * dx.plane_size();
    std::fill(sums, sums + dx.plane_size(), 0.0);
    dy.for_positions([&](int64_t od, int64_t oh, int64_t ow) {
      const double g = element(dy, dy.at(plane, od, oh, ow));
      for_inputs(axis, od, oh, ow, [&](int64_t d, int64_t h, int64_t w, double weight) {
        sums[(d * dx.h + h) * dx.w + w] += weight * g;
      });
    });
    unpack_rows(sums, dx, plane, 0, dx.d * dx.h);
  });
}

}  // namespace fastnn
