// Panels of filters side by side: their packed weights, their bias, and their sums on the way into
// the result.
#pragma once

#include "cpu/conv_shape.h"
#include "cpu/kernels/conv_filters_table.h"

namespace fastnn {

// `channels` from channel0 on of filters [filter, filter + panel) of a group, as
// [channel][tap][filter]; filters behind the last become 0. Channels, here and below images, are
// those of Planes.
void pack_filters(const Correlation& c, int64_t group, int64_t filter, int64_t panel,
                  int64_t channel0, int64_t channels, char* dst);

// Copies channels [first, end) of an image of a group, with zeros around them. `planes` says which
// rows and columns (y0, rows, x0, width) and where to (dst, dst_channel, chunks).
void copy_planes(const Correlation& c, int64_t group, int64_t image, int64_t first, int64_t end,
                 ConvPlanes planes);

// The bias of filters [filter, filter + count) of a group; behind the last, 0.
void fetch_bias(const Correlation& c, int64_t group, int64_t filter, int64_t count, char* dst);

// Writes act(bias + sum) for whole rows of pixels of an image; sum is [pixel][filter of the panel]
// and is used up. `bias`: of the panel.
struct FilterSums {
  char* sum;
  const char* bias;
  int64_t group, filter, panel;
  int64_t image, row, rows;
};
void write_sums(const Correlation& c, const FilterSums& s);

}  // namespace fastnn
