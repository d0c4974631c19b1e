// Where the taps of a correlation fall in a band (see conv_direct_table.h), and how pixels are cut
// into groups.
#pragma once

#include <algorithm>

#include "cpu/conv_shape.h"
#include "cpu/gemm_plan.h"
#include "cpu/kernels/conv.h"

namespace fastnn {

inline const ConvDirect& conv_direct_kernels(DType dtype) {
  const ConvKernels& kernels = active_conv_kernels();
  return dtype == DType::f64 ? kernels.direct_f64 : kernels.direct_f32;
}

// For correlations in two axes (the first of three is idle).
struct Bands {
  int64_t low_y, low_x;    // image coordinates of output pixel (0, 0)'s first row and column
  int64_t span_y, span_x;  // rows and columns that the taps reach over
  int64_t phases, step_y, width, pitch;

  // `slack`: columns behind the last that may be read.
  Bands(const Correlation& c, int64_t slack) {
    const ConvAxis &y = c.axis[1], &x = c.axis[2];
    span_y = (y.taps - 1) * std::abs(y.tap_step) + 1;
    span_x = (x.taps - 1) * std::abs(x.tap_step) + 1;
    low_y = y.origin + std::min<int64_t>(0, (y.taps - 1) * y.tap_step);
    low_x = x.origin + std::min<int64_t>(0, (x.taps - 1) * x.tap_step);
    phases = x.step;
    step_y = y.step;
    width = x.out + (span_x - 1) / phases + slack;
    pitch = phases * width;
  }
  int64_t rows(int64_t out_rows) const { return (out_rows - 1) * step_y + span_y; }

  // The distance of a tap from its pixel in a band.
  int64_t tap(const Correlation& c, int64_t ky, int64_t kx) const {
    const int64_t y = c.axis[1].origin + ky * c.axis[1].tap_step - low_y;
    const int64_t x = c.axis[2].origin + kx * c.axis[2].tap_step - low_x;
    return y * pitch + x % phases * width + x / phases;
  }

  // The band for output rows [row0, row0 + out_rows) of one channel.
  ConvBand band(const Correlation& c, int64_t n, int64_t channel, int64_t row0, int64_t out_rows,
                void* dst) const {
    return {c.image.data + (n * c.image.n + channel * c.image.c) * c.elem(),
            c.dtype,
            c.image.axis[1],
            c.image.axis[2],
            c.axis[1].size,
            c.axis[2].size,
            low_y + row0 * step_y,
            rows(out_rows),
            low_x,
            width,
            phases,
            dst};
  }
};

// A batch of images of `all_rows` rows cut into groups of up to `limit` pixels or tiles, `across`
// to a row, as even as can be: bands of rows of an image, or some whole images.
struct PixelGroups {
  int64_t bands, rows;  // of an image (1 band when images are whole)
  int64_t images;       // of a group (1 when there are bands)
  int64_t groups;

  PixelGroups(int64_t batch, int64_t all_rows, int64_t across, int64_t limit) {
    const int64_t all = all_rows * across;
    bands = std::min(all_rows, ceil_div(all, limit));
    rows = ceil_div(all_rows, bands);
    bands = ceil_div(all_rows, rows);
    images = bands > 1 ? 1 : ceil_div(batch, ceil_div(batch, std::max<int64_t>(1, limit / all)));
    groups = bands * ceil_div(batch, images);
  }
};

inline bool two_axes(const Correlation& c) {
  return c.axis[0].out == 1 && c.axis[0].taps == 1 && c.axis[0].size == 1 && c.axis[0].origin == 0;
}

}  // namespace fastnn
