// The table of convolution kernels of one instruction set level.
#include "cpu/kernels/conv.h"

#include "cpu/kernels/conv_bias.h"
#include "cpu/kernels/conv_direct.h"
#include "cpu/kernels/conv_dots.h"
#include "cpu/kernels/conv_filters.h"
#include "cpu/kernels/conv_pack.h"
#include "cpu/kernels/conv_pointwise.h"
#include "cpu/kernels/conv_spread.h"
#include "cpu/kernels/conv_winograd.h"

namespace fastnn {

namespace FASTNN_ISA_NS {

template <class T>
static constexpr ConvPackers packers() {
  return {&pack_pixels<T>, &pack_channels<T>, &pack_filter<T>, &sum_rows<T>, &sum_panel<T>};
}

const ConvKernels* conv_kernels() {
  static constexpr ConvKernels kernels{packers<float>(), packers<double>(),   direct<float>(),
                                       direct<double>(), filters<float>(),    winograd<float>(),
                                       dots_kernels(),   pointwise_kernels(), &spread_plane};
  return &kernels;
}

}  // namespace FASTNN_ISA_NS
}  // namespace fastnn
