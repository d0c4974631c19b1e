// Norms and in-place changes of all gradients in one parallel region.
#include "fastnn/ops/grads.h"

#include <cmath>

#include "cpu/chunks.h"
#include "cpu/kernels/grads.h"
#include "cpu/strided.h"

namespace fastnn {

namespace {

constexpr const char* kName = "grads_apply";

// A norm is finish(join(part(x) of all chunks)).
struct Norm {
  double p;

  double start() const { return p == -INFINITY ? INFINITY : 0; }

  template <class T>
  double part(const GradLoops<T>& loops, const T* x, int64_t n) const {
    if (p == 2) return loops.squares(x, n);
    if (p == 1) return loops.absolutes(x, n);
    if (p == INFINITY) return loops.largest(x, n);
    double sum = start();
    for (int64_t i = 0; i < n; ++i) {
      const double v = std::fabs(static_cast<double>(x[i]));
      sum = p == 0 ? sum + (v != 0) : join(sum, p == -INFINITY ? v : std::pow(v, p));
    }
    return sum;
  }

  double join(double a, double b) const {
    if (p == INFINITY) return a > b || a != a ? a : b;
    if (p == -INFINITY) return a < b || a != a ? a : b;
    return a + b;
  }

  double finish(double sum) const {
    if (p == 2) return std::sqrt(sum);
    return p == 0 || p == 1 || std::isinf(p) ? sum : std::pow(sum, 1 / p);
  }
};

void check(const GradParams& p, const TensorView* views) {
  for (int64_t i = 0; i < p.count; ++i)
    if (!is_float(views[i].dtype))
      fail(ErrorKind::dtype, kName, ": array ", i, " has dtype ", name_of(views[i].dtype),
           "; expected a floating-point dtype");
  if (p.value != p.value && p.kind != GradKind::scale)
    fail(ErrorKind::value, kName, ": the value must not be NaN");
}

// Calls body(data, n) on the dense chunk itself, or on blocks of a widened copy that are written
// back when `writes`.
template <class T, class F>
void visit(const TensorView& v, int64_t begin, int64_t end, bool native, bool writes, F body) {
  if (native) return body(v.ptr<T>() + begin, end - begin);
  T block[kStridedBlock];
  for (; begin < end; begin += kStridedBlock) {
    const int64_t n = std::min(end - begin, kStridedBlock);
    gather_block(v, begin, n, block);
    body(block, n);
    if (writes) scatter_block(v, begin, n, block);
  }
}

template <class T>
void apply(const GradParams& p, const GradLoops<T>& loops, const TensorView& v, int64_t begin,
           int64_t end, double* part) {
  const bool native = dense(v) && (v.dtype == DType::f32 || v.dtype == DType::f64);
  const Norm norm{p.value};
  visit<T>(v, begin, end, native, p.kind != GradKind::norm, [&](T* x, int64_t n) {
    switch (p.kind) {
      case GradKind::norm:
        *part = norm.join(*part, norm.part(loops, x, n));
        break;
      case GradKind::scale:
        loops.scale(x, p.value, n);
        break;
      case GradKind::clamp:
        loops.clamp(x, p.value, n);
        break;
      case GradKind::zero:
        memset(x, 0, static_cast<size_t>(n) * sizeof(T));
    }
  });
}

size_t workspace(const GradParams& p, const TensorView* views) {
  const int64_t pieces = Chunks::max_pieces(Chunks::padded_total(views, p.count), p.count);
  return Chunks::bytes(p.count) + static_cast<size_t>(pieces) * sizeof(double);
}

void run(const GradParams& p, const TensorView* views, void* memory) {
  const Chunks chunks(views, p.count, memory);
  auto* parts = reinterpret_cast<double*>(static_cast<char*>(memory) + Chunks::bytes(p.count));
  const GradKernels& kernels = active_grad_kernels();
  const Norm norm{p.value};
  const auto piece = [&](int64_t i, int64_t begin, int64_t end, int64_t number) {
    parts[number] = norm.start();
    if (views[i].dtype == DType::f64)
      apply(p, kernels.f64, views[i], begin, end, &parts[number]);
    else
      apply(p, kernels.f32, views[i], begin, end, &parts[number]);
  };
  parallel_for(chunks.count(), [&](int64_t chunk, int) { chunks.visit(chunk, piece); });
  if (p.kind != GradKind::norm) return;
  auto* out = views[p.count].ptr<double>();
  double all = norm.start();
  for (int64_t i = 0; i < p.count; ++i) {
    double sum = norm.start();
    const double* own = parts + chunks.first_piece(i);
    for (int64_t k = 0; k < chunks.pieces(i); ++k) sum = norm.join(sum, own[k]);
    out[i] = norm.finish(sum);
    // The norm of norms is the norm of everything, but for p = 0, where it counts arrays.
    const double one = out[i];
    all = norm.join(all, norm.part(kernels.f64, &one, 1));
  }
  out[p.count] = norm.finish(all);
}

}  // namespace

const Op<GradParams> grads_apply{kName, check, workspace, run};

}  // namespace fastnn
