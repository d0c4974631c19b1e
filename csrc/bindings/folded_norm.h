// Batch norms in evaluation mode that convolutions before them do along.
#pragma once

#include "bindings/sequence.h"

namespace fastnn {

// A convolution's weight and bias with a batch norm behind it folded in, kept by the norm from call
// to call. They count for as long as all tensors that they were made of have the same arrays,
// nothing was written to those, and nobody else can.
class FoldedNorm {
 public:
  static constexpr int kSources = 6;
  struct Operand {
    const Arg* arg;
    const py::object* tensor;
  };

  // Weight and bias of the convolution; weight, bias, mean and variance of the norm: of each array
  // the caller holds one reference. False: somebody may write to one unseen, or they do not fit.
  bool find(const Operand (&operands)[kSources], double eps);
  void clear() { *this = FoldedNorm{}; }
  int64_t bytes() const;

  // What find() found. Nobody writes to it.
  const NewArray& weight() const { return weight_; }
  const NewArray& bias() const { return bias_; }
  PreparedWeights prepared;

 private:
  struct Source {
    py::object array;  // a weak reference: who counts an array's owners counts none here
    Py_ssize_t version = 0, exports = 0;

    void set(const Operand& o);
    bool is(const Operand& o) const;
  };
  void make(const Operand (&operands)[kSources], double eps);

  Source sources_[kSources];
  double eps_ = 0;
  NewArray weight_, bias_;
};

}  // namespace fastnn
