// The extension module fastnn_cuda._cuda: a table of ops for fastnn._core, and nothing that needs
// CuPy. Built with nvcc it is the plugin; built on the host shim it is what the tests run.
#include <pybind11/pybind11.h>

#include <cstring>

#include "fastnn/cuda_backend.h"
#include "ops.h"

#if defined(FASTNN_CUDA_SHIM)
#include "host/shim.h"
#endif

namespace fastnn::cuda {

namespace {

// An op without the type of its params.
struct AnyOp {
  const char* name;
  size_t params_bytes;
  bool host_scalars;
  size_t (*prepare)(const void* params, const TensorView* views);
  void (*run)(const void* params, const TensorView* views, void* workspace, Stream stream);
};

template <class Params>
Params params_of(const Op<Params>&);

template <auto& op>
AnyOp any(const char* name, bool host_scalars = false) {
  using Params = decltype(params_of(op));
  return {name, sizeof(Params), host_scalars,
          [](const void* params, const TensorView* views) {
            return cuda::prepare(op, *static_cast<const Params*>(params), views);
          },
          [](const void* params, const TensorView* views, void* workspace, Stream stream) {
            cuda::launch(op, *static_cast<const Params*>(params), views, workspace, stream);
          }};
}

// By the names of the CPU's ops.
const AnyOp kOps[] = {
    any<elementwise>("elementwise", true),
    any<reduce>("reduce"),
    any<softmax_forward>("softmax"),
    any<softmax_backward>("softmax_backward"),
    any<cross_entropy_forward>("cross_entropy"),
    any<cross_entropy_backward>("cross_entropy_backward"),
    any<gemm_forward>("gemm"),
    any<conv_forward>("conv"),
    any<conv_backward_input>("conv_backward_input"),
    any<conv_backward_weight>("conv_backward_weight"),
    any<conv_backward_bias>("conv_backward_bias"),
    any<max_pool_forward>("max_pool"),
    any<max_pool_backward>("max_pool_backward"),
    any<avg_pool_forward>("avg_pool"),
    any<avg_pool_backward>("avg_pool_backward"),
    any<random_fill>("random_fill"),
    any<dropout_apply>("dropout"),
    any<optim_step>("optim_step", true),
};

const void* find(const char* name, size_t params_bytes) {
  for (const AnyOp& op : kOps)
    if (std::strcmp(op.name, name) == 0 && op.params_bytes == params_bytes) return &op;
  return nullptr;
}

bool takes_host_scalars(const void* op) { return static_cast<const AnyOp*>(op)->host_scalars; }

template <class F>
bool guarded(BackendError* error, F body) {
  const auto say = [&](ErrorKind kind, const char* text) {
    error->kind = kind;
    std::strncpy(error->text, text, sizeof error->text - 1);
    error->text[sizeof error->text - 1] = 0;
  };
  try {
    body();
    return true;
  } catch (const Error& e) {
    say(e.kind(), e.what());
  } catch (const std::exception& e) {
    say(ErrorKind::runtime, e.what());
  }
  return false;
}

bool prepare(const void* op, const void* params, const TensorView* views, size_t* bytes,
             BackendError* error) {
  return guarded(error, [&] { *bytes = static_cast<const AnyOp*>(op)->prepare(params, views); });
}

bool launch(const void* op, const void* params, const TensorView* views, void* workspace,
            void* stream, BackendError* error) {
  return guarded(error,
                 [&] { static_cast<const AnyOp*>(op)->run(params, views, workspace, stream); });
}

const CudaBackend kBackend{FASTNN_VERSION, sizeof(TensorView), find, takes_host_scalars, prepare,
                           launch};

}  // namespace

PYBIND11_MODULE(_cuda, m) {
  namespace py = pybind11;
  m.attr("__version__") = FASTNN_VERSION;
  m.attr("backend") = py::capsule(static_cast<const void*>(&kBackend), kCudaBackendName);
  py::list names;
  for (const AnyOp& op : kOps) names.append(op.name);
  m.attr("ops") = py::tuple(names);
#if defined(FASTNN_CUDA_SHIM)
  m.attr("shim") = true;
  m.def("set_schedule", [](const std::string& order, uint64_t seed) {
    shim::set_schedule({order == "reverse"    ? shim::Order::reverse
                        : order == "shuffled" ? shim::Order::shuffled
                                              : shim::Order::forward,
                        seed, false});
  });
#else
  m.attr("shim") = false;
#endif
}

}  // namespace fastnn::cuda
