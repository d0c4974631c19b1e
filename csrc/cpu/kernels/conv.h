// Packers that read panels of a matrix product out of an image (implicit im2col), and the direct
// kernels, one table for each instruction set level.
#pragma once

#include "cpu/kernels/conv_direct_table.h"
#include "cpu/kernels/conv_dots_table.h"
#include "cpu/kernels/conv_filters_table.h"
#include "cpu/kernels/conv_pointwise_table.h"
#include "cpu/kernels/conv_spread_table.h"
#include "cpu/kernels/conv_winograd_table.h"
#include "cpu/kernels/isa_table.h"
#include "fastnn/dtype.h"

namespace fastnn {

// An image as a correlation sees it; the axes are those of ConvAxis.
struct ConvSource {
  const void* data;
  DType dtype;
  int64_t stride_n, stride_c, stride[3];
  int64_t channels;
  int64_t size[3], out[3], taps[3], origin[3], step[3], tap_step[3];
  bool channels_inner;  // the product's k is (tap, channel); otherwise (channel, tap)
};

// Which part of a panel: dst[(k - k0) * panel + lane - lane0] for lanes [lane0, lane0 + width);
// the others, up to `panel`, become 0. `pixel0` is added to pixel numbers, which count through
// the batch.
struct ConvPanel {
  void* dst;
  int panel, width;
  int64_t lane0, k0, k_count;
  int64_t pixel0;
};

// A weight as lanes and (channel, tap) or (tap, channel).
struct ConvFilter {
  const void* data;
  DType dtype;
  int64_t stride_lane, stride_c, stride[3];
  int64_t channels, taps[3];
  bool channels_inner;
};

struct ConvPackers {
  // Lanes are output pixels, k is channels and taps: what the pixels see.
  void (*pixels)(const ConvSource&, const ConvPanel&);
  // Lanes are channels, k is output pixels: what tap `tap` sees.
  void (*channels)(const ConvSource&, int64_t tap, const ConvPanel&);
  void (*filter)(const ConvFilter&, const ConvPanel&);
  // out[i] = the sum of the n adjacent values of row i, rows `row` values apart;
  // out[lane] += the sum of a packed panel's rows.
  void (*sum_rows)(const void* x, DType dtype, int64_t row, int64_t rows, int64_t n, double* out);
  void (*sum_panel)(const void* panel, int lanes, int64_t rows, double* out);
};

struct ConvKernels {
  ConvPackers f32;  // also bfloat16 and float16, widened
  ConvPackers f64;
  ConvDirect direct_f32;
  ConvDirect direct_f64;
  ConvFilters filters;      // float32
  ConvWinograd winograd;    // float32
  ConvDots dots;            // float32
  ConvPointwise pointwise;  // float32
  void (*spread)(const ConvSpreadPlane&);
};

FASTNN_KERNELS(ConvKernels, conv_kernels)

}  // namespace fastnn
