// SGD and Adam over many tensors in few launches: addresses, sizes and coefficients of a launch's
// tensors travel as a kernel argument, a block works on a part of one tensor.
#include "../csrc/cpu/strided.h"
#include "common/cast.h"
#include "common/dtypes.h"
#include "common/launch.h"
#include "common/math.h"
#include "common/row_major.h"
#include "fastnn/ops/optim.h"
#include "ops.h"

namespace fastnn::cuda {

namespace {

constexpr int kThreads = 256, kPerThread = 8;
constexpr int kBlockElements = kThreads * kPerThread;
constexpr int kTensors = 40;  // of one launch
constexpr int kStates = 3;

struct OptimTensors {
  void* param[kTensors];
  const void* grad[kTensors];
  void* state[kStates][kTensors];
  uint32_t n[kTensors], first_block[kTensors];
  double step[kTensors], bias2[kTensors];  // what differs between parameters
  int count;
};

// What all parameters share.
struct OptimRule {
  OptimKind kind;
  int flags;
  double weight_decay;
  double c[4];  // sgd: momentum, 1 - dampening. adam: 1 - beta1, beta2, 1 - beta2, eps
  double keep;  // decoupled weight decay: 1 - lr * weight_decay
};

template <class C>
struct Update {
  C p, g, s[kStates];
};

template <class C>
__device__ __forceinline__ void update_sgd(const OptimRule& r, C lr, Update<C>& u) {
  if (r.flags & kOptimMomentum) {
    const auto momentum = static_cast<C>(r.c[0]);
    u.s[0] = r.flags & kOptimFirst ? u.g : momentum * u.s[0] + static_cast<C>(r.c[1]) * u.g;
    u.g = r.flags & kOptimNesterov ? u.g + momentum * u.s[0] : u.s[0];
  }
  u.p -= lr * u.g;
}

template <class C>
__device__ __forceinline__ void update_adam(const OptimRule& r, C step, C bias2, Update<C>& u) {
  const C gain1 = static_cast<C>(r.c[0]), beta2 = static_cast<C>(r.c[1]),
          gain2 = static_cast<C>(r.c[2]), eps = static_cast<C>(r.c[3]);
  u.s[0] += gain1 * (u.g - u.s[0]);
  u.s[1] = beta2 * u.s[1] + gain2 * u.g * u.g;
  C v = u.s[1];
  if (r.flags & kOptimAmsgrad) v = u.s[2] = math::max(v, u.s[2]);
  if (r.flags & kOptimDecoupled) u.p *= static_cast<C>(r.keep);
  u.p -= step * (u.s[0] / (math::sqrt(v) / bias2 + eps));
}

template <class C>
__device__ __forceinline__ void update(const OptimRule& r, double step, double bias2,
                                       Update<C>& u) {
  if (r.flags & kOptimMaximize) u.g = -u.g;
  // No decay must not touch p: 0 * inf is NaN.
  if (r.weight_decay != 0 && !(r.flags & kOptimDecoupled))
    u.g += static_cast<C>(r.weight_decay) * u.p;
  if (r.kind == OptimKind::sgd)
    update_sgd<C>(r, static_cast<C>(step), u);
  else
    update_adam<C>(r, static_cast<C>(step), static_cast<C>(bias2), u);
}

// Dense tensors of one dtype, all views of one in the same layout.
template <class T, int States>
__global__ void __launch_bounds__(kThreads) optim_dense(OptimTensors t, OptimRule r) {
  using C = Wide<T>;
  int k = 0;
  while (k + 1 < t.count && blockIdx.x >= t.first_block[k + 1]) ++k;
  const uint32_t first = (blockIdx.x - t.first_block[k]) * kBlockElements + threadIdx.x;
  T* param = static_cast<T*>(t.param[k]);
  const T* grad = static_cast<const T*>(t.grad[k]);
  FASTNN_NO_UNROLL
  for (int e = 0; e < kPerThread; ++e) {
    const uint32_t i = first + e * kThreads;
    if (i >= t.n[k]) return;
    Update<C> u{widen_to<C>(param[i]), widen_to<C>(grad[i]), {}};
    FASTNN_UNROLL
    for (int s = 0; s < States; ++s) u.s[s] = widen_to<C>(static_cast<const T*>(t.state[s][k])[i]);
    update<C>(r, t.step[k], t.bias2[k], u);
    param[i] = narrow_to<T>(u.p);
    FASTNN_UNROLL
    for (int s = 0; s < States; ++s) static_cast<T*>(t.state[s][k])[i] = narrow_to<T>(u.s[s]);
  }
}

// One tensor whose views lie differently in memory.
struct StridedTensor {
  void* data[2 + kStates];
  RowMajor at[2 + kStates];
  uint32_t n;
  double step, bias2;
};
template <class T>
__global__ void __launch_bounds__(kThreads)
    optim_strided(StridedTensor t, OptimRule r, int states) {
  using C = Wide<T>;
  const uint32_t i = blockIdx.x * kThreads + threadIdx.x;
  if (i >= t.n) return;
  T* at[2 + kStates] = {};
  for (int k = 0; k < 2 + states; ++k) at[k] = static_cast<T*>(t.data[k]) + t.at[k].offset(i);
  Update<C> u{widen_to<C>(*at[0]), widen_to<C>(*at[1]), {}};
  FASTNN_UNROLL
  for (int s = 0; s < kStates; ++s)
    if (s < states) u.s[s] = widen_to<C>(*at[2 + s]);
  update<C>(r, t.step, t.bias2, u);
  *at[0] = narrow_to<T>(u.p);
  FASTNN_UNROLL
  for (int s = 0; s < kStates; ++s)
    if (s < states) *at[2 + s] = narrow_to<T>(u.s[s]);
}

// ---- Driver -----------------------------------------------------------------------------------

OptimRule rule_of(const OptimParams& p) {
  OptimRule r{p.kind, p.flags, p.weight_decay, {}, 1 - p.lr * p.weight_decay};
  if (p.kind == OptimKind::sgd) {
    r.c[0] = p.h[0];
    r.c[1] = 1 - p.h[1];
  } else {
    r.c[0] = 1 - p.h[0];
    r.c[1] = p.h[1];
    r.c[2] = 1 - p.h[1];
    r.c[3] = p.h[2];
  }
  return r;
}

int states_of(const OptimParams& p) { return optim_states(p.kind, p.flags); }

bool flat(const OptimParams& p, const TensorView* v, int64_t i) {
  if (!dense(v[i])) return false;
  for (int k = 1; k < 2 + states_of(p); ++k)
    if (!same_dense_layout(v[i], v[k * p.count + i])) return false;
  return true;
}

// Collects tensors of one dtype and launches when the list is full.
class Collector {
 public:
  Collector(const OptimParams& p, const TensorView* v, Stream stream)
      : p_(p), v_(v), rule_(rule_of(p)), stream_(stream) {}

