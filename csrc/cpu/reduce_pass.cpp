#include "cpu/reduce_pass.h"

#include <algorithm>
#include <limits>

#include "cpu/kernels/cast.h"
#include "fastnn/parallel.h"

namespace fastnn {

namespace {

constexpr int64_t kBufferBytes = 16384;
constexpr int64_t kBlock = 4096;  // elements whose extreme is looked for at once
constexpr int64_t kNarrow = 64;   // fewer columns than this are folded several rows at a time
constexpr int64_t kWide = 256;

int compute_index(DType t) { return t == DType::f32 ? 0 : t == DType::f64 ? 1 : 2; }

// ---- Accumulators -----------------------------------------------------------------------------

template <class A>
A identity(Fold f) {
  using L = std::numeric_limits<A>;
  switch (f) {
    case Fold::prod:
      return 1;
    case Fold::max:
      return L::has_infinity ? -L::infinity() : L::lowest();
    case Fold::min:
    case Fold::min_abs:
      return L::has_infinity ? L::infinity() : L::max();
    default:
      return 0;
  }
}

template <class A>
bool beats(A v, A best, bool largest) {
  return (largest ? v > best : v < best) || (v != v && best == best);
}

template <class A>
A join(Fold f, A a, A b) {
  switch (f) {
    case Fold::prod:
      return a * b;
    case Fold::max:
    case Fold::max_abs:
      return beats(b, a, true) ? b : a;
    case Fold::min:
    case Fold::min_abs:
      return beats(b, a, false) ? b : a;
    default:
      return a + b;
  }
}
template <>
int64_t join(Fold f, int64_t a, int64_t b) {  // wraps
  const auto x = static_cast<uint64_t>(a), y = static_cast<uint64_t>(b);
  if (f == Fold::max) return std::max(a, b);
  if (f == Fold::min) return std::min(a, b);
  return static_cast<int64_t>(f == Fold::prod ? x * y : x + y);
}

// ---- Along the reduced axes -------------------------------------------------------------------

// Calls body(offset, n, position) for the runs along the innermost reduced axis that make up
// [begin, end).
template <class F>
void for_runs(const ReducePlan& p, int64_t begin, int64_t end, F&& body) {
  const int64_t run = p.reduced_shape[p.reduced - 1], stride = p.reduced_stride[p.reduced - 1];
  int64_t index[kMaxDims], offset = 0, rest = begin / run, at = begin % run;
  for (int d = p.reduced - 2; d >= 0; --d) {
    index[d] = rest % p.reduced_shape[d];
    rest /= p.reduced_shape[d];
    offset += index[d] * p.reduced_stride[d];
  }
  for (int64_t pos = begin; pos < end;) {
    const int64_t n = std::min(run - at, end - pos);
    body(offset + at * stride, n, pos);
    pos += n;
    at = 0;
    for (int d = p.reduced - 2; d >= 0; --d) {
      offset += p.reduced_stride[d];
      if (++index[d] < p.reduced_shape[d]) break;
      offset -= p.reduced_shape[d] * p.reduced_stride[d];
      index[d] = 0;
    }
  }
}

int64_t kept_offset(const ReducePlan& p, int64_t output) {
  int64_t offset = 0;
  for (int d = p.kept - 1; d >= 0; --d) {
    offset += output % p.kept_shape[d] * p.kept_stride[d];
    output /= p.kept_shape[d];
  }
  return offset;
}

template <class A>
class Worker {
 public:
  explicit Worker(const FoldPass& pass)
      : pass_(pass),
        p_(*pass.plan),
        kernels_(active_reduce_kernels()),
        compute_(compute_index(pass.compute)),
        entry_(kernels_.fold[static_cast<int>(pass.fold)]),
        load_(active_cast_kernels().load[compute_][static_cast<int>(pass.x->dtype)]),
        itemsize_(static_cast<int64_t>(size_of(pass.x->dtype))),
        room_(kBufferBytes / (compute_ ? 8 : 4)) {}

  // Whether outputs are rows of memory at even distances that kernels read as they are.
  bool plain_rows() const {
    return !p_.by_columns && p_.splits == 1 && p_.kept == 1 && p_.reduced == 1 && !pass_.index &&
           readable() && (p_.reduced_stride[0] == 1 || p_.count == 1);
  }

