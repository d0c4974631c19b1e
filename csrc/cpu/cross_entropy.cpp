// Cross-entropy: tasks of neighbouring positions. A position's row of classes is read where it lies
// when it can be, in tiles when the positions are the contiguous axis, and through a widened copy
// otherwise.
#include "fastnn/ops/cross_entropy.h"

#include <algorithm>

#include "cpu/classes.h"
#include "cpu/kernels/cross_entropy.h"

namespace fastnn {

namespace {

constexpr const char* kName = "cross_entropy";

struct Shape {
  int64_t n, classes, inner, positions, per_task, tasks;

  explicit Shape(const TensorView& x)
      : n(x.shape[0]), classes(x.shape[1]), inner(x.shape[2]), positions(n * inner) {
    // Whole tiles, about 16k logits each.
    per_task = std::max<int64_t>(1, 16384 / std::max<int64_t>(classes, 1));
    if (inner > 1)
      per_task = (per_task + kCrossEntropyTile - 1) / kCrossEntropyTile * kCrossEntropyTile;
    tasks = (positions + per_task - 1) / per_task;
  }
};

void check(const CrossEntropyParams& p, const TensorView* v) {
  const TensorView &x = v[0], &target = v[1], &weight = v[2];
  if (!is_float(x.dtype))
    fail(ErrorKind::dtype, kName, ": input must be floating-point, got ", name_of(x.dtype));
  if (!(p.smoothing >= 0 && p.smoothing <= 1))
    fail(ErrorKind::value, kName, ": label_smoothing must be between 0 and 1, got ", p.smoothing);
  check_class_weight(kName, x, weight);
  if (!p.probabilities) return check_class_target(kName, x, target);
  if (!same_shape(x, target) || target.dtype != x.dtype)
    fail(ErrorKind::shape, kName, ": class probabilities must have the input's dtype and shape, ",
         name_of(x.dtype), " ", x.shape_text(), ", got ", name_of(target.dtype), " ",
         target.shape_text());
}

void check_values(const CrossEntropyParams& p, const TensorView* v) {
  if (!p.probabilities) check_class_indices(kName, v[0], v[1], p.ignore_index);
}

template <class T>
constexpr DType kType = sizeof(T) == 8 ? DType::f64 : DType::f32;

// The widened copies that a worker may need: a row of logits, a row of targets, and a tile's five
// vectors.
template <class T>
size_t scratch(const TensorView& x) {
  return (static_cast<size_t>(2 * x.shape[1]) + 5 * kCrossEntropyTile + 16) / 16 * 16 * sizeof(T);
}

template <class T>
class CrossEntropy {
 public:
  CrossEntropy(const CrossEntropyLoops<T>& loops, const CrossEntropyParams& p, const TensorView* v,
               T* saved, void* memory)
      : loops_(loops), p_(p), v_(v), x_(v[0]), s_(x_), memory_(static_cast<T*>(memory)) {
    weight_ = v[2].ptr<const T>();
    maximum_ = saved;
    log_sum_ = saved + s_.positions;
    divisor_ = saved + 2 * s_.positions;
    smooth_ = static_cast<T>(p.smoothing);
    smooth_share_ =
        static_cast<T>(p.smoothing / static_cast<double>(std::max<int64_t>(s_.classes, 1)));
    weight_sum_ = weight_ ? loops.row_sum(weight_, s_.classes) : static_cast<T>(s_.classes);
    tiled_ = !p.probabilities && s_.inner > 1 && x_.stride[2] == 1 && x_.dtype == kType<T>;
  }

