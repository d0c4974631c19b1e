// The op on views: checks, batch axes, then the blocked product of gemm_core.h.
#include "fastnn/ops/gemm.h"

#include <algorithm>

#include "cpu/gemm_core.h"
#include "cpu/ref/gemm.h"

namespace fastnn {
namespace {

enum { kA, kB, kC, kBias, kViews };
constexpr const char* kNames[kViews] = {"a", "b", "out", "bias"};

int64_t rows(const TensorView& v) { return v.shape[v.ndim - 2]; }
int64_t columns(const TensorView& v) { return v.shape[v.ndim - 1]; }

// ---- Checks ----

void check_dtypes(const TensorView* v) {
  const DType in = v[kA].dtype;
  if (!is_float(in))
    fail(ErrorKind::dtype, "matmul: a has dtype ", name_of(in),
         "; expected float32, float64, bfloat16 or float16");
  if (v[kB].dtype != in)
    fail(ErrorKind::dtype, "matmul: a has dtype ", name_of(in), " and b ", name_of(v[kB].dtype),
         "; they must be the same: convert one of them");
  const DType sum = in == DType::f64 ? DType::f64 : DType::f32;
  for (int i : {kC, kBias})
    if (v[i] && v[i].dtype != in && v[i].dtype != sum)
      fail(ErrorKind::dtype, "matmul: ", kNames[i], " has dtype ", name_of(v[i].dtype),
           "; expected ", name_of(in), in == sum ? "" : " or float32");
}

// v must broadcast to the batch axes of c; `exact`: must have them.
void check_batch(const TensorView& v, const TensorView& c, const char* name, int from_end) {
  for (int d = v.ndim - 1 - from_end, e = c.ndim - 1 - from_end; d >= 0; --d, --e)
    if (e < 0 ? v.shape[d] != 1 : v.shape[d] != 1 && v.shape[d] != c.shape[e])
      fail(ErrorKind::shape, "matmul: ", name, " of shape ", v.shape_text(),
           " does not broadcast to the output's shape ", c.shape_text());
}

void check_shapes(const TensorView* v) {
  const TensorView &a = v[kA], &b = v[kB], &c = v[kC], &bias = v[kBias];
  for (int i : {kA, kB, kC})
    if (v[i].ndim < 2)
      fail(ErrorKind::shape, "matmul: ", kNames[i], " has ", v[i].ndim,
           " dimensions; expected at least 2");
  if (columns(a) != rows(b))
    fail(ErrorKind::shape, "matmul: a has shape ", a.shape_text(), " and b ", b.shape_text(),
         ": inner sizes ", columns(a), " and ", rows(b), " differ");
  if (rows(c) != rows(a) || columns(c) != columns(b))
    fail(ErrorKind::shape, "matmul: out has shape ", c.shape_text(), ", but a of shape ",
         a.shape_text(), " times b of shape ", b.shape_text(), " has ", rows(a), " rows and ",
         columns(b), " columns");
  check_batch(a, c, "a", 2);
  check_batch(b, c, "b", 2);
  if (!bias) return;
  check_batch(bias, c, "bias", 0);
  if (bias.ndim >= 2 && rows(bias) != 1 && columns(bias) != 1)
    fail(ErrorKind::shape, "matmul: bias of shape ", bias.shape_text(),
         " varies along rows and columns; expected (N,) or (M, 1). To add a matrix, copy it to out "
         "and use beta=1");
}

// Memory from the first to one past the last byte.
struct Extent {
  intptr_t begin, end;
};
Extent extent(const TensorView& v) {
  const auto size = static_cast<intptr_t>(size_of(v.dtype));
  Extent e{reinterpret_cast<intptr_t>(v.data), reinterpret_cast<intptr_t>(v.data) + size};
  for (int d = 0; d < v.ndim; ++d) {
    const intptr_t reach = (v.shape[d] - 1) * v.stride[d] * size;
    (reach < 0 ? e.begin : e.end) += reach;
  }
  return e;
}

// Two views of one larger array, such as its left and its right columns, lie apart in every row of
// `pitch` bytes.
bool apart_within_rows(const TensorView& a, const TensorView& b) {
  intptr_t pitch = 0;
  for (int d = 0; d < b.ndim; ++d)
    if (b.shape[d] > 1)
      pitch = std::max<intptr_t>(pitch,
                                 std::abs(b.stride[d]) * static_cast<intptr_t>(size_of(b.dtype)));
  if (pitch == 0) return false;
  Extent e[2];
  for (int i = 0; i < 2; ++i) {
    const TensorView& v = i ? b : a;
    TensorView inner = v;  // the axes that stay within a row
    inner.ndim = 0;
    for (int d = 0; d < v.ndim; ++d) {
      if (v.stride[d] * static_cast<intptr_t>(size_of(v.dtype)) % pitch == 0) continue;
      inner.shape[inner.ndim] = v.shape[d];
      inner.stride[inner.ndim++] = v.stride[d];
    }
    e[i] = extent(inner);
  }
  const intptr_t shift =
      ((e[1].begin - e[0].begin) % pitch + pitch) % pitch;  // from a's row start to b's
  return e[0].end - e[0].begin <= shift && shift + (e[1].end - e[1].begin) <= pitch;
}

bool overlap(const TensorView& a, const TensorView& b) {
  if (a.numel() == 0 || b.numel() == 0) return false;
  const Extent x = extent(a), y = extent(b);
  return x.begin < y.end && y.begin < x.end && !apart_within_rows(a, b);
}

void check(const GemmParams& p, const TensorView* v) {
  check_dtypes(v);
  check_shapes(v);
  if (static_cast<int>(p.activation) < 0 || static_cast<int>(p.activation) >= kActivations)
    fail(ErrorKind::value, "matmul: unknown activation ", static_cast<int>(p.activation));
  const TensorView& c = v[kC];
  for (int d = 0; d < c.ndim; ++d)
    if (c.shape[d] > 1 && c.stride[d] == 0 && c.numel() > 0)
      fail(ErrorKind::value, "matmul: out is broadcast along axis ", d,
           " (stride 0): its elements share memory; pass a copy");
  for (int i : {kA, kB, kBias})
    if (v[i] && overlap(v[i], c))
      fail(ErrorKind::value, "matmul: out shares memory with ", kNames[i],
           "; pass an out of its own");
}

// ---- Batch axes ----

// The batch axes of c with the strides (in bytes) of all views, neighbouring axes merged where all
// views allow it.
struct Batch {
  int axes = 0;
  int64_t shape[kMaxDims];
  int64_t stride[kViews][kMaxDims];
  bool bias_is_row;
};

// The byte stride of v for axis d of c.
int64_t stride_on(const TensorView& v, const TensorView& c, int d) {
  const int own = d - (c.ndim - v.ndim);
  return v && own >= 0 && v.shape[own] != 1 ? v.stride[own] * static_cast<int64_t>(size_of(v.dtype))
                                            : 0;
}

void collect(const TensorView* v, Batch& batch) {
  const TensorView& c = v[kC];
  for (int d = c.ndim - 3; d >= 0; --d) {  // innermost first
    if (c.shape[d] == 1) continue;
    int64_t stride[kViews];
    for (int i = 0; i < kViews; ++i) stride[i] = stride_on(v[i], c, d);
    const int last = batch.axes - 1;
    bool merges = batch.axes > 0;
    for (int i = 0; i < kViews && merges; ++i)
      merges = stride[i] == batch.stride[i][last] * batch.shape[last];
    if (merges) {
      batch.shape[last] *= c.shape[d];
      continue;
    }
    batch.shape[batch.axes] = c.shape[d];
    for (int i = 0; i < kViews; ++i) batch.stride[i][batch.axes] = stride[i];
    ++batch.axes;
  }
}

void locate(const void* context, int64_t index, GemmPointers& at) {
  const Batch& batch = *static_cast<const Batch*>(context);
  int64_t bytes[kViews] = {};
  for (int d = 0; d < batch.axes; ++d) {
    const bool last = d + 1 == batch.axes;  // where a division would change nothing
    const int64_t i = last ? index : index % batch.shape[d];
    if (!last) index /= batch.shape[d];
    for (int v = 0; v < kViews; ++v) bytes[v] += i * batch.stride[v][d];
  }
  at.a = static_cast<const char*>(at.a) + bytes[kA];
  at.b = static_cast<const char*>(at.b) + bytes[kB];
  at.c = static_cast<char*>(at.c) + bytes[kC];
  if (at.bias_m) at.bias_m = static_cast<const char*>(at.bias_m) + bytes[kBias];
  if (at.bias_n) at.bias_n = static_cast<const char*>(at.bias_n) + bytes[kBias];
}

// Where only the rows of a and c go on from one batch to the next, batches are more rows.
void fold_into_rows(const TensorView* v, Batch& batch, GemmProblem& p) {
  if (batch.axes == 0 || batch.stride[kB][0] != 0 || batch.stride[kBias][0] != 0 || p.bias_m.data)
    return;
  const int64_t a_size = static_cast<int64_t>(size_of(v[kA].dtype)),
                c_size = static_cast<int64_t>(size_of(v[kC].dtype));
  if (p.m == 1) {
    p.a.lane_stride = batch.stride[kA][0] / a_size;
    p.c.row = batch.stride[kC][0] / c_size;
  } else if (batch.stride[kA][0] != p.m * p.a.lane_stride * a_size ||
             batch.stride[kC][0] != p.m * p.c.row * c_size) {
    return;
  }
  p.m *= batch.shape[0];
  --batch.axes;
  for (int d = 0; d < batch.axes; ++d) {
    batch.shape[d] = batch.shape[d + 1];
    for (int i = 0; i < kViews; ++i) batch.stride[i][d] = batch.stride[i][d + 1];
  }
}

GemmProblem make_problem(const GemmParams& params, const TensorView* v, Batch& batch) {
  const TensorView &a = v[kA], &b = v[kB], &c = v[kC], &bias = v[kBias];
  GemmProblem p;
  p.m = rows(c);
  p.n = columns(c);
  p.k = columns(a);
  p.dtype = a.dtype;
  p.a.data = a.data;
  p.a.lane_stride = a.stride[a.ndim - 2];
  p.a.k_stride = a.stride[a.ndim - 1];
  p.b.data = b.data;
  p.b.lane_stride = b.stride[b.ndim - 1];
  p.b.k_stride = b.stride[b.ndim - 2];
  p.c = {c.data, c.dtype, c.stride[c.ndim - 2], c.stride[c.ndim - 1]};
  if (bias) {
    const bool by_row = bias.ndim >= 2 && rows(bias) != 1;
    const int64_t stride = by_row                            ? bias.stride[bias.ndim - 2]
                           : bias.ndim && columns(bias) != 1 ? bias.stride[bias.ndim - 1]
                                                             : 0;
    (by_row ? p.bias_m : p.bias_n) = {bias.data, bias.dtype, stride};
  }
  p.alpha = params.alpha;
  p.beta = params.beta;
  p.activation = params.activation;
  collect(v, batch);
  fold_into_rows(v, batch, p);
  p.a_same = p.b_same = true;
  for (int d = 0; d < batch.axes; ++d) {
    p.batch *= batch.shape[d];
    p.a_same = p.a_same && batch.stride[kA][d] == 0;
    p.b_same = p.b_same && batch.stride[kB][d] == 0;
  }
  if (p.batch > 1) {
    p.locate = locate;
    p.locate_context = &batch;
  }
  return p;
}

size_t workspace(const GemmParams& params, const TensorView* views) {
  if (active_isa() == Isa::reference) return 0;
  Batch batch;
  return gemm_workspace(make_problem(params, views, batch));
}

void run(const GemmParams& params, const TensorView* views, void* space) {
  if (active_isa() == Isa::reference) return gemm_reference(params, views);
  Batch batch;
  gemm_run(make_problem(params, views, batch), space);
}

}  // namespace

const Op<GemmParams> gemm_forward{"gemm", check, workspace, run};

}  // namespace fastnn
