// Batch norms in evaluation mode that convolutions before them do along.
#pragma once

#include "bindings/sequence.h"

namespace fastnn {

// A convolution's weight and bias with a batch norm behind it folded in.
struct FoldedWeights {
  NewArray weight, bias;
};

// Such weights, kept by the norm from call to call. They count for as long as all tensors that they
// were made of have the same arrays, nothing was written to those, and nobody else can. Otherwise
// they are made anew; for one call only where somebody else has an array: the bits of a result do
// not depend on that.
class FoldedNorm {
 public:
  static constexpr int kSources = 6;
  struct Operand {
    const Arg& arg;
    const py::object& tensor;
  };
  using Operands = Operand[kSources];

  // Weight and bias of the convolution; weight, bias, mean and variance of the norm: of each array
  // the caller holds one reference. False: they do not fit.
  bool find(const Operands& operands, double eps, FoldedWeights* found);
  bool keeps(const FoldedWeights& w) const { return kept_.weight.array.is(w.weight.array); }
  void clear() { *this = FoldedNorm{}; }
  int64_t bytes() const;

  PreparedWeights prepared;  // of the weight that is kept

 private:
  struct Source {
    py::object array;  // a weak reference: who counts an array's owners counts none here
    MemoryState state;
  };

  Source sources_[kSources];
  double eps_ = 0;
  FoldedWeights kept_;
};

}  // namespace fastnn
