// Matrix products on views: batch axes, which operand is which, the path.
#include <algorithm>

#include "common/mma_gemm.h"
#include "common/tile_gemm.h"
#include "fastnn/ops/gemm.h"
#include "ops.h"

namespace fastnn::cuda {

namespace {

enum { kA, kB, kC, kBias, kViews };

struct Problem {
  const TensorView* v;
  bool swapped;  // c is column-major: its transpose is computed, b' a'
  int64_t m, n, k, batches;
  Batch batch;
  Epilogue out;
  Cut cut;
};

int64_t stride_from_end(const TensorView& v, int axis) {  // 1: columns, 2: rows
  const int d = v.ndim - axis;
  return v && d >= 0 && v.shape[d] != 1 ? v.stride[d] : 0;
}

// The stride of v along axis d of c; 0 where v is broadcast.
int64_t stride_on(const TensorView& v, const TensorView& c, int d) {
  const int own = d - (c.ndim - v.ndim);
  return v && own >= 0 && v.shape[own] != 1 ? v.stride[own] : 0;
}

Problem make_problem(const GemmParams& params, const TensorView* v) {
  const TensorView &a = v[kA], &b = v[kB], &c = v[kC], &bias = v[kBias];
  Problem p{};
  p.v = v;
  const int64_t rows = c.shape[c.ndim - 2], columns = c.shape[c.ndim - 1];
  const int64_t row_stride = stride_from_end(c, 2), column_stride = stride_from_end(c, 1);
  p.swapped = columns == 1 || (rows > 1 && std::llabs(row_stride) < std::llabs(column_stride));
  p.m = p.swapped ? columns : rows;
  p.n = p.swapped ? rows : columns;
  p.k = a.shape[a.ndim - 1];
  p.batches = 1;
  for (int d = c.ndim - 3; d >= 0; --d) {
    if (c.shape[d] == 1) continue;
    const int i = p.batch.axes++;
    p.batch.shape[i] = FastDiv(std::max<int64_t>(1, c.shape[d]));
    p.batch.a[i] = stride_on(p.swapped ? b : a, c, d);
    p.batch.b[i] = stride_on(p.swapped ? a : b, c, d);
    p.batch.c[i] = c.stride[d];
    p.batch.bias[i] = stride_on(bias, c, d);
    p.batches *= c.shape[d];
  }
  Epilogue& out = p.out;
  out.c = c.data;
  out.dtype = c.dtype;
  out.row_stride = p.swapped ? column_stride : row_stride;
  out.columns.stride[0] = p.swapped ? row_stride : column_stride;
  out.bias = bias.data;
  out.bias_dtype = bias.dtype;
  out.bias_m = stride_from_end(bias, p.swapped ? 1 : 2);
  out.bias_n = stride_from_end(bias, p.swapped ? 2 : 1);
  out.alpha = params.alpha;
  out.beta = params.beta;
  out.activation = params.activation;
  p.cut = cut_product(p.m, p.n, p.k, p.batches, a.dtype);
  return p;
}

template <class T>
DenseOperand<T> operand(const TensorView& v, bool lanes_are_rows) {
  const int64_t lane = stride_from_end(v, lanes_are_rows ? 2 : 1),
                k = stride_from_end(v, lanes_are_rows ? 1 : 2);
  return {v.ptr<const T>(), lane, k, std::llabs(k) < std::llabs(lane)};
}

// For tensor cores. Whole chunks are copied where every chunk of every batch is aligned; where not,
// element by element to the same places: the same bits either way.
template <class T, class Body>
void with_chunks(const DenseOperand<T>& o, int64_t lanes, int64_t k, const Batch& batch,
                 const int64_t* batch_stride, Body body) {
  const bool k_whole = o.k_stride == 1 || k == 1, lanes_whole = o.lane_stride == 1 || lanes == 1;
  const bool k_fast = k_whole != lanes_whole ? k_whole : k_whole ? k >= lanes : o.k_fast;
  int64_t gaps = k_fast ? o.lane_stride : o.k_stride;
  for (int d = 0; d < batch.axes; ++d) gaps |= batch_stride[d];
  const bool whole = (k_fast ? k_whole : lanes_whole) && gaps % kChunk == 0 &&
                     reinterpret_cast<uintptr_t>(o.data) % 16 == 0;
  if (k_fast)
    body(DenseChunks<T, true>{o.data, o.lane_stride, o.k_stride, whole});
  else
    body(DenseChunks<T, false>{o.data, o.lane_stride, o.k_stride, whole});
}

void check(const GemmParams& params, const TensorView* v) {
  const Problem p = make_problem(params, v);
  if (too_large(p.cut, p.m, p.n, p.k, p.batches))
    fail(ErrorKind::unsupported, "matmul: sizes ", p.m, " x ", p.n, " x ", p.k, " in ", p.batches,
         " batches are more than one launch takes on CUDA; cut them into parts");
}

size_t workspace(const GemmParams& params, const TensorView* v) {
  const Problem p = make_problem(params, v);
  return split_bytes(p.cut.shape, p.batches, v[kA].dtype);
}

void run(const GemmParams& params, const TensorView* v, void* scratch, Stream stream) {
  if (v[kC].numel() == 0) return;
  const Problem p = make_problem(params, v);
  with_float_type(v[kA].dtype, [&](auto tag) {
    using T = decltype(tag);
    const auto a = operand<T>(v[p.swapped ? kB : kA], !p.swapped);
    const auto b = operand<T>(v[p.swapped ? kA : kB], p.swapped);
    if constexpr (sizeof(T) == 2)
      with_chunks(a, p.m, p.k, p.batch, p.batch.a, [&](const auto& chunks_a) {
        with_chunks(b, p.n, p.k, p.batch, p.batch.b, [&](const auto& chunks_b) {
          launch_mma_gemm("gemm", chunks_a, chunks_b, p.cut, p.batch, p.batches, p.out, scratch,
                          stream);
        });
      });
    else
      launch_tile_gemm("gemm", a, b, p.cut, p.batch, p.batches, p.out, scratch, stream);
  });
}

}  // namespace

const Op<GemmParams> gemm_forward{"gemm", check, workspace, run};

}  // namespace fastnn::cuda
