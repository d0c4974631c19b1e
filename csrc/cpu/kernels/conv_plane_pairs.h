// Planes of results of up to 7 columns (8 where the step is 2) under 3 x 3 taps, padded by one: two
// rows to a vector, eight lanes each. The lanes that rows leave free are 0, so that turning a
// vector by one lane gives the columns of the neighbouring tap, with the padding.
#pragma once

#include "cpu/kernels/conv_direct_table.h"
#include "cpu/kernels/conv_pack.h"
#include "cpu/kernels/gemm_tile.h"
#include "cpu/kernels/lane_mask.h"
#include "cpu/kernels/lanes.h"

namespace fastnn::FASTNN_ISA_NS {

#ifdef __AVX512F__

// Rows y and y + 1; lanes of rows outside of [0, size) are 0.
struct PairOfRows {
  const float* data;
  int64_t row, size;
  uint32_t columns;  // of a row, a bit for each

  uint32_t lanes(int64_t y) const {
    return (y >= 0 && y < size ? columns : 0) | (y >= -1 && y + 1 < size ? columns << 8 : 0);
  }
  vf operator()(int64_t y) const {
    const uint32_t both = lanes(y);
    const float* p = data + y * row;
    return load_over(load_over(vf{}, both & 0xff, p), both & 0xff00, p + row - 8);
  }
};

// What the taps of one row of the filter meet.
FASTNN_INLINE void turn(vf v, vf (&tap)[3]) {
  const __m512i x = (__m512i)v;
  tap[0] = (vf)_mm512_maskz_alignr_epi32(0xffff, x, x, 15);
  tap[1] = v;
  tap[2] = (vf)_mm512_maskz_alignr_epi32(0xffff, x, x, 1);
}

// body(y, taps[3][3]) for the pairs of rows from row0 on: taps of rows y + low .. y + low + 3.
template <class F>
FASTNN_INLINE void for_pairs(const PairOfRows& image, int64_t low, int64_t row0, int64_t row1,
                             F body) {
  vf tap[3][3];
  turn(image(row0 + low), tap[0]);
  for (int64_t y = row0; y < row1; y += 2) {
    turn(image(y + low + 1), tap[1]);
    turn(image(y + low + 2), tap[2]);
    body(y, tap);
    FASTNN_UNROLL for (int i = 0; i < 3; ++i) tap[0][i] = tap[2][i];
  }
}

FASTNN_INLINE bool fits_pairs(int kernel, int step, int64_t low_x, int64_t size_x, int64_t pixels) {
  const int64_t most = step == 1 ? 7 : 8;
  return kernel == 3 && low_x == -1 && size_x <= most * step && pixels <= most;
}

// What the taps of one row of the filter meet with a step of 2, from two rows of the image.
FASTNN_INLINE void turn_every_other(vf upper, vf lower, vf (&tap)[3]) {
  const __m512i odd = (__m512i)odd_lanes<float>(upper, lower);
  tap[0] = (vf)_mm512_maskz_alignr_epi32(0xfefe, odd, odd, 15);
  tap[1] = even_lanes<float>(upper, lower);
  tap[2] = (vf)odd;
}

// The same as for_pairs() with a step of 2, and rows of up to 16 columns.
template <class F>
FASTNN_INLINE void for_pairs_every_other(const PairOfRows& image, int64_t low, int64_t row0,
                                         int64_t row1, F body) {
  const auto row = [&](int64_t y) __attribute__((always_inline)) {
    const uint32_t there = y >= 0 && y < image.size ? image.columns : 0;
    return load_over(vf{}, there, image.data + y * image.row);
  };
  vf first = row(2 * row0 + low);
  for (int64_t y = row0; y < row1; y += 2) {
    const int64_t top = 2 * y + low;
    const vf middle = row(top + 2), last = row(top + 4);
    vf tap[3][3];
    turn_every_other(first, middle, tap[0]);
    turn_every_other(row(top + 1), row(top + 3), tap[1]);
    turn_every_other(middle, last, tap[2]);
    body(y, tap);
    first = last;
  }
}

static void image_plane_pairs(const ConvImagePlane& t) {
  const float* weight = static_cast<const float*>(t.weight);
  vf w[3][3];
  FASTNN_UNROLL for (int y = 0; y < 3; ++y) FASTNN_UNROLL for (int x = 0; x < 3; ++x) w[y][x] =
      splat(weight[y * t.weight_y + x * t.weight_x]);
  const uint32_t columns = (1u << t.pixels) - 1;
  const float bias = t.bias ? *static_cast<const float*>(t.bias) : 0;
  const auto finish = [&](int64_t y, const vf(&tap)[3][3]) __attribute__((always_inline)) {
    vf acc{};
    FASTNN_UNROLL for (int k = 0; k < 3; ++k) FASTNN_UNROLL for (int x = 0; x < 3; ++x) acc =
        fma(w[k][x], tap[k][x], acc);
    if (t.bias) acc += splat(bias);
    if (t.rectifier.on) acc = rectified(t.rectifier, acc);
    float* dst = static_cast<float*>(t.dst) + y * t.dst_row;
    _mm512_mask_storeu_ps(dst, static_cast<__mmask16>(columns), (__m512)acc);
    if (y + 1 < t.row1)
      _mm512_mask_storeu_ps(dst + t.dst_row - 8, static_cast<__mmask16>(columns << 8), (__m512)acc);
  };
  const PairOfRows image{static_cast<const float*>(t.image), t.image_row, t.size_y,
                         (1u << t.size_x) - 1};
  if (t.step == 1)
    for_pairs(image, t.low_y, t.row0, t.row1, finish);
  else
    for_pairs_every_other(image, t.low_y, t.row0, t.row1, finish);
}

// One plane's share of the weight's gradient.
FASTNN_INLINE void add_pair_dots(const ConvPlaneDots& t, const float* image, const float* dy,
                                 vf (&acc)[3][3]) {
  const PairOfRows from{image, t.image_row, t.size_y, (1u << t.size_x) - 1};
  const PairOfRows gradient{dy, t.dy_row, t.rows, (1u << t.pixels) - 1};
  const auto add = [&](int64_t y, const vf(&tap)[3][3]) __attribute__((always_inline)) {
    const vf d = gradient(y);
    const uint32_t there = gradient.lanes(y);
    FASTNN_UNROLL for (int k = 0; k < 3; ++k) FASTNN_UNROLL for (int x = 0; x < 3; ++x) acc[k][x] =
        fma_where<float>({there}, tap[k][x], d, acc[k][x]);
  };
  if (t.step == 1)
    for_pairs(from, t.low_y, 0, t.rows, add);
  else
    for_pairs_every_other(from, t.low_y, 0, t.rows, add);
}

#endif

}  // namespace fastnn::FASTNN_ISA_NS
