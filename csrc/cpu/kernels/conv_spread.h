// See conv_spread_table.h. A row of the result falls into as many phases as the step is large: in
// each, the products of a tap lie side by side, as they do in the image.
#pragma once

#include "cpu/kernels/conv_spread_table.h"
#include "cpu/kernels/gemm_vec.h"
#include "cpu/kernels/lanes.h"

namespace fastnn::FASTNN_ISA_NS {

// Where the products of a tap lie for a vector of pixels of a phase, in the row of the first tap.
struct SpreadTap {
  int64_t offset;
  LaneRange<float> inside;
};

// The taps of a row for the vectors of pixels from `pixel` on, phase by phase.
class SpreadTaps {
 public:
  SpreadTaps(const ConvSpreadAxis& x, int64_t stride, int64_t pixel) {
    int n = 0;
    for (int64_t phase = 0; phase < x.step; ++phase) {
      begin_[phase] = n;
      for (int64_t tap = 0; tap < x.taps; ++tap) {
        const int64_t at = phase + x.origin - tap * x.tap_step;  // of the pixel that is 0
        if (at % x.step != 0) continue;
        const int64_t from = pixel + at / x.step;
        taps_[n++] = {tap * stride + from, lanes_inside<float>(from, x.size)};
      }
    }
    begin_[x.step] = n;
  }

  // What reaches the pixels of a phase from some rows of products.
  vf sum(int64_t phase, const float* const* rows, int count, float start) const {
    vf sum = splat(start);
    for (int row = 0; row < count; ++row)
      for (int i = begin_[phase]; i < begin_[phase + 1]; ++i)
        sum += load_range(rows[row] + taps_[i].offset, taps_[i].inside, 0.0f);
    return sum;
  }

 private:
  SpreadTap taps_[ConvSpreadPlane::kMostTaps];
  int begin_[ConvSpreadPlane::kMostTaps + 1];
};

// The rows of products that reach a line; how many.
static int rows_of_line(const ConvSpreadPlane& p, int64_t line, const float** rows) {
  const ConvSpreadAxis& y = p.axis[0];
  int count = 0;
  for (int64_t tap = 0; tap < y.taps; ++tap) {
    const int64_t at = line + y.origin - tap * y.tap_step;
    if (at < 0 || at % y.step != 0 || at / y.step >= y.size) continue;
    rows[count++] = p.products + tap * p.axis[1].taps * p.tap + at / y.step * p.axis[1].size;
  }
  return count;
}

FASTNN_INLINE vf finished(const Rectifier& r, vf x) { return r.on ? rectified(r, x) : x; }

static void spread_plane(const ConvSpreadPlane& p) {
  constexpr int64_t L = kLanes<float>;
  const ConvSpreadAxis& x = p.axis[1];
  const float* rows[ConvSpreadPlane::kMostTaps];
  float phases[ConvSpreadPlane::kMostTaps][L];
  for (int64_t pixel = 0; pixel * x.step < x.out; pixel += L) {
    const SpreadTaps taps(x, p.tap, pixel);
    const int64_t left = x.out - pixel * x.step;
    for (int64_t line = 0; line < p.axis[0].out; ++line) {
      const int count = rows_of_line(p, line, rows);
      float* to = p.result + line * p.result_row + pixel * x.step;
      if (x.step == 2) {
        const vf even = finished(p.rectifier, taps.sum(0, rows, count, p.start));
        const vf odd = finished(p.rectifier, taps.sum(1, rows, count, p.start));
        store_some<float>(to, zip_low<float>(even, odd), at_most(left, L));
        if (left > L) store_some<float>(to + L, zip_high<float>(even, odd), at_most(left - L, L));
        continue;
      }
      for (int64_t phase = 0; phase < x.step; ++phase)
        store(phases[phase], finished(p.rectifier, taps.sum(phase, rows, count, p.start)));
      for (int64_t lane = 0; lane < L && lane * x.step < left; ++lane, to += x.step)
        for (int64_t phase = 0; phase < at_most(left - lane * x.step, x.step); ++phase)
          to[phase] = phases[phase][lane];
    }
  }
}

}  // namespace fastnn::FASTNN_ISA_NS
