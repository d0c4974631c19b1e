#include "fastnn/ops/pointwise_loss.h"

#include "cpu/kernels/pointwise_loss.h"
#include "cpu/strided.h"

namespace fastnn {

namespace {

constexpr const char* kName = "pointwise_loss";
constexpr int64_t kGrain = 8192;

void check(const PointwiseLossParams&, const TensorView* v) {
  const TensorView& x = v[0];
  if (x.dtype != DType::f32 && x.dtype != DType::f64)
    fail(ErrorKind::dtype, kName, ": input must be float32 or float64, got ", name_of(x.dtype));
  for (int i = 0; i < 4; ++i)
    if (v[i] && (!v[i].contiguous() || v[i].dtype != x.dtype || !same_shape(v[i], x)))
      fail(ErrorKind::shape, kName, ": input, target and weights must be contiguous ",
           name_of(x.dtype), " of one shape, ", x.shape_text(), ", got ", name_of(v[i].dtype),
           " of shape ", v[i].shape_text());
}

template <class T>
const LossLoops<T>& loops_of(LossKind kind) {
  const PointwiseLossKernels& kernels = active_pointwise_loss_kernels();
  if constexpr (sizeof(T) == 8)
    return kernels.f64[static_cast<int>(kind)];
  else
    return kernels.f32[static_cast<int>(kind)];
}

template <class T>
LossBlock<T> part_of(const PointwiseLossParams& p, const TensorView* v, int64_t begin,
                     int64_t end) {
  const auto at = [&](int i) { return v[i] ? v[i].ptr<const T>() + begin : nullptr; };
  return {at(0), at(1), at(2), at(3), end - begin, static_cast<T>(p.a)};
}

size_t workspace(const PointwiseLossParams&, const TensorView* v) {
  return static_cast<size_t>(v[0].numel() / kGrain + 1) * sizeof(double);
}

template <class T>
void forward(const PointwiseLossParams& p, const TensorView* v, double* sums) {
  const int64_t n = v[0].numel();
  const LossLoops<T>& loops = loops_of<T>(p.kind);
  T* out = v[4].ptr<T>();
  const bool each = p.reduction == Reduction::none;
  parallel_blocks(n, kGrain, [&](int64_t begin, int64_t end, int) {
    sums[begin / kGrain] = loops.value(part_of<T>(p, v, begin, end), each ? out + begin : nullptr);
  });
  if (each) return;
  double sum = 0;
  for (int64_t b = 0; b * kGrain < n; ++b) sum += sums[b];
  *out = static_cast<T>(p.reduction == Reduction::mean ? sum / static_cast<double>(n) : sum);
}

template <class T>
void backward(const PointwiseLossParams& p, const TensorView* v) {
  const int64_t n = v[0].numel();
  const LossLoops<T>& loops = loops_of<T>(p.kind);
  const T* dy = v[4].ptr<const T>();
  T* dx = v[5].ptr<T>();
  const bool each = p.reduction == Reduction::none;
  T scale = each ? T(1) : *dy;
  if (p.reduction == Reduction::mean) scale /= static_cast<T>(n);
  parallel_blocks(n, kGrain, [&](int64_t begin, int64_t end, int) {
    loops.slope(part_of<T>(p, v, begin, end), scale, each ? dy + begin : nullptr, dx + begin);
  });
}

void run_forward(const PointwiseLossParams& p, const TensorView* v, void* memory) {
  auto* sums = static_cast<double*>(memory);
  v[0].dtype == DType::f64 ? forward<double>(p, v, sums) : forward<float>(p, v, sums);
}

void run_backward(const PointwiseLossParams& p, const TensorView* v, void*) {
  v[0].dtype == DType::f64 ? backward<double>(p, v) : backward<float>(p, v);
}

}  // namespace

const Op<PointwiseLossParams> pointwise_loss_forward{"pointwise_loss", check, workspace,
                                                     run_forward};
const Op<PointwiseLossParams> pointwise_loss_backward{"pointwise_loss_backward", check, nullptr,
                                                      run_backward};

}  // namespace fastnn
