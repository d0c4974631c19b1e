// Group norm (and instance norm: groups of one channel). Planes: a group of a sample is one run of
// memory. Channels-last: a task takes a sample.
#include "cpu/column_sums.h"

namespace fastnn {

namespace {

constexpr const char* kName = "group_norm";

struct Groups {
  Channels s;
  int64_t groups, in_group;  // channels
  double count;              // elements; 1 for none, so that empty means are 0 and not NaN

  Groups(const TensorView& x, int64_t groups)
      : s(x),
        groups(groups),
        in_group(s.channels / groups),
        count(static_cast<double>(std::max<int64_t>(in_group * s.positions, 1))) {}
};

void check_groups(const GroupNormParams& p, const TensorView& x) {
  if (p.groups <= 0 || x.shape[1] % p.groups)
    fail(ErrorKind::value, kName, ": the number of channels (", x.shape[1],
         ") must be divisible by num_groups, a positive number, got ", p.groups);
}

void check_forward(const GroupNormParams& p, const TensorView* v) {
  check_groups(p, v[0]);
  check_channels(kName, v[0], {&v[3]});
  check_norm_vector(kName, "weight", v[0], v[1], v[0].shape[1]);
  check_norm_vector(kName, "bias", v[0], v[2], v[0].shape[1]);
  check_norm_vector(kName, "mean", v[0], v[4], v[0].shape[0] * p.groups);
  check_norm_vector(kName, "rstd", v[0], v[5], v[0].shape[0] * p.groups);
}

void check_backward(const GroupNormParams& p, const TensorView* v) {
  check_groups(p, v[1]);
  check_channels(kName, v[1], {&v[0], &v[5]});
  check_norm_vector(kName, "weight", v[1], v[2], v[1].shape[1]);
  check_norm_vector(kName, "mean", v[1], v[3], v[1].shape[0] * p.groups);
  check_norm_vector(kName, "rstd", v[1], v[4], v[1].shape[0] * p.groups);
  check_norm_vector(kName, "dweight", v[1], v[6], v[1].shape[1]);
  check_norm_vector(kName, "dbias", v[1], v[7], v[1].shape[1]);
}

template <class T>
class Forward {
 public:
  Forward(const GroupNormParams& p, const TensorView* v)
      : p_(p),
        g_(v[0], p.groups),
        loops_(norm_loops<T>()),
        x_(v[0].ptr<const T>()),
        weight_(v[1].ptr<const T>()),
        bias_(v[2].ptr<const T>()),
        y_(v[3].ptr<T>()),
        mean_(v[4].ptr<T>()),
        rstd_(v[5].ptr<T>()) {}

  // Group `i` of N * groups.
  void planes(int64_t i) const {
    const int64_t length = g_.in_group * g_.s.positions;
    const T* x = x_ + i * length;
    const T high = static_cast<T>(static_cast<double>(loops_.sum(x, length)) / g_.count);
    T first, second;
    loops_.centered_sums(x, length, high, &first, &second);
    const Statistics<T> stats(high, static_cast<double>(first), static_cast<double>(second),
                              g_.count, p_.eps);
    save(i, stats);
    for (int64_t k = 0; k < g_.in_group; ++k) {
      T scale, shift;
      map(i % g_.groups * g_.in_group + k, stats, scale, shift);
      loops_.affine(x + k * g_.s.positions, y_ + i * length + k * g_.s.positions, g_.s.positions,
                    high, scale, shift, {});
    }
  }

  // Sample n; `memory` has room for 3 doubles and 3 T for each channel.
  void columns(int64_t n, double* memory) const {
    const int64_t channels = g_.s.channels;
    double *first = memory, *second = memory + channels, *unused = second + channels;
    T *high = reinterpret_cast<T*>(unused + channels), *scale = high + channels,
      *shift = scale + channels;
    sums(n, nullptr, first, second);
    for (int64_t group = 0; group < g_.groups; ++group) {
      const T mean = static_cast<T>(total(first, group) / g_.count);
      std::fill(high + group * g_.in_group, high + (group + 1) * g_.in_group, mean);
    }
    sums(n, high, first, second);
    for (int64_t group = 0; group < g_.groups; ++group) {
      const int64_t begin = group * g_.in_group;
      const Statistics<T> stats(high[begin], total(first, group), total(second, group), g_.count,
                                p_.eps);
      save(n * g_.groups + group, stats);
      for (int64_t c = begin; c < begin + g_.in_group; ++c) map(c, stats, scale[c], shift[c]);
    }
    const int64_t at = n * channels * g_.s.positions;
    loops_.column_affine(x_ + at, y_ + at, g_.s.positions, channels, channels, high, scale, shift,
                         {});
  }

