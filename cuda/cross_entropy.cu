// Cross-entropy: a position belongs to a thread, a warp or a block. Losses and shares of the mean's
// divisor are summed per block, then in the order of the blocks. A class index out of range, which
// the GPU cannot raise, makes its loss and its row of the gradient NaN.
#include "common/cast.h"
#include "common/dtypes.h"
#include "common/launch.h"
#include "common/log_sum.h"
#include "fastnn/ops/cross_entropy.h"
#include "ops.h"

namespace fastnn::cuda {

namespace {

constexpr int kThreads = 256;

struct CrossEntropyArgs {
  const void *x, *target, *weight;
  int64_t x_stride[3], target_stride[3], dx_stride[3];
  int64_t classes, inner, positions, ignore;
  bool probabilities;
  Reduction reduction;
  double smoothing;
  void *loss, *saved;
  double* sums;  // forward: loss and share of every block
  const void* dy;
  void* dx;
};

// What one position needs: where its logits are, its class, its weights.
template <class T, class C>
struct Position {
  const CrossEntropyArgs& a;
  const T *x, *target;
  int64_t label = 0;
  C smooth, smooth_share;

  __device__ __forceinline__ Position(const CrossEntropyArgs& args, int64_t i) : a(args) {
    const int64_t n = i / a.inner, d = i - n * a.inner;
    x = static_cast<const T*>(a.x) + n * a.x_stride[0] + d * a.x_stride[2];
    target = static_cast<const T*>(a.target);
    if (a.probabilities)
      target += n * a.target_stride[0] + d * a.target_stride[2];
    else
      label = static_cast<const int64_t*>(a.target)[i];
    smooth = static_cast<C>(a.smoothing);
    smooth_share = static_cast<C>(a.smoothing / static_cast<double>(a.classes));
  }
  __device__ __forceinline__ bool ignored() const { return !a.probabilities && label == a.ignore; }
  __device__ __forceinline__ bool valid() const {
    return a.probabilities || (label >= 0 && label < a.classes);
  }
  __device__ __forceinline__ C logit(int64_t c) const { return widen_to<C>(x[c * a.x_stride[1]]); }
  __device__ __forceinline__ C weight(int64_t c) const {
    return a.weight ? static_cast<const C*>(a.weight)[c] : C(1);
  }
  // The part of the target distribution that does not come from the class index.
  __device__ __forceinline__ C spread(int64_t c) const {
    if (!a.probabilities) return smooth_share * weight(c);
    return weight(c) * ((1 - smooth) * widen_to<C>(target[c * a.target_stride[1]]) + smooth_share);
  }
  __device__ __forceinline__ bool spreads() const { return a.probabilities || smooth != 0; }
  __device__ __forceinline__ C peak() const {  // the part that does
    return a.probabilities ? C(0) : (1 - smooth) * weight(label);
  }
  __device__ __forceinline__ double share() const {
    return a.probabilities ? 1 : static_cast<double>(weight(label));
  }
};

template <class C>
__device__ __forceinline__ C plus(C a, C b) {
  return a + b;
}

// Sums over the classes of the spread part, weighted by how far logits lie below the top, and
// alone.
template <class C>
struct Dots {
  C distance, mass;
};

template <class T, class C>
__device__ __forceinline__ Dots<C> dots(const Position<T, C>& p, C top, int64_t first,
                                        int64_t step) {
  Dots<C> r{0, 0};
  for (int64_t c = first; c < p.a.classes; c += step) {
    const C s = p.spread(c);
    r.distance += s * (top - p.logit(c));
    r.mass += s;
  }
  return r;
}

template <class T, int Width>
__global__ void __launch_bounds__(kThreads, 1) cross_entropy_rows(CrossEntropyArgs a) {
  using C = Wide<T>;
  SHARED(LogSum<C>, room, [kThreads / kWarp]);
  SHARED(C, dot_room, [kThreads / kWarp]);
  SHARED(C, mass_room, [kThreads / kWarp]);
  SHARED(double, sum_room, [kThreads / kWarp]);
  SHARED(double, share_room, [kThreads / kWarp]);
  const int64_t i = blockIdx.x * int64_t{kThreads / Width} + threadIdx.x / Width;
  const bool works = i < a.positions;
  const int64_t first = works ? threadIdx.x % Width : a.classes;
  const Position<T, C> p(a, works ? i : 0);
  LogSum<C> sum = LogSum<C>::start();
  for (int64_t c = first; c < a.classes; c += Width) sum.add(p.logit(c));
  sum = join_line<Width>(sum, room, LogSum<C>::join);
  const C rest = math::log(sum.sum);
  C loss = 0;
  Dots<C> d{0, 0};
  if (p.spreads()) {
    d = dots(p, sum.top, first, Width);
    d.distance = join_line<Width>(d.distance, dot_room, plus<C>);
    d.mass = join_line<Width>(d.mass, mass_room, plus<C>);
  }
  double share = 0;
  if (works && threadIdx.x % Width == 0) {
    C* saved = static_cast<C*>(a.saved);
    saved[i] = sum.top;
    saved[a.positions + i] = rest;
    if (!p.ignored()) {
      loss = d.distance + d.mass * rest;
      if (!p.valid()) {
        loss = static_cast<C>(NAN);
      } else {
        share = p.share();
        if (!a.probabilities) loss += p.peak() * ((sum.top - p.logit(p.label)) + rest);
      }
    }
    if (a.reduction == Reduction::none) static_cast<C*>(a.loss)[i] = loss;
  }
  const auto total = join_block<kThreads>(static_cast<double>(loss), sum_room, plus<double>);
  share = join_block<kThreads>(share, share_room, plus<double>);
  if (threadIdx.x == 0) {
    a.sums[2 * blockIdx.x] = total;
    a.sums[2 * blockIdx.x + 1] = share;
  }
}

template <class C>
__global__ void __launch_bounds__(kThreads)
    cross_entropy_total(CrossEntropyArgs a, int64_t blocks) {
  SHARED(double, sum_room, [kThreads / kWarp]);
  SHARED(double, share_room, [kThreads / kWarp]);
  double sum = 0, share = 0;
  for (int64_t b = threadIdx.x; b < blocks; b += kThreads) {
    sum += a.sums[2 * b];
    share += a.sums[2 * b + 1];
  }
  sum = join_block<kThreads>(sum, sum_room, plus<double>);
  share = join_block<kThreads>(share, share_room, plus<double>);
  if (threadIdx.x != 0) return;
  static_cast<C*>(a.saved)[2 * a.positions] = static_cast<C>(share);
  if (a.reduction != Reduction::none)
    *static_cast<C*>(a.loss) = static_cast<C>(a.reduction == Reduction::mean ? sum / share : sum);
}

template <class T, int Width>
__global__ void __launch_bounds__(kThreads, 1) cross_entropy_gradient(CrossEntropyArgs a) {
  using C = Wide<T>;
  SHARED(C, room, [kThreads / kWarp]);
  const int64_t i = blockIdx.x * int64_t{kThreads / Width} + threadIdx.x / Width;
  const bool works = i < a.positions;
  const int64_t first = works ? threadIdx.x % Width : a.classes;
  const Position<T, C> p(a, works ? i : 0);
  const C* saved = static_cast<const C*>(a.saved);
  const C* dy = static_cast<const C*>(a.dy);
  const int64_t at = works ? i : 0;
  C scale = a.reduction == Reduction::none ? dy[at] : dy[0];
  if (a.reduction == Reduction::mean) scale /= saved[2 * a.positions];
  if (p.ignored()) scale = 0;
  if (!p.valid() && !p.ignored()) scale = static_cast<C>(NAN);
  C mass = p.valid() ? p.peak() : C(0);
  if (p.spreads()) {
    C own = 0;
    for (int64_t c = first; c < a.classes; c += Width) own += p.spread(c);
    mass += join_line<Width>(own, room, plus<C>);
  }
  const C top = saved[at], rest = saved[a.positions + at];
  const int64_t n = at / a.inner, d = at - n * a.inner;
  T* dx = static_cast<T*>(a.dx) + n * a.dx_stride[0] + d * a.dx_stride[2];
  for (int64_t c = first; c < a.classes; c += Width) {
    C g = 0;
    if (scale != 0) {
      g = mass * math::exp((p.logit(c) - top) - rest);
      if (p.spreads()) g -= p.spread(c);
      if (!a.probabilities && c == p.label) g -= p.peak();
      g *= scale;
    }
    dx[c * a.dx_stride[1]] = narrow_to<T>(g);
  }
}

// ---- Drivers ----------------------------------------------------------------------------------

CrossEntropyArgs make_args(const CrossEntropyParams& p, const TensorView* v) {
  CrossEntropyArgs a{};
  a.x = v[0].data;
  a.target = v[1].data;
  a.weight = v[2].data;
  for (int d = 0; d < 3; ++d) {
    a.x_stride[d] = v[0].stride[d];
    if (p.probabilities) a.target_stride[d] = v[1].stride[d];
  }
  a.classes = v[0].shape[1];
  a.inner = v[0].shape[2];
  a.positions = v[0].shape[0] * a.inner;
  a.ignore = p.ignore_index;
  a.probabilities = p.probabilities;
  a.reduction = p.reduction;
  a.smoothing = p.smoothing;
  return a;
}

// Threads per position: one where the positions lie side by side.
int width_of(const TensorView& x) {
  if (x.shape[2] >= kWarp && std::llabs(x.stride[2]) < std::llabs(x.stride[1])) return 1;
  return x.shape[1] <= 1024 ? kWarp : kThreads;
}
int64_t blocks_of(const TensorView* v) {
  return ceil_div(v[0].shape[0] * v[0].shape[2], kThreads / width_of(v[0]));
}

size_t workspace(const CrossEntropyParams&, const TensorView* v) {
  return static_cast<size_t>(blocks_of(v)) * 2 * sizeof(double);
}

void run_forward(const CrossEntropyParams& p, const TensorView* v, void* scratch, Stream stream) {
  CrossEntropyArgs a = make_args(p, v);
  a.loss = v[3].data;
  a.saved = v[4].data;
  a.sums = static_cast<double*>(scratch);
  const int width = width_of(v[0]);
  const int64_t blocks = blocks_of(v);
  with_float_type(v[0].dtype, [&](auto tag) {
    using T = decltype(tag);
    if (blocks > 0)
      cuda::launch({"cross_entropy", stream, static_cast<unsigned>(blocks), kThreads},
                   width == 1       ? cross_entropy_rows<T, 1>
                   : width == kWarp ? cross_entropy_rows<T, kWarp>
                                    : cross_entropy_rows<T, kThreads>,
                   a);
    cuda::launch({"cross_entropy_total", stream, 1, kThreads}, cross_entropy_total<Wide<T>>, a,
                 blocks);
  });
}

void run_backward(const CrossEntropyParams& p, const TensorView* v, void*, Stream stream) {
  CrossEntropyArgs a = make_args(p, v);
  if (v[0].numel() == 0) return;
  a.saved = v[3].data;
  a.dy = v[4].data;
  a.dx = v[5].data;
  for (int d = 0; d < 3; ++d) a.dx_stride[d] = v[5].stride[d];
  const int width = width_of(v[0]);
  with_float_type(v[0].dtype, [&](auto tag) {
    using T = decltype(tag);
    cuda::launch({"cross_entropy_backward", stream, static_cast<unsigned>(blocks_of(v)), kThreads},
                 width == 1       ? cross_entropy_gradient<T, 1>
                 : width == kWarp ? cross_entropy_gradient<T, kWarp>
                                  : cross_entropy_gradient<T, kThreads>,
                 a);
  });
}

}  // namespace

const Op<CrossEntropyParams> cross_entropy_forward{"cross_entropy", nullptr, workspace,
                                                   run_forward};
const Op<CrossEntropyParams> cross_entropy_backward{"cross_entropy_backward", nullptr, nullptr,
                                                    run_backward};

}  // namespace fastnn::cuda
