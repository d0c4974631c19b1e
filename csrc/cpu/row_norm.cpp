// Layer norm and RMS norm. A task takes rows; each row is read three times, from cache.
#include "cpu/norm_common.h"

namespace fastnn {

namespace {

constexpr const char* kName = "layer_norm";
constexpr int64_t kMaxBlocks = 32;  // partial sums of dweight and dbias

struct Rows {
  int64_t rows, length, grain;

  explicit Rows(const TensorView& x) : rows(x.shape[0]), length(x.shape[1]) {
    grain = std::max<int64_t>(1, 16384 / std::max<int64_t>(length, 1));
  }
  // Backward sums into one partial for each block of rows.
  int64_t block() const { return std::max(grain, (rows + kMaxBlocks - 1) / kMaxBlocks); }
  int64_t blocks() const { return rows ? (rows + block() - 1) / block() : 0; }
};

void check_forward(const RowNormParams&, const TensorView* v) {
  const Rows s(v[0]);
  check_norm_arrays(kName, v[0], {&v[3]});
  check_norm_vector(kName, "weight", v[0], v[1], s.length);
  check_norm_vector(kName, "bias", v[0], v[2], s.length);
  check_norm_vector(kName, "mean", v[0], v[4], s.rows);
  check_norm_vector(kName, "rstd", v[0], v[5], s.rows);
}

template <class T>
void forward(const RowNormParams& p, const TensorView* v) {
  const Rows s(v[0]);
  const NormLoops<T>& loops = norm_loops<T>();
  const T *x = v[0].ptr<const T>(), *weight = v[1].ptr<const T>(), *bias = v[2].ptr<const T>();
  T *y = v[3].ptr<T>(), *means = v[4].ptr<T>(), *rstds = v[5].ptr<T>();
  const auto length = static_cast<double>(s.length);
  parallel_blocks(s.rows, s.grain, [&](int64_t begin, int64_t end, int) {
    for (int64_t r = begin; r < end; ++r) {
      const T* row = x + r * s.length;
      const T high = p.centered
                         ? static_cast<T>(static_cast<double>(loops.sum(row, s.length)) / length)
                         : T(0);
      T first, second;
      loops.centered_sums(row, s.length, high, &first, &second);
      const Statistics<T> stats(high, p.centered ? static_cast<double>(first) : 0.0,
                                static_cast<double>(second), length, p.eps);
      loops.weighted_affine(row, y + r * s.length, s.length, high, stats.rstd,
                            -stats.low * stats.rstd, weight, bias);
      if (means) means[r] = stats.mean();
      rstds[r] = stats.rstd;
    }
  });
}

void run_forward(const RowNormParams& p, const TensorView* v, void*) {
  v[0].dtype == DType::f64 ? forward<double>(p, v) : forward<float>(p, v);
}

void check_backward(const RowNormParams&, const TensorView* v) {
  const Rows s(v[1]);
  check_norm_arrays(kName, v[1], {&v[0], &v[5]});
  check_norm_vector(kName, "weight", v[1], v[2], s.length);
  check_norm_vector(kName, "mean", v[1], v[3], s.rows);
  check_norm_vector(kName, "rstd", v[1], v[4], s.rows);
  check_norm_vector(kName, "dweight", v[1], v[6], s.length);
  check_norm_vector(kName, "dbias", v[1], v[7], s.length);
}

size_t workspace(const RowNormParams&, const TensorView* v) {
  const Rows s(v[1]);
  return static_cast<size_t>(2 * s.blocks() * s.length) * size_of(v[1].dtype);
}

template <class T>
void add_up(const Rows& s, const T* parts, T* out) {
  parallel_blocks(s.length, 4096, [&](int64_t begin, int64_t end, int) {
    for (int64_t c = begin; c < end; ++c) {
      double sum = 0;
      for (int64_t b = 0; b < s.blocks(); ++b)
        sum += static_cast<double>(parts[b * 2 * s.length + c]);
      out[c] = static_cast<T>(sum);
    }
  });
}

template <class T>
void backward(const RowNormParams& p, const TensorView* v, T* parts) {
  const Rows s(v[1]);
  const NormLoops<T>& loops = norm_loops<T>();
  const T *dy = v[0].ptr<const T>(), *x = v[1].ptr<const T>(), *weight = v[2].ptr<const T>();
  const T *means = v[3].ptr<const T>(), *rstds = v[4].ptr<const T>();
  T *dx = v[5].ptr<T>(), *dweight = v[6].ptr<T>(), *dbias = v[7].ptr<T>();
  parallel_blocks(s.rows, s.block(), [&](int64_t begin, int64_t end, int) {
    T* part = parts + begin / s.block() * 2 * s.length;
    if (dweight || dbias) std::fill(part, part + 2 * s.length, T(0));
    for (int64_t r = begin; r < end; ++r) {
      const int64_t at = r * s.length;
      const T mean = means ? means[r] : T(0), rstd = rstds[r];
      if (dx) {
        T first, second;
        loops.product_sums(dy + at, x + at, weight, s.length, mean, &first, &second, {});
        const T n = static_cast<T>(s.length), b = -(rstd * rstd) * (rstd * second) / n;
        loops.grad(dy + at, x + at, weight, dx + at, s.length, mean, T(1), rstd, b,
                   p.centered ? first / n : T(0), {});
      }
      if (dweight || dbias)
        loops.weight_grad(dy + at, x + at, s.length, mean, rstd, dweight ? part : nullptr,
                          dbias ? part + s.length : nullptr);
    }
  });
  if (dweight) add_up(s, parts, dweight);
  if (dbias) add_up(s, parts + s.length, dbias);
}

void run_backward(const RowNormParams& p, const TensorView* v, void* memory) {
  v[1].dtype == DType::f64 ? backward(p, v, static_cast<double*>(memory))
                           : backward(p, v, static_cast<float*>(memory));
}

}  // namespace

const Op<RowNormParams> row_norm_forward{"row_norm", check_forward, nullptr, run_forward};
const Op<RowNormParams> row_norm_backward{"row_norm_backward", check_backward, workspace,
                                          run_backward};

}  // namespace fastnn