  void forward() {
    const TensorView& loss = v_[3];
    T* each = p_.reduction == Reduction::none ? loss.ptr<T>() : nullptr;
    double* sums = reinterpret_cast<double*>(memory_);
    T* rest = reinterpret_cast<T*>(sums + 2 * s_.tasks);
    parallel_for(s_.tasks, [&](int64_t task, int worker) {
      T* own = rest + static_cast<size_t>(worker) * scratch<T>(x_) / sizeof(T);
      double sum = 0, divisor = 0;
      visit(task, [&](int64_t begin, int64_t count) {
        T* losses = own + 2 * s_.classes;
        if (tiled_)
          tile_loss(begin, count, losses, losses + kCrossEntropyTile);
        else
          row_losses(begin, count, losses, own);
        for (int64_t i = 0; i < count; ++i) {
          if (each) each[begin + i] = losses[i];
          sum += static_cast<double>(losses[i]);
          divisor += static_cast<double>(share(begin + i));
        }
      });
      sums[2 * task] = sum;
      sums[2 * task + 1] = divisor;
    });
    double sum = 0, divisor = 0;
    for (int64_t t = 0; t < s_.tasks; ++t) {
      sum += sums[2 * t];
      divisor += sums[2 * t + 1];
    }
    *divisor_ = static_cast<T>(divisor);
    if (!each)
      *loss.ptr<T>() = static_cast<T>(p_.reduction == Reduction::mean ? sum / divisor : sum);
  }

  void backward() {
    const bool single = p_.reduction != Reduction::none;
    const T* dy = v_[4].ptr<const T>();
    const T common = !single ? T(0) : p_.reduction == Reduction::mean ? *dy / *divisor_ : *dy;
    const TensorView& dx = v_[5];
    const bool tiled = tiled_ && dx.stride[2] == 1;
    parallel_for(s_.tasks, [&](int64_t task, int worker) {
      T* own = memory_ + static_cast<size_t>(worker) * scratch<T>(x_) / sizeof(T);
      visit(task, [&](int64_t begin, int64_t count) {
        T* scales = own + 2 * s_.classes;
        for (int64_t i = 0; i < count; ++i) scales[i] = single ? common : dy[begin + i];
        if (tiled)
          tile_grad(begin, count, scales, scales + kCrossEntropyTile);
        else
          for (int64_t i = 0; i < count; ++i) row_grad(begin + i, scales[i], own);
      });
    });
  }

 private:
  // body(first position, how many) for tiles that stay within one n.
  template <class F>
  void visit(int64_t task, F body) {
    const int64_t end = std::min(s_.positions, (task + 1) * s_.per_task);
    for (int64_t at = task * s_.per_task; at < end;) {
      const int64_t in_row = s_.inner - at % s_.inner;
      const int64_t limit = s_.inner > 1 ? std::min(in_row, kCrossEntropyTile) : kCrossEntropyTile;
      const int64_t count = std::min(end - at, limit);
      body(at, count);
      at += count;
    }
  }

  int64_t label(int64_t i) const { return v_[1].ptr<const int64_t>()[i]; }
  bool ignored(int64_t i) const { return !p_.probabilities && label(i) == p_.ignore_index; }
  T weight_of(int64_t c) const { return weight_ ? weight_[c] : T(1); }
  // What a position adds to the divisor of the mean.
  T share(int64_t i) const {
    return p_.probabilities ? T(1) : ignored(i) ? T(0) : weight_of(label(i));
  }
  // sum a, for class indices.
  T mass(int64_t y) const { return (1 - smooth_) * weight_of(y) + smooth_share_ * weight_sum_; }

  int64_t offset(const TensorView& v, int64_t i) const {
    if (s_.inner == 1) return i * v.stride[0];
    return i / s_.inner * v.stride[0] + i % s_.inner * v.stride[2];
  }

  // Whether the classes of a position lie side by side, as T.
  bool direct(const TensorView& v) const {
    return v.dtype == kType<T> && (v.stride[1] == 1 || s_.classes == 1);
  }

  // The classes of position i as T, side by side.
  const T* row(const TensorView& v, int64_t i, T* buffer) const {
    if (direct(v)) return v.ptr<const T>() + offset(v, i);
    TensorView classes;
    classes.data =
        static_cast<char*>(v.data) + offset(v, i) * static_cast<int64_t>(size_of(v.dtype));
    classes.dtype = v.dtype;
    classes.ndim = 1;
    classes.shape[0] = s_.classes;
    classes.stride[0] = v.stride[1];
    gather_block(classes, 0, s_.classes, buffer);
    return buffer;
  }