  // Outputs [begin, end), each a plain row.
  void fold_rows(int64_t begin, int64_t end, A* acc) {
    const char* x = pass_.x->template ptr<char>();
    for (int64_t i = begin; i < end; ++i) {
      acc[i] = identity<A>(pass_.fold);
      entry_.run[compute_](acc + i, x + i * p_.kept_stride[0] * itemsize_, p_.count,
                           pass_.shift ? pass_.shift + i : nullptr);
    }
  }

  // Outputs [first, first + n) of one tile, over part [begin, end) of the reduced axes.
  void fold(int64_t first, int64_t n, int64_t begin, int64_t end, A* acc, int64_t* index) {
    std::fill(acc, acc + n, identity<A>(pass_.fold));
    if (index) std::fill(index, index + n, begin);
    base_ = pass_.x->template ptr<char>() + kept_offset(p_, first) * itemsize_;
    shift_ = pass_.shift ? pass_.shift + first : nullptr;
    if (!p_.by_columns && index)
      extreme_of_runs(begin, end, acc, index);
    else if (!p_.by_columns)
      fold_runs(begin, end, acc);
    else
      fold_columns(n, begin, end, acc, index);
  }

 private:
  const char* at(int64_t offset) const { return base_ + offset * itemsize_; }
  bool readable() const { return pass_.x->dtype == pass_.compute; }

  // Calls body(pointer, n, position) with contiguous elements of the compute type.
  template <class F>
  void for_dense_runs(int64_t begin, int64_t end, F&& body) {
    alignas(64) char buffer[kBufferBytes];
    const int64_t stride = p_.reduced_stride[p_.reduced - 1];
    for_runs(p_, begin, end, [&](int64_t offset, int64_t n, int64_t pos) {
      if (readable() && (stride == 1 || n == 1)) return body(at(offset), n, pos);
      for (int64_t i = 0; i < n; i += room_) {
        const int64_t m = std::min(room_, n - i);
        load_(buffer, at(offset + i * stride), {1, m, 0, stride});
        body(buffer, m, pos + i);
      }
    });
  }

  void fold_runs(int64_t begin, int64_t end, A* acc) {
    for_dense_runs(begin, end, [&](const void* x, int64_t n, int64_t) {
      entry_.run[compute_](acc, x, n, shift_);
    });
  }

  void extreme_of_runs(int64_t begin, int64_t end, A* acc, int64_t* index) {
    const bool largest = pass_.fold == Fold::max;
    const int64_t size = compute_ ? 8 : 4;
    bool started = false;
    for_dense_runs(begin, end, [&](const char* x, int64_t n, int64_t pos) {
      for (int64_t i = 0; i < n; i += kBlock) {
        const int64_t m = std::min(kBlock, n - i);
        A best = identity<A>(pass_.fold);
        entry_.run[compute_](&best, x + i * size, m, nullptr);
        if (started && !beats(best, *acc, largest)) continue;
        started = true;
        *acc = best;
        const float narrow = static_cast<float>(best);
        const void* value = compute_ ? static_cast<const void*>(&best) : &narrow;
        *index = pos + i + kernels_.find[compute_](x + i * size, m, value);
      }
    });
  }

  void columns(A* acc, int64_t* index, const void* x, int64_t rows, int64_t stride, int64_t n,
               int64_t pos) {
    if (index)
      kernels_.extreme_cols[compute_](acc, index, x, rows, stride, n, pos,
                                      pass_.fold == Fold::max ? 1 : -1);
    else
      entry_.cols[compute_](acc, x, rows, stride, n, shift_);
  }

  // Rows without gaps and with few columns: several rows side by side fill the vectors.
  void narrow_columns(A* acc, const char* x, int64_t rows, int64_t n) {
    A wide[kWide];
    double shift[kWide];
    const int64_t k = kWide / n, size = compute_ ? 8 : 4;
    if (rows < 2 * k) return columns(acc, nullptr, x, rows, n, n, 0);
    std::fill(wide, wide + k * n, identity<A>(pass_.fold));
    if (shift_)
      for (int64_t i = 0; i < k * n; ++i) shift[i] = shift_[i % n];
    entry_.cols[compute_](wide, x, rows / k, k * n, k * n, shift_ ? shift : nullptr);
    for (int64_t i = 0; i < k * n; ++i) acc[i % n] = join(pass_.fold, acc[i % n], wide[i]);
    columns(acc, nullptr, x + rows / k * k * n * size, rows % k, n, n, 0);
  }

