// Reductions: lines or columns of the array are folded by threads, warps and blocks in a fixed
// tree; long ones in several parts, which a second kernel joins in order. Floats are summed in
// double: these kernels wait for memory, not for arithmetic.
#include <algorithm>

#include "common/block.h"
#include "common/cast.h"
#include "common/dtypes.h"
#include "common/fast_div.h"
#include "common/fold.h"
#include "common/launch.h"
#include "fastnn/ops/reduce.h"
#include "ops.h"

namespace fastnn::cuda {

namespace {

// ---- Kernels ----------------------------------------------------------------------------------

constexpr int kThreads = 256;
// Loads in flight per thread; few where each of them is a switch over dtypes.
template <class T>
constexpr int kLoads = sizeof(T) == 1 ? 1 : 4;
constexpr int kColumns = kWarp, kColumnRows = kThreads / kColumns;

// What a folded value becomes.
struct Finish {
  ReduceOp op;
  double p, n;
  bool to_shift;  // a first pass: its result is the shift of the second
};

struct ReduceArgs {
  const void* x;
  DType dtype;
  int kept, reduced;
  FastDiv kept_shape[kMaxDims], reduced_shape[kMaxDims];
  int64_t kept_stride[kMaxDims], out_stride[kMaxDims], index_stride[kMaxDims];
  int64_t reduced_stride[kMaxDims];
  uint32_t outputs, columns;
  int64_t count, per_part;
  uint32_t parts;
  double* shift;  // one per output; null when there is none
  void* partial;  // Acc[parts][outputs]
  Finish finish;
  void* out;
  DType out_dtype;
  int64_t* index;
};

__device__ __forceinline__ int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
__device__ __forceinline__ bool infinite(double v) { return fabs(v) == HUGE_VAL; }

struct Offsets {
  int64_t x, out, index;
};

__device__ __forceinline__ Offsets kept_offsets(const ReduceArgs& a, uint32_t output) {
  Offsets at{0, 0, 0};
  for (int d = a.kept - 1; d >= 0; --d) {
    const int64_t i = d ? a.kept_shape[d].take(output) : output;
    at.x += i * a.kept_stride[d];
    at.out += i * a.out_stride[d];
    at.index += i * a.index_stride[d];
  }
  return at;
}

__device__ __forceinline__ int64_t reduced_offset(const ReduceArgs& a, int64_t i) {
  if (a.reduced == 1) return i * a.reduced_stride[0];
  int64_t at = 0;
  if (a.count < (int64_t{1} << 31)) {
    auto left = static_cast<uint32_t>(i);
    for (int d = a.reduced - 1; d > 0; --d)
      at += static_cast<int64_t>(a.reduced_shape[d].take(left)) * a.reduced_stride[d];
    return at + static_cast<int64_t>(left) * a.reduced_stride[0];
  }
  for (int d = a.reduced - 1; d > 0; --d) {
    const auto size = static_cast<int64_t>(a.reduced_shape[d].divisor);
    at += i % size * a.reduced_stride[d];
    i /= size;
  }
  return at + i * a.reduced_stride[0];
}

__device__ __forceinline__ double finished(const Finish& f, double v, double shift) {
  switch (f.op) {
    case ReduceOp::mean:
      return v / f.n;
    case ReduceOp::any:
      return v > 0;
    case ReduceOp::all:
      return v == f.n;
    case ReduceOp::var:
      return v / (f.n - f.p > 0 ? f.n - f.p : 0);
    case ReduceOp::std_dev:
      return sqrt(v / (f.n - f.p > 0 ? f.n - f.p : 0));
    case ReduceOp::logsumexp:  // without a finite maximum the shift is 0
      return log(v) + shift;
    case ReduceOp::norm:
      if (f.p == 2) return sqrt(v);
      return f.p == 0 || f.p == 1 || infinite(f.p) ? v : pow(v, 1 / f.p);
    default:
      return v;
  }
}
__device__ __forceinline__ int64_t finished(const Finish& f, int64_t v, int64_t) {
  if (f.op == ReduceOp::any) return v > 0;
  if (f.op == ReduceOp::all) return v == static_cast<int64_t>(f.n);
  return v;
}

template <class A>
__device__ __forceinline__ void put(const ReduceArgs& a, uint32_t output, A value, int64_t index) {
  if (a.finish.to_shift) {
    if constexpr (A(0.5) != A(0))
      a.shift[output] =
          a.finish.op == ReduceOp::logsumexp ? (infinite(value) ? 0 : value) : value / a.finish.n;
    return;
  }
  const Offsets at = kept_offsets(a, output);
  const A shift = a.shift ? static_cast<A>(a.shift[output]) : A(0);
  store_as<A>(a.out, a.out_dtype, at.out, finished(a.finish, value, shift));
  if (a.index) a.index[at.index] = index;
}

// The value of part `part` of an output: to the result, or to where the other parts are.
template <class Fold, class A>
__device__ __forceinline__ void deliver(const ReduceArgs& a, uint32_t output, uint32_t part,
                                        typename Fold::Acc acc) {
  if (a.parts > 1) {
    static_cast<typename Fold::Acc*>(a.partial)[size_t{part} * a.outputs + output] = acc;
  } else if constexpr (Fold::indexed) {
    put<A>(a, output, acc.value, acc.index);
  } else {
    put<A>(a, output, acc, 0);
  }
}

template <class A, class T>
__device__ __forceinline__ A load_element(const ReduceArgs& a, int64_t at) {
  if constexpr (sizeof(T) == 1)  // any dtype
    return load_as<A>(a.x, a.dtype, at);
  else
    return widen_to<A>(static_cast<const T*>(a.x)[at]);
}

// Folds elements first, first + step, ... below end of the line that starts at `base`.
template <class Fold, class A, class T>
__device__ __forceinline__ typename Fold::Acc fold_line(const ReduceArgs& a, int64_t base, A shift,
                                                        int64_t first, int64_t step, int64_t end) {
  typename Fold::Acc acc = Fold::start();
  for (int64_t i = first; i < end; i += kLoads<T> * step) {
    A x[kLoads<T>];
    FASTNN_UNROLL
    for (int k = 0; k < kLoads<T>; ++k)
      x[k] =
          i + k * step < end ? load_element<A, T>(a, base + reduced_offset(a, i + k * step)) : A(0);
    FASTNN_UNROLL
    for (int k = 0; k < kLoads<T>; ++k)
      if (i + k * step < end) Fold::step(acc, x[k], shift, i + k * step);
  }
  return acc;
}

template <class A>
__device__ __forceinline__ A shift_of(const ReduceArgs& a, uint32_t output) {
  if (a.finish.to_shift || !a.shift) return static_cast<A>(a.finish.p);  // the power of a norm
  return static_cast<A>(a.shift[output]);
}

// Width threads (a warp or the block) fold one line.
template <class Fold, class A, class T, int Width>
__global__ void __launch_bounds__(kThreads) reduce_lines(ReduceArgs a) {
  using Acc = typename Fold::Acc;
  SHARED(Acc, room, [kThreads / kWarp]);
  constexpr int lines = kThreads / Width;
  const uint32_t output = blockIdx.x * lines + threadIdx.x / Width, part = blockIdx.y;
  const bool works = output < a.outputs;
  const int64_t begin = part * a.per_part, end = least(begin + a.per_part, a.count);
  Acc acc = Fold::start();
  if (works)
    acc = fold_line<Fold, A, T>(a, kept_offsets(a, output).x, shift_of<A>(a, output),
                                begin + threadIdx.x % Width, Width, end);
  acc = join_block<Width>(acc, room, Fold::join);
  if (works && threadIdx.x % Width == 0) deliver<Fold, A>(a, output, part, acc);
}

// Neighbouring threads fold neighbouring outputs; the rows of the block take turns.
template <class Fold, class A, class T>
__global__ void __launch_bounds__(kThreads) reduce_columns(ReduceArgs a) {
  using Acc = typename Fold::Acc;
  SHARED(Acc, room, [kColumnRows][kColumns]);
  const uint32_t tiles = (a.columns + kColumns - 1) / kColumns;
  const uint32_t x = threadIdx.x % kColumns, y = threadIdx.x / kColumns, part = blockIdx.y;
  const uint32_t column = blockIdx.x % tiles * kColumns + x;
  const uint32_t output = blockIdx.x / tiles * a.columns + column;
  const bool works = column < a.columns;
  const int64_t begin = part * a.per_part, end = least(begin + a.per_part, a.count);
  Acc acc = Fold::start();
  if (works)
    acc = fold_line<Fold, A, T>(a, kept_offsets(a, output).x, shift_of<A>(a, output), begin + y,
                                kColumnRows, end);
  room[y][x] = acc;
  __syncthreads();
  if (y != 0 || !works) return;
  for (int k = 1; k < kColumnRows; ++k) acc = Fold::join(acc, room[k][x]);
  deliver<Fold, A>(a, output, part, acc);
}

// Joins the parts of every output, a warp each.
template <class Fold, class A>
__global__ void __launch_bounds__(kThreads) join_parts(ReduceArgs a) {
  using Acc = typename Fold::Acc;
  const uint32_t output = blockIdx.x * (kThreads / kWarp) + threadIdx.x / kWarp;
  const bool works = output < a.outputs;
  const auto* partial = static_cast<const Acc*>(a.partial);
  Acc acc = Fold::start();
  if (works)
    for (uint32_t part = threadIdx.x % kWarp; part < a.parts; part += kWarp)
      acc = Fold::join(acc, partial[size_t{part} * a.outputs + output]);
  acc = join_lanes<kWarp>(acc, Fold::join);
  if (!works || threadIdx.x % kWarp != 0) return;
  if constexpr (Fold::indexed)
    put<A>(a, output, acc.value, acc.index);
  else
    put<A>(a, output, acc, 0);
}

// ---- Driver -----------------------------------------------------------------------------------

enum class Way { warps, blocks, columns };

struct Plan {
  ReduceArgs args;
  Way way;
  unsigned blocks;
  bool two_passes;
  size_t shift_bytes, partial_bytes;
};

struct Axis {
  int64_t size, x, out, index;
};

// Sorts axes by the input's stride, outermost first, and merges what every array allows to.
int arrange(Axis* axes, int n) {
  std::stable_sort(axes, axes + n,
                   [](const Axis& a, const Axis& b) { return std::llabs(a.x) > std::llabs(b.x); });
  int m = 0;
  for (int i = 0; i < n; ++i) {
    Axis& last = axes[m ? m - 1 : 0];
    const Axis& next = axes[i];
    if (m && last.x == next.x * next.size && last.out == next.out * next.size &&
        last.index == next.index * next.size)
      last = {last.size * next.size, next.x, next.out, next.index};
    else
      axes[m++] = next;
  }
  if (m == 0) axes[m++] = {1, 0, 0, 0};
  return m;
}

bool has_shift(const ReduceParams& p) {
  return p.op == ReduceOp::var || p.op == ReduceOp::std_dev || p.op == ReduceOp::logsumexp;
}

void choose_way(Plan& plan, int64_t columns, int64_t column_stride, int64_t run_stride) {
  ReduceArgs& a = plan.args;
  const bool by_columns = columns >= 8 && column_stride < run_stride && a.count > 1;
  plan.way = by_columns ? Way::columns : a.count <= 2048 ? Way::warps : Way::blocks;
  a.columns = static_cast<uint32_t>(columns);
  const int64_t blocks = by_columns ? a.outputs / columns * ceil_div(columns, kColumns)
                         : plan.way == Way::warps ? ceil_div(a.outputs, kThreads / kWarp)
                                                  : a.outputs;
  plan.blocks = static_cast<unsigned>(blocks);
  // Enough blocks for every multiprocessor, each with a few thousand elements at least.
  const int64_t threads_per_line = by_columns ? kColumnRows : kThreads;
  const int64_t most = std::max<int64_t>(1, a.count / (threads_per_line * 16));
  const int64_t wanted = plan.way == Way::warps ? 1 : ceil_div(528, std::max<int64_t>(blocks, 1));
  const int64_t parts = std::min<int64_t>({wanted, most, 512});
  a.per_part = std::max<int64_t>(1, ceil_div(a.count, parts));
  a.parts = static_cast<uint32_t>(std::max<int64_t>(1, ceil_div(a.count, a.per_part)));
}

Plan make_plan(const ReduceParams& p, const TensorView* v) {
  const TensorView &x = v[0], &out = v[1], &index = v[2];
  Plan plan{};
  ReduceArgs& a = plan.args;
  Axis kept[kMaxDims + 1], reduced[kMaxDims + 1];
  int nk = 0, nr = 0;
  int64_t outputs = 1;
  a.count = 1;
  for (int d = 0; d < x.ndim; ++d) {
    const bool reduces = p.axes >> d & 1;
    (reduces ? a.count : outputs) *= x.shape[d];
    if (x.shape[d] == 1) continue;
    if (reduces)
      reduced[nr++] = {x.shape[d], x.stride[d], 0, 0};
    else
      kept[nk++] = {x.shape[d], x.stride[d], out.stride[d], index ? index.stride[d] : 0};
  }
  for (int i = 0; i < nr; ++i) reduced[i].out = reduced[i].index = 0;
  if (!index)
    for (int i = 0; i < nk; ++i) kept[i].index = 0;
  a.kept = arrange(kept, nk);
  a.reduced = arrange(reduced, nr);
  for (int i = 0; i < a.kept; ++i) {
    a.kept_shape[i] = FastDiv(std::max<int64_t>(1, kept[i].size));
    a.kept_stride[i] = kept[i].x;
    a.out_stride[i] = kept[i].out;
    a.index_stride[i] = kept[i].index;
  }
  for (int i = 0; i < a.reduced; ++i) {
    a.reduced_shape[i] =
        FastDiv(std::max<int64_t>(1, std::min<int64_t>(reduced[i].size, INT32_MAX)));
    a.reduced_stride[i] = reduced[i].x;
  }
  a.x = x.data;
  a.dtype = x.dtype;
  a.outputs = static_cast<uint32_t>(outputs);
  a.out = out.data;
  a.out_dtype = out.dtype;
  a.index = index ? index.ptr<int64_t>() : nullptr;
  a.finish = {p.op, p.p, static_cast<double>(a.count), false};
  if (outputs == 0) return plan;
  const Axis &column = kept[a.kept - 1], &run = reduced[a.reduced - 1];
  choose_way(plan, column.size, std::llabs(column.x), std::llabs(run.x));
  plan.two_passes = has_shift(p);
  const auto each = static_cast<size_t>(outputs);
  plan.shift_bytes = plan.two_passes ? (each * sizeof(double) + 255) / 256 * 256 : 0;
  plan.partial_bytes = a.parts > 1 ? each * a.parts * sizeof(Extreme<double>) : 0;
  return plan;
}

template <class Fold, class A, class T>
void launch_fold(const Plan& plan, Stream stream) {
  const ReduceArgs& a = plan.args;
  const Launch l{"reduce", stream, plan.blocks, kThreads, 0, a.parts};
  if (plan.way == Way::columns)
    cuda::launch(l, reduce_columns<Fold, A, T>, a);
  else if (plan.way == Way::warps)
    cuda::launch(l, reduce_lines<Fold, A, T, kWarp>, a);
  else
    cuda::launch(l, reduce_lines<Fold, A, T, kThreads>, a);
  if (a.parts > 1)
    cuda::launch({"join_parts", stream,
                  static_cast<unsigned>(ceil_div(a.outputs, kThreads / kWarp)), kThreads},
                 join_parts<Fold, A>, a);
}

using Any = uint8_t;  // the tag of kernels that look the dtype up at every element

template <class Fold>
void fold_floats(const Plan& plan, Stream stream) {
  launch_fold<Fold, double, Any>(plan, stream);
}
// The same, for the folds that matter: a kernel per dtype.
template <class Fold>
void fold_typed(const Plan& plan, Stream stream) {
  with_float_type(plan.args.dtype, [&](auto tag) {
    using T = decltype(tag);
    launch_fold<Fold, double, std::conditional_t<sizeof(T) == 8, Any, T>>(plan, stream);
  });
}

void fold_norm(const Plan& plan, double p, Stream stream) {
  if (p == 2) return fold_floats<SumSquares>(plan, stream);
  if (p == 1) return fold_floats<SumAbs>(plan, stream);
  if (p == 0) return fold_floats<Nonzero<double>>(plan, stream);
  if (p == HUGE_VAL) return fold_floats<Top<double, 1, true>>(plan, stream);
  if (p == -HUGE_VAL) return fold_floats<Top<double, -1, true>>(plan, stream);
  fold_floats<SumPower>(plan, stream);
}

void run_floats(const ReduceParams& p, Plan plan, Stream stream) {
  if (plan.two_passes) {
    Plan first = plan;
    first.args.finish.to_shift = true;
    if (p.op == ReduceOp::logsumexp) {
      fold_floats<Top<double, 1>>(first, stream);
      return fold_floats<SumExp>(plan, stream);
    }
    fold_floats<Sum<double>>(first, stream);
    return fold_floats<SumCentred>(plan, stream);
  }
  switch (p.op) {
    case ReduceOp::sum:
    case ReduceOp::mean:
      return fold_typed<Sum<double>>(plan, stream);
    case ReduceOp::prod:
      return fold_floats<Product<double>>(plan, stream);
    case ReduceOp::max:
      return fold_typed<Top<double, 1>>(plan, stream);
    case ReduceOp::min:
      return fold_floats<Top<double, -1>>(plan, stream);
    case ReduceOp::norm:
      return fold_norm(plan, p.p, stream);
    default:
      return fold_floats<Nonzero<double>>(plan, stream);
  }
}

void run_integers(const ReduceParams& p, const Plan& plan, Stream stream) {
  using I = int64_t;
  switch (p.op) {
    case ReduceOp::sum:
      return launch_fold<Sum<I>, I, Any>(plan, stream);
    case ReduceOp::prod:
      return launch_fold<Product<I>, I, Any>(plan, stream);
    case ReduceOp::max:
      return launch_fold<Top<I, 1>, I, Any>(plan, stream);
    case ReduceOp::min:
      return launch_fold<Top<I, -1>, I, Any>(plan, stream);
    default:
      return launch_fold<Nonzero<I>, I, Any>(plan, stream);
  }
}

void check(const ReduceParams&, const TensorView* v) {
  if (v[1].numel() > INT32_MAX)
    fail(ErrorKind::unsupported, "reduce: more than 2^31 - 1 results on CUDA, got ", v[1].numel());
}

size_t workspace(const ReduceParams& p, const TensorView* v) {
  const Plan plan = make_plan(p, v);
  return plan.shift_bytes + plan.partial_bytes;
}

void run(const ReduceParams& p, const TensorView* v, void* scratch, Stream stream) {
  Plan plan = make_plan(p, v);
  if (plan.args.outputs == 0) return;
  char* room = static_cast<char*>(scratch);
  plan.args.shift = plan.two_passes ? reinterpret_cast<double*>(room) : nullptr;
  plan.args.partial = room + plan.shift_bytes;
  if (is_float(v[0].dtype))
    run_floats(p, plan, stream);
  else
    run_integers(p, plan, stream);
}

}  // namespace

const Op<ReduceParams> reduce{"reduce", check, workspace, run};

}  // namespace fastnn::cuda
