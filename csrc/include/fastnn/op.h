// The one funnel: every binding ends in launch(op, params, views). Validation first, then
// workspace, then the kernels.
#pragma once

#include <cstddef>
#include <initializer_list>

#include "fastnn/memory.h"
#include "fastnn/parallel.h"
#include "fastnn/tensor_view.h"

namespace fastnn {

// One op on one device. `Params` is a plain struct of numbers (no pointers to Python); the order of
// the views is stated in the op's contract header.
template <class Params>
struct Op {
  const char* name;
  // Throws Error before anything is written. Reads no element, so all devices share it.
  void (*check)(const Params&, const TensorView* views);
  // Scratch bytes; null when the op needs none.
  size_t (*workspace)(const Params&, const TensorView* views);
  // Does the work; throws nothing, allocates nothing.
  void (*run)(const Params&, const TensorView* views, void* workspace);
  // Checks of elements (class indices, divisors ...), where the CPU can read them.
  void (*check_values)(const Params&, const TensorView* views) = nullptr;
};

template <class Params>
void launch(const Op<Params>& op, const Params& params, const TensorView* views) {
  if (op.check) op.check(params, views);
  if (op.check_values) op.check_values(params, views);
  const LaunchScope scope;
  Workspace scratch(op.workspace ? op.workspace(params, views) : 0);
  op.run(params, views, scratch.data());
}

template <class Params>
void launch(const Op<Params>& op, const Params& params, std::initializer_list<TensorView> views) {
  launch(op, params, views.begin());
}

}  // namespace fastnn
