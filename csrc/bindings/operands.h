// Operands of an elementwise op: arrays, and Python numbers beside them, with PyTorch's rules for
// the result.
#pragma once

#include "bindings/convert.h"
#include "fastnn/ops/elementwise.h"

namespace fastnn {

class Operands {
 public:
  // Takes the next operand: an array, or a number (bool, int, float or a NumPy scalar).
  void add(py::handle value, const char* op, const char* name);

  int count() const { return count_; }
  const TensorView& view(int k) const { return views_[k]; }
  int device() const;  // of those that are not on the CPU
  // The dtype that PyTorch promotes operands [first, count) to: arrays count before 0-d arrays
  // before numbers.
  // `real` is the dtype of a Python float.
  DType result_type(int first = 0, DType real = DType::f32) const;
  // Numbers and 0-d arrays beside narrower integers: only the low bits count, as in PyTorch.
  void wrap_integers(DType type);
  // A new array of the broadcast shape, in the memory order of the first operand that has all of
  // it.
  NewArray result(DType dtype, const char* op) const;

 private:
  struct Number {
    int64_t integer;
    double real;
  };

  int count_ = 0;
  TensorView views_[kMaxMapInputs];
  bool is_number_[kMaxMapInputs];
  Number numbers_[kMaxMapInputs];
  py::object keep_[kMaxMapInputs];
};

// The op of its operands, whose dtype (before the op's own rule) is `promoted`: as a new array, or
// written to `out`. p: the op's parameters.
NewArray map_new(MapOp op, const Operands& in, DType promoted, const double* p = nullptr);
void map_into(MapOp op, const TensorView& out, const Operands& in, DType promoted,
              const double* p = nullptr);

// out[...] = in, broadcast and converted.
void copy_into(const TensorView& out, const TensorView& in);

}  // namespace fastnn