  void add(int64_t i, double step, double bias2) {
    const TensorView& param = v_[i];
    if (param.numel() == 0) return;
    if (!flat(p_, v_, i)) return strided(i, step, bias2);
    if (t_.count == kTensors || (t_.count > 0 && dtype_ != param.dtype)) flush();
    dtype_ = param.dtype;
    const int k = t_.count++;
    t_.param[k] = param.data;
    t_.grad[k] = v_[p_.count + i].data;
    for (int s = 0; s < states_of(p_); ++s) t_.state[s][k] = v_[(2 + s) * p_.count + i].data;
    t_.n[k] = static_cast<uint32_t>(param.numel());
    t_.first_block[k] = blocks_;
    t_.step[k] = step;
    t_.bias2[k] = bias2;
    blocks_ += static_cast<uint32_t>(ceil_div(param.numel(), kBlockElements));
  }

  void flush() {
    if (t_.count == 0) return;
    with_float_type(dtype_, [&](auto tag) {
      using T = decltype(tag);
      const int states = states_of(p_);
      cuda::launch({"optim_step", stream_, blocks_, kThreads},
                   states == 0   ? optim_dense<T, 0>
                   : states == 1 ? optim_dense<T, 1>
                   : states == 2 ? optim_dense<T, 2>
                                 : optim_dense<T, 3>,
                   t_, rule_);
    });
    t_ = OptimTensors{};
    blocks_ = 0;
  }

 private:
  void strided(int64_t i, double step, double bias2) {
    StridedTensor t{};
    for (int k = 0; k < 2 + states_of(p_); ++k) {
      t.data[k] = v_[k * p_.count + i].data;
      t.at[k] = RowMajor(v_[k * p_.count + i]);
    }
    t.n = static_cast<uint32_t>(v_[i].numel());
    t.step = step;
    t.bias2 = bias2;
    with_float_type(v_[i].dtype, [&](auto tag) {
      cuda::launch(
          {"optim_step", stream_, static_cast<unsigned>(ceil_div(t.n, kThreads)), kThreads},
          optim_strided<decltype(tag)>, t, rule_, states_of(p_));
    });
  }

  const OptimParams& p_;
  const TensorView* v_;
  OptimRule rule_;
  Stream stream_;
  OptimTensors t_{};
  DType dtype_ = DType::f32;
  uint32_t blocks_ = 0;
};

// The step counters are read and written by the host.
double advance(const TensorView& v) {
  if (v.dtype == DType::f32) return *v.ptr<float>() += 1;
  return *v.ptr<double>() += 1;
}

void check(const OptimParams& p, const TensorView* v) {
  if (p.kind != OptimKind::sgd && p.kind != OptimKind::adam)
    fail(ErrorKind::unsupported,
         "optim_step: on CUDA there are SGD, Adam and AdamW so far; move "
         "the parameters to the CPU for other optimizers");
  for (int64_t i = 0; i < p.count; ++i)
    if (v[i].numel() > INT32_MAX)
      fail(ErrorKind::unsupported, "optim_step: parameter ", i,
           " has more than 2^31 - 1 elements, of shape ", v[i].shape_text());
}

void run(const OptimParams& p, const TensorView* v, void*, Stream stream) {
  Collector tensors(p, v, stream);
  for (int64_t i = 0; i < p.count; ++i) {
    double step = p.lr, bias2 = 1;
    if (p.kind == OptimKind::adam) {
      const double t = advance(v[(2 + states_of(p)) * p.count + i]);
      step = p.lr / (1 - std::pow(p.h[0], t));
      bias2 = std::sqrt(1 - std::pow(p.h[1], t));
    }
    tensors.add(i, step, bias2);
  }
  tensors.flush();
}

}  // namespace

const Op<OptimParams> optim_step{"optim_step", check, nullptr, run};

}  // namespace fastnn::cuda