 private:
  double total(const double* sums, int64_t group) const {
    double sum = 0;
    for (int64_t c = group * g_.in_group; c < (group + 1) * g_.in_group; ++c) sum += sums[c];
    return sum;
  }

  // Sums for each channel: of x, or (high given) of x - high and of its square.
  void sums(int64_t n, const T* high, double* first, double* second) const {
    const int64_t channels = g_.s.channels;
    for (int64_t c = 0; c < channels; c += kColumnTile) {
      const int64_t width = std::min(kColumnTile, channels - c);
      const T* x = x_ + n * channels * g_.s.positions + c;
      double* const out[2] = {first + c, second + c};
      sum_columns<T, 2>(0, g_.s.positions, width, out,
                        [&](int64_t r, int64_t rows, T(&part)[2][kColumnTile]) {
                          if (high)
                            loops_.column_centered_sums(x + r * channels, rows, channels, width,
                                                        high + c, part[0], part[1]);
                          else
                            loops_.column_sums(x + r * channels, rows, channels, width, part[0]);
                        });
    }
  }

  void save(int64_t i, const Statistics<T>& stats) const {
    mean_[i] = stats.mean();
    rstd_[i] = stats.rstd;
  }
  void map(int64_t c, const Statistics<T>& stats, T& scale, T& shift) const {
    scale = weight_ ? stats.rstd * weight_[c] : stats.rstd;
    shift = (bias_ ? bias_[c] : T(0)) - stats.low * scale;
  }

  const GroupNormParams& p_;
  const Groups g_;
  const NormLoops<T>& loops_;
  const T *x_, *weight_, *bias_;
  T *y_, *mean_, *rstd_;
};

// Doubles of workspace: what one worker needs for channels-last samples.
int64_t worker_doubles(const Groups& g) { return 8 * g.s.channels + 16; }

// Groups of a task, for runs in one piece.
int64_t grain(const Groups& g) {
  return std::max<int64_t>(1, 16384 / std::max<int64_t>(g.in_group * g.s.positions, 1));
}

template <class T>
void forward(const GroupNormParams& p, const TensorView* v, double* memory) {
  const Groups g(v[0], p.groups);
  const Forward<T> op(p, v);
  if (g.s.columns)
    parallel_for(
        g.s.n, [&](int64_t n, int worker) { op.columns(n, memory + worker * worker_doubles(g)); });
  else
    parallel_blocks(g.s.n * g.groups, grain(g), [&](int64_t begin, int64_t end, int) {
      for (int64_t i = begin; i < end; ++i) op.planes(i);
    });
}

size_t forward_workspace(const GroupNormParams& p, const TensorView* v) {
  const Groups g(v[0], p.groups);
  return g.s.columns ? static_cast<size_t>(worker_doubles(g) * max_workers()) * sizeof(double) : 0;
}

void run_forward(const GroupNormParams& p, const TensorView* v, void* memory) {
  auto* doubles = static_cast<double*>(memory);
  v[0].dtype == DType::f64 ? forward<double>(p, v, doubles) : forward<float>(p, v, doubles);
}

// ---- Backward
// ---------------------------------------------------------------------------------------------------------

template <class T>
class Backward {
 public:
  // `sums` has 2 doubles for each sample and channel: of dy, and of dy (x - mean).
  Backward(const GroupNormParams& p, const TensorView* v, double* sums)
      : g_(v[1], p.groups),
        loops_(norm_loops<T>()),
        dy_(v[0].ptr<const T>()),
        x_(v[1].ptr<const T>()),
        weight_(v[2].ptr<const T>()),
        mean_(v[3].ptr<const T>()),
        rstd_(v[4].ptr<const T>()),
        dx_(v[5].ptr<T>()),
        dweight_(v[6].ptr<T>()),
        dbias_(v[7].ptr<T>()),
        sums_(sums) {}

  void planes(int64_t i) const {
    const int64_t s = g_.s.positions, first_channel = i * g_.in_group;
    for (int64_t k = 0; k < g_.in_group; ++k) {
      const int64_t at = (first_channel + k) * s;
      T a, b;
      loops_.product_sums(dy_ + at, x_ + at, nullptr, s, mean_[i], &a, &b, {});
      sums_[2 * (first_channel + k)] = static_cast<double>(a);
      sums_[2 * (first_channel + k) + 1] = static_cast<double>(b);
    }
    if (!dx_) return;
    T b, c;
    slope(i, b, c);
    for (int64_t k = 0; k < g_.in_group; ++k) {
      const int64_t at = (first_channel + k) * s;
      loops_.grad(dy_ + at, x_ + at, nullptr, dx_ + at, s, mean_[i], weight(first_channel + k),
                  rstd_[i], b, c, {});
    }
  }

