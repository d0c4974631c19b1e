// Kernels with filters side by side: pixels are broadcast, one tap of one channel after the other,
// and meet vectors of filters. Pixels come from planes with the zeros of the padding in place, so
// that every tap is a fixed distance from its pixel and an edge costs nothing.
#pragma once

#include <stdint.h>

#include "fastnn/activation.h"
#include "fastnn/dtype.h"

namespace fastnn {

// sum[pixel][filter] (+)= sum over k < taps of x[pixel + offset[k]] weight[k][filter], for `groups`
// (1 or 2) runs of `pixels` neighbours.
struct ConvFilterTile {
  const void* x;
  int64_t x_group;  // from run to run
  int step;         // from pixel to pixel: 1, 2 or 4 neighbours, 1 or 2 vectors (of channels)
  bool vectors_apart;
  int pixels, groups, vectors;
  const int64_t* offset;
  int64_t taps;
  const void* weight;  // rows of `vectors` vectors
  void* sum;           // likewise
  int64_t sum_group;   // from run to run
  bool first;          // sums are overwritten, not added to
  // What will be read next from far away, or null: a cache line of it is asked for with every tap.
  const char* ahead;
  bool far;  // pixels come from far away, too
};

// Rows [y0, y0 + rows) and columns [x0, x0 + width) of the planes of some channels; what lies
// outside of the image becomes 0. Up to a vector behind the last row may be overwritten. Or, with
// `chunks`, for adjacent channels: a vector of channels at each pixel, and dst_channel from one
// vector of channels to the next.
struct ConvPlanes {
  const void* data;  // pixel (0, 0) of the first channel
  DType dtype;
  int64_t stride_c, stride_y, stride_x, size_y, size_x;
  int64_t y0, rows, x0, width, channels;
  void* dst;  // of the type of accumulation; rows are `width` apart
  int64_t dst_channel;
  bool chunks;
};

// out = act(bias + sum) for `pixels` rows of sums, `panel` apart.
struct ConvFilterOut {
  void* sum;
  int64_t panel, pixels;
  int filters;
  const void* bias;  // `panel` values, or null
  Activation activation;
  void* out;
  DType dtype;
  int64_t out_pixel, out_filter;
};

struct ConvFilters {
  int lanes;
  int pixels;  // of a tile with two vectors, or of a run with one
  void (*tile)(const ConvFilterTile&);
  void (*planes)(const ConvPlanes&);
  void (*finish)(const ConvFilterOut&);
};

}  // namespace fastnn
