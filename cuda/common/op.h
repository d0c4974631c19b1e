// The funnel of csrc/include/fastnn/op.h, for a GPU: the same params and views, which the caller
// has put through the CPU op's checks (csrc/bindings/device.h); it brings the workspace (a CuPy
// array) and the stream. So the plugin holds none of the CPU's kernels.
#pragma once

#include "common/stream.h"
#include "fastnn/tensor_view.h"

namespace fastnn::cuda {

template <class Params>
struct Op {
  const char* name;
  // Throws Error for what the CPU takes and CUDA does not; null where there is nothing such. Reads
  // no element: they are on the GPU.
  void (*check)(const Params&, const TensorView* views);
  // Scratch bytes; null when the op needs none.
  size_t (*workspace)(const Params&, const TensorView* views);
  // Launches the kernels. Neither waits for the stream nor allocates, so that it can be captured.
  void (*run)(const Params&, const TensorView* views, void* workspace, Stream stream);
};

// Checks, then says how much scratch memory launch() wants (256-byte aligned).
template <class Params>
size_t prepare(const Op<Params>& op, const Params& params, const TensorView* views) {
  if (op.check) op.check(params, views);
  return op.workspace ? op.workspace(params, views) : 0;
}

template <class Params>
void launch(const Op<Params>& op, const Params& params, const TensorView* views, void* workspace,
            Stream stream) {
  op.run(params, views, workspace, stream);
}

}  // namespace fastnn::cuda
