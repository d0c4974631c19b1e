// softmax and log_softmax: a line of the axis belongs to a thread (where its neighbours lie side by
// side), a warp or a block. The first pass keeps maximum and sum together, so memory is read twice
// at most, the second time from a cache.
#include <algorithm>

#include "../csrc/cpu/loops.h"
#include "common/cast.h"
#include "common/dtypes.h"
#include "common/fast_div.h"
#include "common/launch.h"
#include "common/log_sum.h"
#include "fastnn/ops/softmax.h"
#include "ops.h"

namespace fastnn::cuda {

namespace {

constexpr int kThreads = 256;

struct SoftmaxArgs {
  void* data[3];  // out, then the inputs
  int ndim;       // axes that number the lines
  FastDiv shape[kMaxDims];
  int64_t stride[3][kMaxDims];
  int64_t axis[3];
  uint32_t lines;
  int64_t n;
  bool log;
};

template <int Operands>
__device__ __forceinline__ void locate(const SoftmaxArgs& a, uint32_t line, int64_t (&at)[3]) {
  for (int d = a.ndim - 1; d >= 0; --d) {
    const int64_t i = d ? a.shape[d].take(line) : line;
    FASTNN_UNROLL
    for (int k = 0; k < Operands; ++k) at[k] += i * a.stride[k][d];
  }
}

template <class T, int Width>
__global__ void __launch_bounds__(kThreads) softmax_lines(SoftmaxArgs a) {
  using C = Wide<T>;
  SHARED(LogSum<C>, room, [kThreads / kWarp]);
  const uint32_t line = blockIdx.x * (kThreads / Width) + threadIdx.x / Width;
  const bool works = line < a.lines;
  int64_t at[3] = {};
  if (works) locate<2>(a, line, at);
  const T* x = static_cast<const T*>(a.data[1]) + at[1];
  T* y = static_cast<T*>(a.data[0]) + at[0];
  const int64_t end = works ? a.n : 0;
  LogSum<C> sum = LogSum<C>::start();
  for (int64_t i = threadIdx.x % Width; i < end; i += Width) sum.add(widen_to<C>(x[i * a.axis[1]]));
  sum = join_line<Width>(sum, room, LogSum<C>::join);
  const C scale = a.log ? math::log(sum.sum) : 1 / sum.sum;
  for (int64_t i = threadIdx.x % Width; i < end; i += Width) {
    const C d = widen_to<C>(x[i * a.axis[1]]) - sum.top;
    y[i * a.axis[0]] = narrow_to<T>(a.log ? d - scale : math::exp(d) * scale);
  }
}

// softmax: dx = y (g - sum g y); log_softmax: dx = g - exp(y) sum g.
template <class T, int Width>
__global__ void __launch_bounds__(kThreads) softmax_backward_lines(SoftmaxArgs a) {
  using C = Wide<T>;
  SHARED(C, room, [kThreads / kWarp]);
  const uint32_t line = blockIdx.x * (kThreads / Width) + threadIdx.x / Width;
  const bool works = line < a.lines;
  int64_t at[3] = {};
  if (works) locate<3>(a, line, at);
  const T* g = static_cast<const T*>(a.data[1]) + at[1];
  const T* y = static_cast<const T*>(a.data[2]) + at[2];
  T* dx = static_cast<T*>(a.data[0]) + at[0];
  const int64_t end = works ? a.n : 0;
  C sum = 0;
  for (int64_t i = threadIdx.x % Width; i < end; i += Width) {
    const C gi = widen_to<C>(g[i * a.axis[1]]);
    sum += a.log ? gi : gi * widen_to<C>(y[i * a.axis[2]]);
  }
  sum = join_line<Width>(sum, room, [](C p, C q) { return p + q; });
  for (int64_t i = threadIdx.x % Width; i < end; i += Width) {
    const C gi = widen_to<C>(g[i * a.axis[1]]), yi = widen_to<C>(y[i * a.axis[2]]);
    dx[i * a.axis[0]] = narrow_to<T>(a.log ? gi - math::exp(yi) * sum : yi * (gi - sum));
  }
}

// ---- Drivers ----------------------------------------------------------------------------------

// Views with out last; operand 0 of the kernels is out.
SoftmaxArgs make_args(const SoftmaxParams& p, const TensorView* views, int operands, int* width) {
  SoftmaxArgs a{};
  TensorView without[3];
  for (int k = 0; k < operands; ++k) {
    without[k] = views[(k + operands - 1) % operands];
    a.data[k] = without[k].data;
    a.axis[k] = without[k].stride[p.axis];
    without[k].shape[p.axis] = 1;
  }
  const Loops l = build_loops(without, operands);
  a.ndim = l.ndim;
  a.lines = static_cast<uint32_t>(without[0].numel());
  a.n = views[0].shape[p.axis];
  a.log = p.log;
  for (int d = 0; d < l.ndim; ++d) {
    a.shape[d] = FastDiv(std::max<int64_t>(1, l.shape[d]));
    for (int k = 0; k < operands; ++k) a.stride[k][d] = l.stride[k][d];
  }
  const bool side_by_side =
      l.cols() >= kWarp && std::llabs(l.col_stride(1)) < std::llabs(a.axis[1]);
  *width = side_by_side ? 1 : a.n <= 1024 ? kWarp : kThreads;
  return a;
}

template <int Operands>
void run(const SoftmaxParams& p, const TensorView* v, void*, Stream stream) {
  if (v[0].numel() == 0) return;
  int width;
  const SoftmaxArgs a = make_args(p, v, Operands, &width);
  const Launch l{p.log ? "log_softmax" : "softmax", stream,
                 static_cast<unsigned>(ceil_div(a.lines, kThreads / width)), kThreads};
  with_float_type(v[0].dtype, [&](auto tag) {
    using T = decltype(tag);
    if constexpr (Operands == 2)
      cuda::launch(l,
                   width == 1       ? softmax_lines<T, 1>
                   : width == kWarp ? softmax_lines<T, kWarp>
                                    : softmax_lines<T, kThreads>,
                   a);
    else
      cuda::launch(l,
                   width == 1       ? softmax_backward_lines<T, 1>
                   : width == kWarp ? softmax_backward_lines<T, kWarp>
                                    : softmax_backward_lines<T, kThreads>,
                   a);
  });
}

}  // namespace

const Op<SoftmaxParams> softmax_forward{"softmax", nullptr, nullptr, run<2>};
const Op<SoftmaxParams> softmax_backward{"softmax_backward", nullptr, nullptr, run<3>};

}  // namespace fastnn::cuda
