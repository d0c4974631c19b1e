// Convolutions that are one product of matrices: windows as large as the image, or, transposed, an
// image of one pixel.
#pragma once

#include "cpu/conv_shape.h"

namespace fastnn {

// The window is the image: (batch, channels and taps) times (channels and taps, filters).
bool is_matrix(const Correlation& c);
size_t correlate_matrix_workspace(const Correlation& c);
void correlate_matrix(const Correlation& c, void* workspace);
size_t correlate_weight_matrix_workspace(const Correlation& c);
void correlate_weight_matrix(const Correlation& c, void* workspace);

// The gradient with respect to such an image, or a transposed convolution of one pixel; `whole` is
// that of a Transposed.
bool is_spread_matrix(const Correlation& whole);
size_t spread_matrix_workspace(const Correlation& whole);
void spread_matrix(const Correlation& whole, void* workspace);

// Of products whose rows or columns are channels and taps: a bias of channels that have several
// taps, written out for each. 0 bytes where that is not needed.
int64_t tap_bias_bytes(const Correlation& whole);
void write_tap_bias(const Correlation& whole, bool channels_inner, char* dst);

}  // namespace fastnn
