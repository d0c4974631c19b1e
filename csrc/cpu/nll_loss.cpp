// Negative log-likelihood: a gather forward, a scatter into zeros backward.
#include "fastnn/ops/nll_loss.h"

#include <cstring>

#include "cpu/classes.h"

namespace fastnn {

namespace {

constexpr const char* kName = "nll_loss";
constexpr int64_t kGrain = 4096;  // positions

void check(const NllParams&, const TensorView* v) {
  if (!is_float(v[0].dtype))
    fail(ErrorKind::dtype, kName, ": input must be floating-point, got ", name_of(v[0].dtype));
  check_class_weight(kName, v[0], v[2]);
  check_class_target(kName, v[0], v[1]);
}

void check_values(const NllParams& p, const TensorView* v) {
  check_class_indices(kName, v[0], v[1], p.ignore_index);
}

struct Layout {
  const TensorView& x;
  const int64_t* target;
  int64_t positions, inner;

  explicit Layout(const TensorView* v)
      : x(v[0]),
        target(v[1].ptr<const int64_t>()),
        positions(v[0].shape[0] * v[0].shape[2]),
        inner(v[0].shape[2]) {}

  int64_t offset(const TensorView& a, int64_t i) const {
    return i / inner * a.stride[0] + target[i] * a.stride[1] + i % inner * a.stride[2];
  }
};

size_t workspace(const NllParams&, const TensorView* v) {
  const int64_t positions = v[0].shape[0] * v[0].shape[2];
  return static_cast<size_t>(positions / kGrain + 1) * 2 * sizeof(double);
}

template <class T>
void forward(const NllParams& p, const TensorView* v, double* sums) {
  const Layout at(v);
  const T* weight = v[2].ptr<const T>();
  T* loss = v[3].ptr<T>();
  parallel_blocks(at.positions, kGrain, [&](int64_t begin, int64_t end, int) {
    double sum = 0, divisor = 0;
    for (int64_t i = begin; i < end; ++i) {
      double one = 0;
      if (at.target[i] != p.ignore_index) {
        const double w = weight ? static_cast<double>(weight[at.target[i]]) : 1;
        one = -w * read_element<double>(at.x, at.offset(at.x, i));
        divisor += w;
      }
      if (p.reduction == Reduction::none) loss[i] = static_cast<T>(one);
      sum += one;
    }
    sums[2 * (begin / kGrain)] = sum;
    sums[2 * (begin / kGrain) + 1] = divisor;
  });
  double sum = 0, divisor = 0;
  for (int64_t b = 0; b * kGrain < at.positions; ++b) {
    sum += sums[2 * b];
    divisor += sums[2 * b + 1];
  }
  *v[4].ptr<T>() = static_cast<T>(divisor);
  if (p.reduction != Reduction::none)
    *loss = static_cast<T>(p.reduction == Reduction::mean ? sum / divisor : sum);
}

void fill_zero(const TensorView& v) {
  if (dense(v)) {
    const auto size = static_cast<int64_t>(size_of(v.dtype));
    parallel_blocks(v.numel() * size, 1 << 18, [&](int64_t begin, int64_t end, int) {
      std::memset(static_cast<char*>(v.data) + begin, 0, static_cast<size_t>(end - begin));
    });
    return;
  }
  const float zeros[kStridedBlock] = {};
  parallel_blocks(v.numel(), kStridedBlock, [&](int64_t begin, int64_t end, int) {
    scatter_block(v, begin, end - begin, zeros);
  });
}

template <class T>
void backward(const NllParams& p, const TensorView* v) {
  const Layout at(v);
  const T *weight = v[2].ptr<const T>(), *dy = v[4].ptr<const T>();
  const TensorView& dx = v[5];
  const T common = p.reduction == Reduction::mean ? *dy / *v[3].ptr<const T>() : *dy;
  fill_zero(dx);
  parallel_blocks(at.positions, kGrain, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) {
      if (at.target[i] == p.ignore_index) continue;
      const T g = p.reduction == Reduction::none ? dy[i] : common;
      write_element(dx, at.offset(dx, i), -g * (weight ? weight[at.target[i]] : T(1)));
    }
  });
}

void run_forward(const NllParams& p, const TensorView* v, void* memory) {
  auto* sums = static_cast<double*>(memory);
  v[0].dtype == DType::f64 ? forward<double>(p, v, sums) : forward<float>(p, v, sums);
}

void run_backward(const NllParams& p, const TensorView* v, void*) {
  if (v[1].numel() == 0) return fill_zero(v[5]);
  v[0].dtype == DType::f64 ? backward<double>(p, v) : backward<float>(p, v);
}

}  // namespace

const Op<NllParams> nll_loss_forward{"nll_loss", check, workspace, run_forward, check_values};
const Op<NllParams> nll_loss_backward{"nll_loss_backward", check, nullptr, run_backward,
                                      check_values};

}  // namespace fastnn
