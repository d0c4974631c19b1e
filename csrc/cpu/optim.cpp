// Optimizer steps: per-parameter coefficients, then chunks of all parameters in one parallel
// region.
#include "fastnn/ops/optim.h"

#include <algorithm>
#include <cmath>

#include "cpu/chunks.h"
#include "cpu/kernels/optim.h"
#include "cpu/strided.h"

namespace fastnn {

int optim_scalars(OptimKind kind) {
  switch (kind) {
    case OptimKind::sgd:
      return 0;
    case OptimKind::nadam:
      return 2;
    case OptimKind::asgd:
      return 3;
    default:
      return 1;
  }
}

namespace {

constexpr const char* kName = "optim_step";

struct Plan {
  double coef[kOptimCoefs];
};

double read_scalar(const TensorView& v) {
  return v.dtype == DType::f32 ? *v.ptr<const float>() : *v.ptr<const double>();
}
void write_scalar(const TensorView& v, double x) {
  if (v.dtype == DType::f32)
    *v.ptr<float>() = static_cast<float>(x);
  else
    *v.ptr<double>() = x;
}

void check(const OptimParams& p, const TensorView* views) {
  const int states = optim_states(p.kind, p.flags), scalars = optim_scalars(p.kind);
  for (int64_t i = 0; i < p.count; ++i) {
    const TensorView& param = views[i];
    if (!is_float(param.dtype))
      fail(ErrorKind::dtype, kName, ": parameter ", i, " has dtype ", name_of(param.dtype),
           "; only floating-point parameters can be optimized");
    for (int k = 1; k < 2 + states; ++k) {
      const TensorView& other = views[k * p.count + i];
      const char* what = k == 1 ? "gradient" : "state";
      if (!same_shape(param, other))
        fail(ErrorKind::shape, kName, ": ", what, " of parameter ", i, " has shape ",
             other.shape_text(), ", but the parameter has shape ", param.shape_text());
      if (other.dtype != param.dtype)
        fail(ErrorKind::dtype, kName, ": ", what, " of parameter ", i, " has dtype ",
             name_of(other.dtype), ", but the parameter has dtype ", name_of(param.dtype));
    }
    for (int k = 2 + states; k < 2 + states + scalars; ++k) {
      const TensorView& scalar = views[k * p.count + i];
      if (scalar.numel() != 1 || (scalar.dtype != DType::f32 && scalar.dtype != DType::f64))
        fail(ErrorKind::value, kName, ": the step of parameter ", i,
             " must be one float32 or float64, got shape ", scalar.shape_text(), " of ",
             name_of(scalar.dtype));
    }
  }
}

// Adam's relatives: coef[2..5] = 1 - beta1, beta2, 1 - beta2, eps; coef[7] = 1 - lr * weight_decay.
void moments(const OptimParams& p, double* c) {
  c[2] = 1 - p.h[0];
  c[3] = p.h[1];
  c[4] = 1 - p.h[1];
  c[5] = p.h[2];
  c[7] = 1 - p.lr * p.weight_decay;
}

void nadam(const OptimParams& p, double step, const TensorView& product_view, double* c) {
  const double beta1 = p.h[0], decay = p.h[3];
  const double mu = beta1 * (1 - 0.5 * std::pow(0.96, step * decay));
  const double mu_next = beta1 * (1 - 0.5 * std::pow(0.96, (step + 1) * decay));
  write_scalar(product_view, read_scalar(product_view) * mu);
  const double product = read_scalar(product_view);
  moments(p, c);
  c[0] = p.lr * (1 - mu) / (1 - product);
  c[6] = 1 - std::pow(p.h[1], step);
  c[8] = p.lr * mu_next / (1 - product * mu_next);
}

void radam(const OptimParams& p, double step, double* c) {
  moments(p, c);
  const double beta2 = p.h[1], power2 = std::pow(beta2, step), bias2 = 1 - power2;
  const double longest = 2 / (1 - beta2) - 1, length = longest - 2 * step * power2 / bias2;
  c[0] = p.lr / (1 - std::pow(p.h[0], step));
  c[6] = length > 5;
  if (length > 5)
    c[0] *= std::sqrt(bias2 * (length - 4) * (length - 2) * longest /
                      ((longest - 4) * (longest - 2) * length));
}

void asgd(const OptimParams& p, double step, const TensorView& eta_view, const TensorView& mu_view,
          double* c) {
  const double lambd = p.h[0], alpha = p.h[1], t0 = p.h[2], eta = read_scalar(eta_view);
  c[0] = eta;
  c[2] = 1 - lambd * eta;
  c[3] = read_scalar(mu_view);
  write_scalar(eta_view, p.lr / std::pow(1 + lambd * p.lr * step, alpha));
  write_scalar(mu_view, 1 / std::max(1.0, step - t0));
}

// The coefficients of one parameter, as the kernels want them; advances its step.
void prepare(const OptimParams& p, const TensorView* views, int64_t i, double* c) {
  const int scalars_at = 2 + optim_states(p.kind, p.flags);
  const auto scalar = [&](int k) -> const TensorView& {
    return views[(scalars_at + k) * p.count + i];
  };
  double step = 0;
  if (optim_scalars(p.kind)) write_scalar(scalar(0), step = read_scalar(scalar(0)) + 1);
  c[0] = p.lr;
  c[1] = p.weight_decay;
  switch (p.kind) {
    case OptimKind::sgd:
      c[2] = p.h[0];
      c[3] = 1 - p.h[1];
      break;
    case OptimKind::adam:
      moments(p, c);
      c[0] = p.lr / (1 - std::pow(p.h[0], step));
      c[6] = std::sqrt(1 - std::pow(p.h[1], step));
      break;
    case OptimKind::rmsprop:
      c[2] = p.h[0];
      c[3] = 1 - p.h[0];
      c[4] = p.h[1];
      c[5] = p.h[2];
      break;
    case OptimKind::adagrad:
      c[0] = p.lr / (1 + (step - 1) * p.h[0]);
      c[2] = p.h[1];
      break;
    case OptimKind::adadelta:
      c[2] = p.h[0];
      c[3] = 1 - p.h[0];
      c[4] = p.h[1];
      break;
    case OptimKind::adamax:
      c[0] = p.lr / (1 - std::pow(p.h[0], step));
      c[2] = 1 - p.h[0];
      c[3] = p.h[1];
      c[4] = p.h[2];
      break;
    case OptimKind::nadam:
      nadam(p, step, scalar(1), c);
      break;
    case OptimKind::radam:
      radam(p, step, c);
      break;
    case OptimKind::asgd:
      asgd(p, step, scalar(1), scalar(2), c);
      break;
    case OptimKind::rprop:
      for (int k = 0; k < 4; ++k) c[2 + k] = p.h[k];
  }
}

// A chunk in memory order: all views of the parameter are dense in the same layout.
template <class T>
void update_dense(OptimUpdate<T> update, const OptimParams& p, const TensorView* views, int64_t i,
                  const double* coef, int64_t begin, int64_t n) {
  OptimBlock<T> block{views[i].ptr<T>() + begin, views[p.count + i].ptr<const T>() + begin, {}, n};
  for (int s = 0; s < optim_states(p.kind, p.flags); ++s)
    block.state[s] = views[(2 + s) * p.count + i].ptr<T>() + begin;
  update(coef, p.flags, block);
}

// Any strides, any dtype: through small blocks of T.
template <class T>
void update_strided(OptimUpdate<T> update, const OptimParams& p, const TensorView* views, int64_t i,
                    const double* coef, int64_t begin, int64_t end) {
  const int states = optim_states(p.kind, p.flags);
  T param[kStridedBlock], grad[kStridedBlock], state[kOptimMaxStates][kStridedBlock];
  for (; begin < end; begin += kStridedBlock) {
    const int64_t n = std::min(end - begin, kStridedBlock);
    gather_block(views[i], begin, n, param);
    gather_block(views[p.count + i], begin, n, grad);
    for (int s = 0; s < states; ++s) gather_block(views[(2 + s) * p.count + i], begin, n, state[s]);
    update(coef, p.flags, OptimBlock<T>{param, grad, {state[0], state[1], state[2]}, n});
    scatter_block(views[i], begin, n, param);
    for (int s = 0; s < states; ++s)
      scatter_block(views[(2 + s) * p.count + i], begin, n, state[s]);
  }
}

template <class T>
void update_part(OptimUpdate<T> update, const OptimParams& p, const TensorView* views, int64_t i,
                 const double* coef, int64_t begin, int64_t end, bool flat) {
  if (flat)
    update_dense(update, p, views, i, coef, begin, end - begin);
  else
    update_strided(update, p, views, i, coef, begin, end);
}

size_t workspace(const OptimParams& p, const TensorView*) {
  return Chunks::bytes(p.count) + static_cast<size_t>(p.count) * sizeof(Plan);
}

void run(const OptimParams& p, const TensorView* views, void* memory) {
  const Chunks chunks(views, p.count, memory);
  auto* plans = reinterpret_cast<Plan*>(static_cast<char*>(memory) + Chunks::bytes(p.count));
  for (int64_t i = 0; i < p.count; ++i) prepare(p, views, i, plans[i].coef);
  const OptimKernels& kernels = active_optim_kernels();
  const int kind = static_cast<int>(p.kind), groups = 2 + optim_states(p.kind, p.flags);
  const auto update = [&](int64_t i, int64_t begin, int64_t end, int64_t) {
    const TensorView& param = views[i];
    bool flat = dense(param);
    for (int k = 1; k < groups; ++k)
      flat = flat && same_dense_layout(param, views[k * p.count + i]);
    const double* coef = plans[i].coef;
    if (param.dtype == DType::f64)
      update_part(kernels.update_f64[kind], p, views, i, coef, begin, end, flat);
    else
      update_part(kernels.update_f32[kind], p, views, i, coef, begin, end,
                  flat && param.dtype == DType::f32);
  };
  parallel_for(chunks.count(), [&](int64_t chunk, int) { chunks.visit(chunk, update); });
}

}  // namespace

const Op<OptimParams> optim_step{kName, check, workspace, run};

}  // namespace fastnn
