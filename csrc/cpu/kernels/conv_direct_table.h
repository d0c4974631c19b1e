// Direct kernels for few channels, where packing for a matrix product would cost more than it
// gives. They read bands: rows of an image plane copied side by side, with the zeros of the padding
// in place, so that every tap is a fixed distance from its pixel.
#pragma once

#include <stdint.h>

#include "fastnn/activation.h"
#include "fastnn/dtype.h"

namespace fastnn {

// Rows [y0, y0 + rows) and columns from x0 on of one plane; what lies outside becomes 0. Columns
// are dealt out to `phases`: column x0 + i * phases + p goes to dst[row * phases * width + p *
// width + i], i < width.
// Up to a vector behind the last row may be overwritten.
struct ConvBand {
  const void* data;  // pixel (0, 0)
  DType dtype;
  int64_t stride_y, stride_x, size_y, size_x;
  int64_t y0, rows, x0, width;
  int64_t phases;
  void* dst;  // of the type of accumulation
};

constexpr int kConvVectors = 8;  // at most, of a row tile

// out[o][v] = act(bias[o] + sum_k weight[k * filters + o] src[v][offset[k]]) for vectors of
// pixels.
struct ConvRowTile {
  const void* weight;
  const int64_t* offset;
  int64_t k;
  int filters, vectors;
  const void* src[kConvVectors];
  void* dst[kConvVectors];
  int64_t dst_filter;       // between filters
  int lanes[kConvVectors];  // that are stored
  const void* bias;         // or null
  Rectifier rectifier;
};

// Rows of one channel under one filter of kernel x kernel taps, 3 or 5, with step 1 or 2 in both
// axes: dst[y][x] = act(bias + sum weight[i][j] src[(y * step + i) * pitch + x + column[j]]).
struct ConvPlane {
  int kernel, step;
  const void* weight;
  int64_t column[5];
  const void* src;
  int64_t pitch;
  void* dst;
  int64_t dst_row, rows, pixels;
  const void* bias;  // or null
  Rectifier rectifier;
};

// The same for rows [row0, row1) from an image without a border, whose columns are adjacent: tap
// (i, j) of output pixel (y, x) meets image pixel (low_y + y * step + i, low_x + x * step + j),
// which counts as 0 outside [0, size). `planes` of them, one after the other.
struct ConvImagePlane {
  int kernel, step;
  const void* weight;
  int64_t weight_y, weight_x;
  const void* image;
  int64_t image_row, size_y, size_x, low_y, low_x;
  void* dst;
  int64_t dst_row, row0, row1, pixels;
  const void* bias;  // or null
  Rectifier rectifier;
  int64_t planes, image_plane, dst_plane, weight_plane, bias_plane;  // from one to the next
};

// Its input's gradient where the step was 2 takes the same, with the gradient of the output as
// image: dst[y][x] = act(bias + sum weight[i][j] image[(y + low_y - i) / 2][(x + low_x - j) / 2])
// over the taps where both are whole and in the image.

// The weight's gradient: sum[(p * kernel + i) * kernel + j] += sum over y, x of dy[y][x] times the
// image pixel that tap (i, j) of a ConvImagePlane meets, in plane p of each of `images`.
constexpr int kConvDotPlanes = 8;  // at most
struct ConvPlaneDots {
  int kernel, step;
  const void* image;
  int64_t image_row, size_y, size_x, low_y, low_x;
  const void* dy;
  int64_t dy_row, rows, pixels;
  int64_t images, image_n, dy_n;
  int64_t planes, image_plane, dy_plane;  // from one to the next
  double* sum;
};

// sum[r][lane] += (or =) sum over the pixels of some images of x[offset[r]] dy[lane]: what `taps`
// taps of one channel have in common with `vectors` vectors of filters, side by side in dy.
struct ConvTapTile {
  const void* x;
  const int64_t* offset;
  int taps, vectors;
  bool adjacent;  // offsets are `taps / width` runs of `width` neighbouring pixels
  int width;
  bool vectors_apart;  // neighbouring pixels of x are; else they are adjacent
  int64_t images, rows, pixels;
  int64_t x_image, x_row, x_pixel;
  const void* dy;  // [pixel][vectors]
  void* sum;
  int64_t sum_tap, sum_run;  // from tap to tap, and from run to run of adjacent ones
  bool first;                // sums are overwritten, not added to
};

// sum[j * taps + r][lane] += products of vectors: dy row j times x at offset[r], pixel by pixel.
// One vector of partial sums each.
struct ConvDotTile {
  const void* x;
  const int64_t* offset;
  int taps, filters;
  int64_t rows, pixels, x_row, dy_row, dy_filter;
  const void* dy;
  void* sum;
  const void* ahead[2];  // rows like dy's that will be read later: they are asked for
};

// One output row of a depthwise convolution whose channels are adjacent everywhere. Tap (ky, kx) of
// pixel p is at row[ky * tap_y * stride_y + (x_origin + p * step_x + kx * tap_x) * stride_x]; rows
// [y_begin, y_end) of taps are in the image, columns are where they are in [0, size_x).
struct ConvChannelRow {
  const void* row;
  int64_t stride_y, stride_x, tap_y, tap_x, y_begin, y_end, taps_x, x_origin, step_x, size_x;
  int64_t pixels, channels;
  const void* weight;  // [tap][channel]
  void* dst;           // written by channel_row, read by channel_dots
  int64_t dst_x;
  const void* bias;  // or null
  void* sum;         // [tap][channel], of channel_dots
  Rectifier rectifier;
};

struct ConvDirect {
  int lanes;                    // of a vector
  int max_taps[3];              // of a ConvTapTile with 1 and 2 vectors (index 0 is not used)
  int max_products;             // filters * taps of a ConvDotTile
  int (*vectors)(int filters);  // of a ConvRowTile, at most
  int max_filters;              // of a ConvRowTile
  void (*band)(const ConvBand&);
  void (*rows)(const ConvRowTile&);
  void (*plane)(const ConvPlane&);
  void (*image_plane)(const ConvImagePlane&);  // these three are null without masks
  void (*spread_plane)(const ConvImagePlane&);
  void (*plane_dots)(const ConvPlaneDots&);
  void (*taps)(const ConvTapTile&);
  void (*dots)(const ConvDotTile&);
  void (*channel_row)(const ConvChannelRow&);
  void (*channel_dots)(const ConvChannelRow&);
};

}  // namespace fastnn