  void fold_columns(int64_t n, int64_t begin, int64_t end, A* acc, int64_t* index) {
    alignas(64) char buffer[kBufferBytes];
    const int64_t row_stride = p_.reduced_stride[p_.reduced - 1],
                  col_stride = p_.kept_stride[p_.kept - 1];
    for_runs(p_, begin, end, [&](int64_t offset, int64_t rows, int64_t pos) {
      const bool narrow = n < kNarrow && !index;
      if (readable() && col_stride == 1) {
        if (narrow && row_stride == n) return narrow_columns(acc, at(offset), rows, n);
        return columns(acc, index, at(offset), rows, row_stride, n, pos);
      }
      const int64_t fit = room_ / n;
      for (int64_t r = 0; r < rows; r += fit) {
        const int64_t m = std::min(fit, rows - r);
        load_(buffer, at(offset + r * row_stride), {m, n, row_stride, col_stride});
        if (narrow)
          narrow_columns(acc, buffer, m, n);
        else
          columns(acc, index, buffer, m, n, n, pos + r);
      }
    });
  }

  const FoldPass& pass_;
  const ReducePlan& p_;
  const ReduceKernels& kernels_;
  const int compute_;
  const FoldEntry& entry_;
  const LoadFn load_;
  const int64_t itemsize_, room_;
  const char* base_ = nullptr;
  const double* shift_ = nullptr;
};

template <class A>
void join_parts(const FoldPass& pass, const A* parts, const int64_t* indices) {
  const ReducePlan& p = *pass.plan;
  auto* acc = static_cast<A*>(pass.acc);
  for (int64_t m = 0; m < p.outputs; ++m) {
    A best = parts[m];
    int64_t index = indices ? indices[m] : 0;
    for (int64_t s = 1; s < p.splits; ++s) {
      const A next = parts[s * p.outputs + m];
      if (!indices)
        best = join(pass.fold, best, next);
      else if (beats(next, best, pass.fold == Fold::max)) {
        best = next;
        index = indices[s * p.outputs + m];
      }
    }
    acc[m] = best;
    if (indices) pass.index[m] = index;
  }
}

template <class A>
void run_typed(const FoldPass& pass) {
  const ReducePlan& p = *pass.plan;
  if (p.count == 0) {
    std::fill_n(static_cast<A*>(pass.acc), p.outputs, identity<A>(pass.fold));
    return;
  }
  A* acc = static_cast<A*>(p.splits > 1 ? pass.parts : pass.acc);
  int64_t* index = !pass.index    ? nullptr
                   : p.splits > 1 ? reinterpret_cast<int64_t*>(acc + p.splits * p.outputs)
                                  : pass.index;
  const int64_t columns = p.by_columns ? p.kept_shape[p.kept - 1] : p.tiles;
  const auto one = [&](Worker<A>& worker, int64_t tile, int64_t part) {
    const int64_t in_row = tile % p.tiles * p.tile, n = std::min(p.tile, columns - in_row);
    const int64_t first = tile / p.tiles * columns + in_row, at = part * p.outputs + first;
    worker.fold(first, n, p.part_begin(part), p.part_begin(part + 1), acc + at,
                index ? index + at : nullptr);
  };
  const int64_t tiles = p.tiles * p.outer;
  if (p.splits > 1) {
    parallel_for(tiles * p.splits, [&](int64_t task, int) {
      Worker<A> worker(pass);
      one(worker, task / p.splits, task % p.splits);
    });
    join_parts(pass, acc, index);
  } else {
    parallel_blocks(tiles, p.grouped, [&](int64_t begin, int64_t end, int) {
      Worker<A> worker(pass);
      if (worker.plain_rows()) return worker.fold_rows(begin, end, acc);
      for (int64_t t = begin; t < end; ++t) one(worker, t, 0);
    });
  }
}

}  // namespace

size_t part_bytes(const ReducePlan& plan, bool with_index) {
  if (plan.splits <= 1) return 0;
  return static_cast<size_t>(plan.splits * plan.outputs) * (with_index ? 16 : 8);
}

void run_pass(const FoldPass& pass) {
  if (pass.compute == DType::i64)
    run_typed<int64_t>(pass);
  else
    run_typed<double>(pass);
}

}  // namespace fastnn
