// Correlations by direct kernels: few channels, or many groups of few.
#pragma once

#include "cpu/conv_shape.h"

namespace fastnn {

bool prefers_direct(const Correlation& c);
// Up to three channels and full rows of pixels: a filter has so few products that turning sums from
// filters into rows would cost as much as they do.
bool is_first_layer(const Correlation& c);
size_t correlate_direct_workspace(const Correlation& c);
void correlate_direct(const Correlation& c, void* workspace);
size_t prepared_direct_bytes(const Correlation& c);
void prepare_direct(const Correlation& c, void* dst);

// One channel under one filter (depthwise), read where it lies.
bool prefers_planes(const Correlation& c);
size_t correlate_planes_workspace(const Correlation& c);
void correlate_planes(const Correlation& c, void* workspace);

// Its gradients: for the input with stride 2 (`whole` is that of a Transposed), for the weight.
bool prefers_spread_planes(const Correlation& whole);
void correlate_spread_planes(const Correlation& whole);
bool weight_prefers_planes(const Correlation& c);
size_t correlate_weight_planes_workspace(const Correlation& c);
void correlate_weight_planes(const Correlation& c, void* workspace);

// Filters side by side: many filters.
bool prefers_filters(const Correlation& c);
size_t correlate_filters_workspace(const Correlation& c);
void correlate_filters(const Correlation& c, void* workspace);
// Panels of the whole weight, as conv_prepare() writes them.
size_t prepared_filters_bytes(const Correlation& c);
void prepare_filters(const Correlation& c, void* dst);

// One tap, the weight laid out before.
bool prefers_pointwise(const Correlation& c);
size_t correlate_pointwise_workspace(const Correlation& c);
void correlate_pointwise(const Correlation& c, void* workspace);
size_t prepared_pointwise_bytes(const Correlation& c);
void prepare_pointwise(const Correlation& c, void* dst);

// One tap, few pixels, many channels, the weight read where it lies.
bool prefers_pointwise_dots(const Correlation& c);
size_t correlate_pointwise_dots_workspace(const Correlation& c);
void correlate_pointwise_dots(const Correlation& c, void* workspace);

// One tap, few pixels, copied into strips, the weight read where it lies.
bool prefers_pointwise_tiles(const Correlation& c);
size_t correlate_pointwise_tiles_workspace(const Correlation& c);
void correlate_pointwise_tiles(const Correlation& c, void* workspace);

// By Winograd's transforms: several taps in each of the two last axes, many channels and filters.
bool prefers_winograd(const Correlation& c);
size_t correlate_winograd_workspace(const Correlation& c);
void correlate_winograd(const Correlation& c, void* workspace);
size_t prepared_winograd_bytes(const Correlation& c);
void prepare_winograd(const Correlation& c, void* dst);

// The gradient of the weight, for kernels of more than one tap.
bool weight_prefers_direct(const Correlation& c);
size_t correlate_weight_direct_workspace(const Correlation& c);
void correlate_weight_direct(const Correlation& c, void* workspace);

// The same with filters side by side: more than a few of them, and of products to each.
bool weight_prefers_taps(const Correlation& c);
size_t correlate_weight_taps_workspace(const Correlation& c);
void correlate_weight_taps(const Correlation& c, void* workspace);

// The gradient of a 1x1 weight, pixels of both images read where they lie.
bool weight_prefers_dots(const Correlation& c);
size_t correlate_weight_dots_workspace(const Correlation& c);
void correlate_weight_dots(const Correlation& c, void* workspace);

// The same for many filters and channels; the image with fewer of them is turned.
bool weight_prefers_strips(const Correlation& c);
size_t correlate_weight_strips_workspace(const Correlation& c);
void correlate_weight_strips(const Correlation& c, void* workspace);

// Depthwise, channels adjacent in both images.
bool prefers_channels(const Correlation& c);
size_t correlate_channels_workspace(const Correlation& c);
void correlate_channels(const Correlation& c, void* workspace);
size_t correlate_weight_channels_workspace(const Correlation& c);
void correlate_weight_channels(const Correlation& c, void* workspace);

}  // namespace fastnn
