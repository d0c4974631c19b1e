// Planes of 7 x 7 under 3 x 3 taps, padded by one: the last ones of networks for images of 224
// pixels. Their rows fill no vector; as one run of 49 pixels they fill three and a lane of a
// fourth.
#pragma once

#include "cpu/kernels/conv_direct_table.h"
#include "cpu/kernels/gemm_tile.h"
#include "cpu/kernels/lane_mask.h"
#include "cpu/kernels/lanes.h"

namespace fastnn::FASTNN_ISA_NS {

#ifdef __AVX512F__

constexpr int kFlatSide = 7, kFlatPixels = kFlatSide * kFlatSide;
constexpr int kFlatVectors = (kFlatPixels + 15) / 16;

// The lanes of vector i whose pixels have a neighbour `dx` columns on.
constexpr uint32_t flat_lanes(int i, int dx) {
  uint32_t lanes = 0;
  for (int lane = 0; lane < 16; ++lane) {
    const int pixel = 16 * i + lane, x = pixel % kFlatSide + dx;
    if (pixel < kFlatPixels && x >= 0 && x < kFlatSide) lanes |= 1u << lane;
  }
  return lanes;
}

// What tap (k, x) meets for the pixels of vector i. The middle row's columns are loaded; the rows
// above and below are the same vectors turned by 7 lanes, as a load across two cache lines takes
// longer. Beyond the first and the last row come zeros.
struct FlatTaps {
  vf row[3][kFlatVectors + 2];  // of each column, with vectors of zeros around

  explicit FlatTaps(const float* image) {
    FASTNN_UNROLL for (int x = 0; x < 3; ++x) {
      row[x][0] = row[x][kFlatVectors + 1] = vf{};
      FASTNN_UNROLL for (int i = 0; i < kFlatVectors; ++i) row[x][i + 1] =
          load_over(vf{}, flat_lanes(i, x - 1), image + 16 * i + x - 1);
    }
  }
  vf operator()(int k, int x, int i) const {
    const __m512i before = (__m512i)row[x][i], here = (__m512i)row[x][i + 1],
                  after = (__m512i)row[x][i + 2];
    if (k == 1) return (vf)here;
    return k == 0 ? (vf)_mm512_maskz_alignr_epi32(0xffff, here, before, 16 - kFlatSide)
                  : (vf)_mm512_maskz_alignr_epi32(0xffff, after, here, kFlatSide);
  }
  // The last vector is one pixel, in the corner.
  static constexpr bool meet(int k, int x, int i) { return i < 3 || (k < 2 && x < 2); }
};

FASTNN_INLINE bool fits_flat(int kernel, int step, int64_t low_y, int64_t low_x, int64_t size_y,
                             int64_t size_x, int64_t rows, int64_t pixels, int64_t image_row,
                             int64_t other_row) {
  return kernel == 3 && step == 1 && low_y == -1 && low_x == -1 && size_y == kFlatSide &&
         size_x == kFlatSide && rows == kFlatSide && pixels == kFlatSide &&
         image_row == kFlatSide && other_row == kFlatSide;
}

static void image_planes_flat(const ConvImagePlane& t) {
  const float *weight = static_cast<const float*>(t.weight),
              *image = static_cast<const float*>(t.image),
              *bias = static_cast<const float*>(t.bias);
  float* dst = static_cast<float*>(t.dst);
  for (int64_t p = 0; p < t.planes; ++p) {
    const FlatTaps taps(image);
    vf acc[kFlatVectors] = {};
    FASTNN_UNROLL for (int k = 0; k < 3; ++k) FASTNN_UNROLL for (int x = 0; x < 3; ++x) {
      const vf w = splat(weight[k * t.weight_y + x * t.weight_x]);
      FASTNN_UNROLL for (int i = 0; i < kFlatVectors; ++i) if (FlatTaps::meet(k, x, i)) acc[i] =
          fma(w, taps(k, x, i), acc[i]);
    }
    if (bias) FASTNN_UNROLL for (int i = 0; i < kFlatVectors; ++i) acc[i] += splat(*bias);
    if (t.rectifier.on)
      FASTNN_UNROLL for (int i = 0; i < kFlatVectors; ++i) acc[i] = rectified(t.rectifier, acc[i]);
    FASTNN_UNROLL for (int i = 0; i + 1 < kFlatVectors; ++i) store(dst + 16 * i, acc[i]);
    dst[kFlatPixels - 1] = acc[kFlatVectors - 1][0];
    image += t.image_plane;
    dst += t.dst_plane;
    weight += t.weight_plane;
    if (bias) bias += t.bias_plane;
  }
}

// One plane's share of the weight's gradient.
FASTNN_INLINE void add_flat_dots(const ConvPlaneDots&, const float* image, const float* dy,
                                 vf (&acc)[3][3]) {
  const FlatTaps taps(image);
  FASTNN_UNROLL for (int i = 0; i < kFlatVectors; ++i) {
    const vf d = load_over(vf{}, flat_lanes(i, 0), dy + 16 * i);
    FASTNN_UNROLL for (int k = 0; k < 3; ++k)
        FASTNN_UNROLL for (int x = 0; x < 3; ++x) if (FlatTaps::meet(k, x, i)) acc[k][x] =
            fma_where<float>({flat_lanes(i, 0)}, taps(k, x, i), d, acc[k][x]);
  }
}

#endif

}  // namespace fastnn::FASTNN_ISA_NS