  // The distribution a of position i, for probabilities.
  const T* distribution(int64_t i, T* buffer) const {
    const T* target = row(v_[1], i, buffer);
    if (!weight_ && smooth_ == 0) return target;
    for (int64_t c = 0; c < s_.classes; ++c)
      buffer[c] = weight_of(c) * ((1 - smooth_) * target[c] + smooth_share_);
    return buffer;
  }

  // The losses of `count` positions, read row by row; `own` has room for two rows.
  void row_losses(int64_t begin, int64_t count, T* losses, T* own) {
    const bool at_once = direct(x_) && s_.inner == 1;
    if (at_once)
      loops_.row_stats(x_.ptr<const T>() + offset(x_, begin), x_.stride[0], count, s_.classes,
                       maximum_ + begin, log_sum_ + begin);
    for (int64_t i = begin; i < begin + count; ++i) {
      const T* x = row(x_, i, own);
      if (!at_once) loops_.row_stats(x, 0, 1, s_.classes, &maximum_[i], &log_sum_[i]);
      losses[i - begin] = p_.probabilities || smooth_ != 0 ? T(0) : from_top(x, i);
    }
    loops_.logs(log_sum_ + begin, count);
    for (int64_t i = begin; i < begin + count; ++i) {
      T& loss = losses[i - begin];
      if (ignored(i))
        loss = 0;
      else if (!p_.probabilities && smooth_ == 0)
        loss = weight_of(label(i)) * (loss + log_sum_[i]);
      else
        loss = smooth_loss(i, own);
    }
  }

  // How far the label's logit is below the largest.
  T from_top(const T* x, int64_t i) const { return ignored(i) ? T(0) : maximum_[i] - x[label(i)]; }

  T smooth_loss(int64_t i, T* own) {
    const T* x = row(x_, i, own);
    const T top = maximum_[i], rest = log_sum_[i];
    if (p_.probabilities) {
      const T* a = distribution(i, own + s_.classes);
      return loops_.row_dot(x, a, s_.classes, top) + loops_.row_sum(a, s_.classes) * rest;
    }
    return (1 - smooth_) * weight_of(label(i)) * (from_top(x, i) + rest) +
           smooth_share_ * (loops_.row_dot(x, weight_, s_.classes, top) + weight_sum_ * rest);
  }

  void tile_loss(int64_t begin, int64_t count, T* losses, T* dots) {
    const T* x = x_.ptr<const T>() + offset(x_, begin);
    loops_.tile_stats(x, x_.stride[1], s_.classes, count, maximum_ + begin, log_sum_ + begin);
    if (smooth_ != 0)
      loops_.tile_dot(x, x_.stride[1], weight_, s_.classes, count, maximum_ + begin, dots);
    for (int64_t k = 0; k < count; ++k) {
      const int64_t i = begin + k, y = label(i);
      if (ignored(i)) {
        losses[k] = 0;
        continue;
      }
      losses[k] =
          (1 - smooth_) * weight_of(y) * ((maximum_[i] - x[y * x_.stride[1] + k]) + log_sum_[i]);
      if (smooth_ != 0) losses[k] += smooth_share_ * (dots[k] + weight_sum_ * log_sum_[i]);
    }
  }

  void row_grad(int64_t i, T scale, T* own) {
    const TensorView& dx = v_[5];
    const bool in_place = direct(dx);
    T* out = in_place ? dx.ptr<T>() + offset(dx, i) : own;
    if (scale == 0 || ignored(i))
      std::fill(out, out + s_.classes, T(0));
    else
      fill_grad(i, scale, own, out);
    if (in_place) return;
    TensorView classes;
    classes.data =
        static_cast<char*>(dx.data) + offset(dx, i) * static_cast<int64_t>(size_of(dx.dtype));
    classes.dtype = dx.dtype;
    classes.ndim = 1;
    classes.shape[0] = s_.classes;
    classes.stride[0] = dx.stride[1];
    scatter_block(classes, 0, s_.classes, out);
  }