  void columns(int64_t n, double* memory) const {
    const int64_t channels = g_.s.channels, base = n * channels * g_.s.positions;
    double *first = memory, *second = memory + channels;
    T *mean = reinterpret_cast<T*>(second + channels), *w = mean + channels, *a = w + channels,
      *b = a + channels, *c = b + channels;
    for (int64_t k = 0; k < channels; ++k) mean[k] = mean_[n * g_.groups + k / g_.in_group];
    for (int64_t k = 0; k < channels; k += kColumnTile) {
      const int64_t width = std::min(kColumnTile, channels - k);
      double* const out[2] = {first + k, second + k};
      sum_columns<T, 2>(0, g_.s.positions, width, out,
                        [&](int64_t r, int64_t rows, T(&part)[2][kColumnTile]) {
                          const int64_t at = base + r * channels + k;
                          loops_.column_product_sums(dy_ + at, x_ + at, rows, channels, width,
                                                     mean + k, part[0], part[1], {});
                        });
    }
    for (int64_t k = 0; k < channels; ++k) {
      sums_[2 * (n * channels + k)] = first[k];
      sums_[2 * (n * channels + k) + 1] = second[k];
    }
    if (!dx_) return;
    for (int64_t k = 0; k < channels; ++k) {
      const int64_t i = n * g_.groups + k / g_.in_group;
      if (k % g_.in_group == 0) {
        slope(i, b[k], c[k]);
      } else {
        b[k] = b[k - 1];
        c[k] = c[k - 1];
      }
      w[k] = weight(k);
      a[k] = rstd_[i];
    }
    loops_.column_grad(dy_ + base, x_ + base, dx_ + base, g_.s.positions, channels, channels, mean,
                       w, a, b, c, {});
  }

  void weight_grads() const {
    for (int64_t c = 0; c < g_.s.channels; ++c) {
      double dw = 0, db = 0;
      for (int64_t n = 0; n < g_.s.n; ++n) {
        const double* sums = sums_ + 2 * (n * g_.s.channels + c);
        dw += sums[1] * static_cast<double>(rstd_[n * g_.groups + c / g_.in_group]);
        db += sums[0];
      }
      if (dweight_) dweight_[c] = static_cast<T>(dw);
      if (dbias_) dbias_[c] = static_cast<T>(db);
    }
  }

 private:
  T weight(int64_t c) const { return weight_ ? weight_[c % g_.s.channels] : T(1); }

  // dx = rstd (weight dy - c) + b (x - mean)
  void slope(int64_t i, T& b, T& c) const {
    double first = 0, second = 0;
    for (int64_t k = 0; k < g_.in_group; ++k) {
      const auto w = static_cast<double>(weight(i * g_.in_group + k));
      first += w * sums_[2 * (i * g_.in_group + k)];
      second += w * sums_[2 * (i * g_.in_group + k) + 1];
    }
    const auto rstd = static_cast<double>(rstd_[i]);
    b = static_cast<T>(-rstd * rstd * rstd * second / g_.count);
    c = static_cast<T>(first / g_.count);
  }

  const Groups g_;
  const NormLoops<T>& loops_;
  const T *dy_, *x_, *weight_, *mean_, *rstd_;
  T *dx_, *dweight_, *dbias_;
  double* sums_;
};

template <class T>
void backward(const GroupNormParams& p, const TensorView* v, double* memory) {
  const Groups g(v[1], p.groups);
  const Backward<T> op(p, v, memory);
  double* rest = memory + 2 * g.s.n * g.s.channels;
  if (g.s.columns)
    parallel_for(g.s.n,
                 [&](int64_t n, int worker) { op.columns(n, rest + worker * worker_doubles(g)); });
  else
    parallel_blocks(g.s.n * g.groups, grain(g), [&](int64_t begin, int64_t end, int) {
      for (int64_t i = begin; i < end; ++i) op.planes(i);
    });
  if (v[6] || v[7]) op.weight_grads();
}

size_t backward_workspace(const GroupNormParams& p, const TensorView* v) {
  const Groups g(v[1], p.groups);
  const int64_t workers = g.s.columns ? worker_doubles(g) * max_workers() : 0;
  return static_cast<size_t>(2 * g.s.n * g.s.channels + workers) * sizeof(double);
}

void run_backward(const GroupNormParams& p, const TensorView* v, void* memory) {
  auto* doubles = static_cast<double*>(memory);
  v[1].dtype == DType::f64 ? backward<double>(p, v, doubles) : backward<float>(p, v, doubles);
}

}  // namespace

const Op<GroupNormParams> group_norm_forward{"group_norm", check_forward, forward_workspace,
                                             run_forward};
const Op<GroupNormParams> group_norm_backward{"group_norm_backward", check_backward,
                                              backward_workspace, run_backward};

}  // namespace fastnn
