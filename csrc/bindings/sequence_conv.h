// Convolutions of a sequence that run together: what sequence_conv.cpp and sequence_pair.cpp share.
#pragma once

#include "bindings/sequence.h"

namespace fastnn {

// One image of float32, between two layers.
struct LayerImage {
  int64_t channels, height, width;

  int64_t bytes(int64_t rows) const { return channels * rows * width * 4; }
  // The first `rows` rows of it, contiguous.
  TensorView view(void* data, int64_t rows) const;
};

// What the convolution makes of an image. False: they do not fit, or this is no case for chains.
bool image_behind(const ConvStep& s, const LayerImage& in, LayerImage* out);

}  // namespace fastnn
