// Batch norm. Planes: a task takes a channel, whose planes stay in cache from pass to pass.
// Channels-last: tasks of rows and channels make sums; those are joined in double, in a fixed
// order.
#include <limits>

#include "cpu/column_sums.h"

namespace fastnn {

namespace {

constexpr const char* kName = "batch_norm";

// y = (x - mean) scale + shift
template <class T>
struct Affine {
  T mean, scale, shift;
};

void check_vectors(const TensorView& x, std::initializer_list<const TensorView*> vectors) {
  for (const TensorView* v : vectors)
    check_norm_vector(kName, "a vector of channels", x, *v, x.shape[1]);
}

void check_activation(const BatchNormParams& p) {
  if (p.activation != Activation::none && !rectifies(p.activation))
    fail(ErrorKind::value, kName, ": activation must be none, relu or relu6");
}

void check_forward(const BatchNormParams& p, const TensorView* v) {
  check_activation(p);
  check_channels(kName, v[0], {&v[5]});
  check_vectors(v[0], {&v[1], &v[2], &v[3], &v[4], &v[6], &v[7]});
  if (!p.training && (!v[3] || !v[4]))
    fail(ErrorKind::value, kName, ": running_mean and running_var are needed when not training");
  const Channels s(v[0]);
  if (p.training && s.count() == 1)
    fail(ErrorKind::value, kName,
         ": Expected more than 1 value per channel when training, got input size ",
         v[0].shape_text());
}

// The channel's part of everything that is saved, updated or passed on.
template <class T>
class Finish {
 public:
  Finish(const BatchNormParams& p, const TensorView* v)
      : p_(p),
        weight_(v[1].ptr<const T>()),
        bias_(v[2].ptr<const T>()),
        running_mean_(v[3].ptr<T>()),
        running_var_(v[4].ptr<T>()),
        mean_(v[6].ptr<T>()),
        rstd_(v[7].ptr<T>()) {}

  // From the sums of x - high and of its square over n elements.
  Affine<T> batch(int64_t c, T high, double first, double second, double n) const {
    const Statistics<T> stats(high, first, second, n, p_.eps);
    if (running_mean_)
      running_mean_[c] = static_cast<T>((1 - p_.momentum) * static_cast<double>(running_mean_[c]) +
                                        p_.momentum * (static_cast<double>(high) + first / n));
    if (running_var_)
      running_var_[c] = static_cast<T>((1 - p_.momentum) * static_cast<double>(running_var_[c]) +
                                       p_.momentum * (second - first / n * first) / (n - 1));
    return save(c, high, stats.mean(), stats.low, stats.rstd);
  }

  Affine<T> running(int64_t c) const {
    const T rstd = static_cast<T>(1 / std::sqrt(static_cast<double>(running_var_[c]) + p_.eps));
    return save(c, running_mean_[c], running_mean_[c], T(0), rstd);
  }

 private:
  Affine<T> save(int64_t c, T high, T mean, T low, T rstd) const {
    mean_[c] = mean;
    rstd_[c] = rstd;
    const T scale = weight_ ? rstd * weight_[c] : rstd;
    return {high, scale, (bias_ ? bias_[c] : T(0)) - low * scale};
  }

