// What fastnn._core and the CUDA plugin tell each other. They are two shared objects with a C++
// library each, so no exception crosses: errors are filled in.
#pragma once

#include "fastnn/tensor_view.h"

namespace fastnn {

struct BackendError {
  ErrorKind kind;
  char text[2048];
};

struct CudaBackend {
  // Both sides must be of one build: the version, and the size of what they share.
  const char* version;
  size_t view_bytes;

  // The op of that name and params struct; null when it has no CUDA kernels.
  const void* (*find)(const char* name, size_t params_bytes);
  // Whether views of one element may lie on the host.
  bool (*takes_host_scalars)(const void* op);
  // The scratch bytes of a call. False: `error` says why it is refused.
  bool (*prepare)(const void* op, const void* params, const TensorView* views, size_t* bytes,
                  BackendError* error);
  // Launches; does not wait.
  bool (*launch)(const void* op, const void* params, const TensorView* views, void* workspace,
                 void* stream, BackendError* error);
};

constexpr const char* kCudaBackendName = "fastnn.CudaBackend";  // of the capsule

}  // namespace fastnn
