// What layers compute, as new arrays: for bindings that run them without going through Python.
#pragma once

#include <memory>

#include "bindings/tensor.h"
#include "fastnn/isa.h"
#include "fastnn/ops/conv.h"

namespace fastnn {

// A convolution's weight as its kernels want it, kept from call to call. It counts for as long as
// the weight's tensor has the same array, nothing was written to that, and nobody else can.
class PreparedWeights {
 public:
  // What conv_forward may use for these views, or null. `array` is the weight's, of which the
  // caller holds one reference. No `weight`: an array that nobody writes to.
  std::shared_ptr<const void> find(const ConvParams& p, const TensorView* views, py::handle weight,
                                   const py::object& array);
  int64_t bytes() const;

 private:
  struct Slot {
    std::shared_ptr<const void> data;  // others may be using it while it is replaced
    py::object array;
    MemoryState state;
    ConvParams params;  // a layer's own may change
    size_t bytes;
    Isa isa;  // panels are as wide as its vectors
  };
  Slot slots_[kConvLayouts];
};

// Convolution of (N, C, spatial...) or (C, spatial...), padded alike on both sides. With
// `prepared`, w is the array of the tensor `weight`, or one that nobody writes to.
NewArray conv_new(const ConvParams& p, const TensorView& x, const Arg& w, const TensorView& bias,
                  PreparedWeights* prepared = nullptr, py::handle weight = {});

// Pooling over the last `dims` axes; the windows as in Python.
struct WindowArgs {
  py::handle kernel, stride, padding, dilation;
  bool ceil_mode;
};
NewArray max_pool_new(const TensorView& x, int dims, const WindowArgs& window);
NewArray adaptive_avg_pool_new(const TensorView& x, int dims, py::handle output_size);

}  // namespace fastnn