  const BatchNormParams& p_;
  const T *weight_, *bias_;
  T *running_mean_, *running_var_, *mean_, *rstd_;
};

template <class T>
void forward_planes(const BatchNormParams& p, const TensorView* v) {
  const Channels s(v[0]);
  const NormLoops<T>& loops = norm_loops<T>();
  const Finish<T> finish(p, v);
  const T* x = v[0].ptr<const T>();
  T* y = v[5].ptr<T>();
  const auto n = static_cast<double>(s.count());
  parallel_for(s.channels, [&](int64_t c, int) {
    const auto plane = [&](int64_t i) { return (i * s.channels + c) * s.positions; };
    Affine<T> map;
    if (p.training) {
      double sum = 0, first = 0, second = 0;
      for (int64_t i = 0; i < s.n; ++i)
        sum += static_cast<double>(loops.sum(x + plane(i), s.positions));
      const T high = static_cast<T>(sum / n);
      for (int64_t i = 0; i < s.n; ++i) {
        T a, b;
        loops.centered_sums(x + plane(i), s.positions, high, &a, &b);
        first += static_cast<double>(a);
        second += static_cast<double>(b);
      }
      map = finish.batch(c, high, first, second, n);
    } else {
      map = finish.running(c);
    }
    for (int64_t i = 0; i < s.n; ++i)
      loops.affine(x + plane(i), y + plane(i), s.positions, map.mean, map.scale, map.shift,
                   rectifier_of(p.activation));
  });
}

// Workspace of the channels-last passes: two double sums for each block of rows and channel, four T
// for each channel.
size_t column_bytes(const Channels& s) {
  const ColumnTasks tasks(s.count(), s.channels);
  return static_cast<size_t>((tasks.blocks + 1) * 2 * s.channels) * sizeof(double) +
         static_cast<size_t>(4 * s.channels) * sizeof(double);
}

// The mean of a block, to far more digits than T has, and the sum of squares around it.
template <class T>
void block_statistics(const NormLoops<T>& loops, const T* x, const ColumnTasks::Task& t,
                      int64_t stride, double* mean, double* squares) {
  double* const sums[1] = {mean};
  sum_columns<T, 1>(0, t.rows, t.channels, sums,
                    [&](int64_t r, int64_t rows, T(&part)[1][kColumnTile]) {
                      loops.column_sums(x + r * stride, rows, stride, t.channels, part[0]);
                    });
  alignas(kAlignment) T high[kColumnTile];
  double first[kColumnTile];
  const auto n = static_cast<double>(t.rows);
  for (int64_t c = 0; c < t.channels; ++c) high[c] = static_cast<T>(mean[c] / n);
  double* const centered[2] = {first, squares};
  sum_columns<T, 2>(0, t.rows, t.channels, centered,
                    [&](int64_t r, int64_t rows, T(&part)[2][kColumnTile]) {
                      loops.column_centered_sums(x + r * stride, rows, stride, t.channels, high,
                                                 part[0], part[1]);
                    });
  for (int64_t c = 0; c < t.channels; ++c) {
    mean[c] = static_cast<double>(high[c]) + first[c] / n;
    squares[c] -= first[c] / n * first[c];
  }
}

template <class T>
void forward_columns(const BatchNormParams& p, const TensorView* v, void* memory) {
  const Channels s(v[0]);
  const NormLoops<T>& loops = norm_loops<T>();
  const Finish<T> finish(p, v);
  const T* x = v[0].ptr<const T>();
  T* y = v[5].ptr<T>();
  const ColumnTasks tasks(s.count(), s.channels);
  auto* means = static_cast<double*>(memory);
  double* squares = means + tasks.blocks * s.channels;
  T* maps = reinterpret_cast<T*>(squares + (tasks.blocks + 2) * s.channels);
  if (p.training)
    parallel_for(tasks.count(), [&](int64_t i, int) {
      const auto t = tasks.task(i);
      const int64_t at = t.block * s.channels + t.first_channel;
      block_statistics(loops, x + t.first_row * s.channels + t.first_channel, t, s.channels,
                       means + at, squares + at);
    });
  const auto n = static_cast<double>(s.count());
  for (int64_t c = 0; c < s.channels; ++c) {
    Affine<T> map;
    if (p.training) {
      double mean = 0, first = 0, second = 0;
      for (int64_t b = 0; b < tasks.blocks; ++b)
        mean += means[b * s.channels + c] * static_cast<double>(tasks.task(b * tasks.tiles).rows);
      const T high = static_cast<T>(mean / n);
      for (int64_t b = 0; b < tasks.blocks; ++b) {
        const auto rows = static_cast<double>(tasks.task(b * tasks.tiles).rows);
        const double away = means[b * s.channels + c] - static_cast<double>(high);
        first += away * rows;
        second += squares[b * s.channels + c] + away * away * rows;
      }
      map = finish.batch(c, high, first, second, n);
    } else {
      map = finish.running(c);
    }
    maps[c] = map.mean;
    maps[s.channels + c] = map.scale;
    maps[2 * s.channels + c] = map.shift;
  }
  parallel_for(tasks.count(), [&](int64_t i, int) {
    const auto t = tasks.task(i);
    const int64_t at = t.first_row * s.channels + t.first_channel;
    const T* map = maps + t.first_channel;
    loops.column_affine(x + at, y + at, t.rows, s.channels, t.channels, map, map + s.channels,
                        map + 2 * s.channels, rectifier_of(p.activation));
  });
}

size_t forward_workspace(const BatchNormParams&, const TensorView* v) {
  const Channels s(v[0]);
  return s.columns ? column_bytes(s) : 0;
}

template <class T>
void forward(const BatchNormParams& p, const TensorView* v, void* memory) {
  const Channels s(v[0]);
  if (s.count() == 0) {  // nothing to normalise: statistics of nothing stay what they are
    for (int64_t c = 0; c < s.channels; ++c) v[6].ptr<T>()[c] = v[7].ptr<T>()[c] = T(0);
    return;
  }
  s.columns ? forward_columns<T>(p, v, memory) : forward_planes<T>(p, v);
}

void run_forward(const BatchNormParams& p, const TensorView* v, void* memory) {
  v[0].dtype == DType::f64 ? forward<double>(p, v, memory) : forward<float>(p, v, memory);
}

// ---- Backward
// ---------------------------------------------------------------------------------------------------------

void check_backward(const BatchNormParams& p, const TensorView* v) {
  check_activation(p);
  check_channels(kName, v[1], {&v[0], &v[5]});
  if (p.activation == Activation::none)
    return check_vectors(v[1], {&v[2], &v[3], &v[4], &v[6], &v[7]});
  if (!p.training || !v[8])
    fail(ErrorKind::value, kName, ": the gradient through an activation needs training, and y");
  check_channels(kName, v[1], {&v[8]});
  check_vectors(v[1], {&v[2], &v[3], &v[4], &v[6], &v[7]});
}

template <class T>
Gate<T> gate_of(const BatchNormParams& p, const TensorView* v) {
  if (p.activation == Activation::none) return {};
  const T none = std::numeric_limits<T>::quiet_NaN();
  return {v[8].ptr<const T>(), p.activation == Activation::relu6 ? T(6) : none};
}

// dx = a (dy - c) + b (x - mean)
template <class T>
struct Slope {
  T a, b, c;
};

template <class T>
Slope<T> finish_backward(const BatchNormParams& p, const TensorView* v, int64_t c, double first,
                         double second) {
  const auto rstd = static_cast<double>(v[4].ptr<const T>()[c]);
  if (v[6]) v[6].ptr<T>()[c] = static_cast<T>(second * rstd);
  if (v[7]) v[7].ptr<T>()[c] = static_cast<T>(first);
  const double a = v[2] ? static_cast<double>(v[2].ptr<const T>()[c]) * rstd : rstd;
  if (!p.training) return {static_cast<T>(a), T(0), T(0)};
  const auto n = static_cast<double>(Channels(v[1]).count());
  return {static_cast<T>(a), static_cast<T>(-a * rstd * rstd * second / n),
          static_cast<T>(first / n)};
}

template <class T>
void backward_planes(const BatchNormParams& p, const TensorView* v) {
  const Channels s(v[1]);
  const NormLoops<T>& loops = norm_loops<T>();
  const T *dy = v[0].ptr<const T>(), *x = v[1].ptr<const T>();
  T* dx = v[5].ptr<T>();
  const Gate<T> gate = gate_of<T>(p, v);
  parallel_for(s.channels, [&](int64_t c, int) {
    const T mean = v[3].ptr<const T>()[c];
    const auto plane = [&](int64_t i) { return (i * s.channels + c) * s.positions; };
    double first = 0, second = 0;
    for (int64_t i = 0; i < s.n; ++i) {
      T a, b;
      loops.product_sums(dy + plane(i), x + plane(i), nullptr, s.positions, mean, &a, &b,
                         gate.from(plane(i)));
      first += static_cast<double>(a);
      second += static_cast<double>(b);
    }
    const Slope<T> slope = finish_backward<T>(p, v, c, first, second);
    if (!dx) return;
    for (int64_t i = 0; i < s.n; ++i) {
      if (p.training)
        loops.grad(dy + plane(i), x + plane(i), nullptr, dx + plane(i), s.positions, mean, T(1),
                   slope.a, slope.b, slope.c, gate.from(plane(i)));
      else
        loops.affine(dy + plane(i), dx + plane(i), s.positions, T(0), slope.a, T(0), {});
    }
  });
}

template <class T>
void backward_columns(const BatchNormParams& p, const TensorView* v, void* memory) {
  const Channels s(v[1]);
  const NormLoops<T>& loops = norm_loops<T>();
  const T *dy = v[0].ptr<const T>(), *x = v[1].ptr<const T>(), *mean = v[3].ptr<const T>();
  T* dx = v[5].ptr<T>();
  const Gate<T> gate = gate_of<T>(p, v);
  const ColumnTasks tasks(s.count(), s.channels);
  auto* firsts = static_cast<double*>(memory);
  double* seconds = firsts + tasks.blocks * s.channels;
  T* slopes = reinterpret_cast<T*>(seconds + (tasks.blocks + 2) * s.channels);
  parallel_for(tasks.count(), [&](int64_t i, int) {
    const auto t = tasks.task(i);
    const int64_t from = t.first_row * s.channels + t.first_channel,
                  to = t.block * s.channels + t.first_channel;
    double* const sums[2] = {firsts + to, seconds + to};
    sum_columns<T, 2>(
        0, t.rows, t.channels, sums, [&](int64_t r, int64_t rows, T(&part)[2][kColumnTile]) {
          const int64_t at = from + r * s.channels;
          loops.column_product_sums(dy + at, x + at, rows, s.channels, t.channels,
                                    mean + t.first_channel, part[0], part[1], gate.from(at));
        });
  });
  for (int64_t c = 0; c < s.channels; ++c) {
    double first = 0, second = 0;
    for (int64_t b = 0; b < tasks.blocks; ++b) {
      first += firsts[b * s.channels + c];
      second += seconds[b * s.channels + c];
    }
    const Slope<T> slope = finish_backward<T>(p, v, c, first, second);
    slopes[c] = slope.a;
    slopes[s.channels + c] = p.training ? slope.b : T(0);
    slopes[2 * s.channels + c] = p.training ? slope.c : T(0);
    slopes[3 * s.channels + c] = T(1);
  }
  if (!dx) return;
  const T* zeros =
      slopes + s.channels;  // in eval mode: a mean of 0 for column_affine, and its shift
  parallel_for(tasks.count(), [&](int64_t i, int) {
    const auto t = tasks.task(i);
    const int64_t at = t.first_row * s.channels + t.first_channel, c = t.first_channel;
    if (p.training)
      loops.column_grad(dy + at, x + at, dx + at, t.rows, s.channels, t.channels, mean + c,
                        slopes + 3 * s.channels + c, slopes + c, slopes + s.channels + c,
                        slopes + 2 * s.channels + c, gate.from(at));
    else
      loops.column_affine(dy + at, dx + at, t.rows, s.channels, t.channels, zeros + c, slopes + c,
                          zeros + c, {});
  });
}

size_t backward_workspace(const BatchNormParams&, const TensorView* v) {
  const Channels s(v[1]);
  return s.columns ? column_bytes(s) : 0;
}

template <class T>
void backward(const BatchNormParams& p, const TensorView* v, void* memory) {
  const Channels s(v[1]);
  if (s.count() == 0) {
    for (int64_t c = 0; c < s.channels; ++c) finish_backward<T>(p, v, c, 0, 0);
    return;
  }
  s.columns ? backward_columns<T>(p, v, memory) : backward_planes<T>(p, v);
}

void run_backward(const BatchNormParams& p, const TensorView* v, void* memory) {
  v[1].dtype == DType::f64 ? backward<double>(p, v, memory) : backward<float>(p, v, memory);
}

}  // namespace

const Op<BatchNormParams> batch_norm_forward{"batch_norm", check_forward, forward_workspace,
                                             run_forward};
const Op<BatchNormParams> batch_norm_backward{"batch_norm_backward", check_backward,
                                              backward_workspace, run_backward};

}  // namespace fastnn