  void fill_grad(int64_t i, T scale, T* own, T* out) {
    const T* x = row(x_, i, own);
    if (p_.probabilities) {
      const T* a = distribution(i, own + s_.classes);
      const T sum = loops_.row_sum(a, s_.classes);
      return loops_.row_grad(x, a, s_.classes, maximum_[i], log_sum_[i], scale * sum, scale, out);
    }
    const int64_t y = label(i);
    const T* flat = smooth_ != 0 ? weight_ : nullptr;
    loops_.row_grad(x, flat, s_.classes, maximum_[i], log_sum_[i], scale * mass(y),
                    scale * smooth_share_, out);
    out[y] -= scale * (1 - smooth_) * weight_of(y);
  }

  void tile_grad(int64_t begin, int64_t count, T* scales, T* p_scales) {
    const TensorView& dx = v_[5];
    T* a_scales = p_scales + kCrossEntropyTile;
    for (int64_t k = 0; k < count; ++k) {
      if (ignored(begin + k)) scales[k] = 0;
      p_scales[k] = scales[k] == 0 ? T(0) : scales[k] * mass(label(begin + k));
      a_scales[k] = scales[k] * smooth_share_;
    }
    T* out = dx.ptr<T>() + offset(dx, begin);
    loops_.tile_grad(x_.ptr<const T>() + offset(x_, begin), x_.stride[1],
                     smooth_ != 0 ? weight_ : nullptr, s_.classes, count, maximum_ + begin,
                     log_sum_ + begin, p_scales, a_scales, out, dx.stride[1]);
    for (int64_t k = 0; k < count; ++k)
      if (scales[k] != 0) {
        const int64_t y = label(begin + k);
        out[y * dx.stride[1] + k] -= scales[k] * (1 - smooth_) * weight_of(y);
      }
  }

  const CrossEntropyLoops<T>& loops_;
  const CrossEntropyParams& p_;
  const TensorView* v_;
  const TensorView& x_;
  const Shape s_;
  T* memory_;
  const T* weight_;
  T *maximum_, *log_sum_, *divisor_;
  T smooth_, smooth_share_, weight_sum_;
  bool tiled_;
};

size_t workspace(const CrossEntropyParams&, const TensorView* v) {
  const size_t one = v[0].dtype == DType::f64 ? scratch<double>(v[0]) : scratch<float>(v[0]);
  return static_cast<size_t>(Shape(v[0]).tasks) * 2 * sizeof(double) +
         one * static_cast<size_t>(max_workers());
}

void run_forward(const CrossEntropyParams& p, const TensorView* v, void* memory) {
  const CrossEntropyKernels& kernels = active_cross_entropy_kernels();
  if (v[0].dtype == DType::f64)
    CrossEntropy<double>(kernels.f64, p, v, v[4].ptr<double>(), memory).forward();
  else
    CrossEntropy<float>(kernels.f32, p, v, v[4].ptr<float>(), memory).forward();
}

void run_backward(const CrossEntropyParams& p, const TensorView* v, void* memory) {
  const CrossEntropyKernels& kernels = active_cross_entropy_kernels();
  if (v[0].dtype == DType::f64)
    CrossEntropy<double>(kernels.f64, p, v, v[3].ptr<double>(), memory).backward();
  else
    CrossEntropy<float>(kernels.f32, p, v, v[3].ptr<float>(), memory).backward();
}

}  // namespace

const Op<CrossEntropyParams> cross_entropy_forward{"cross_entropy", check, workspace, run_forward,
                                                   check_values};
const Op<CrossEntropyParams> cross_entropy_backward{"cross_entropy_backward", check, workspace,
                                                    run_backward, check_values};

}  // namespace fastnn
