// Matrix products on views: batch axes, which operand is which, the path.
#include <algorithm>

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
  int tile;
  TileShape shape;
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
  p.tile = tile_size(p.m, p.n, a.dtype);
  p.shape = tile_shape(p.m, p.n, p.k, p.batches, p.tile);
  return p;
}

template <class T>
DenseOperand<T> operand(const TensorView& v, bool lanes_are_rows) {
  const int64_t lane = stride_from_end(v, lanes_are_rows ? 2 : 1),
                k = stride_from_end(v, lanes_are_rows ? 1 : 2);
  return {v.ptr<const T>(), lane, k, std::llabs(k) < std::llabs(lane)};
}

void check(const GemmParams& params, const TensorView* v) {
  fastnn::gemm_forward.check(params, v);
  const Problem p = make_problem(params, v);
  if (std::max({p.m, p.n, p.k}) >= int64_t{1} << 30 || p.m > 65535 * int64_t{p.tile} ||
      p.batches * p.shape.splits > 65535)
    fail(ErrorKind::unsupported, "matmul: sizes ", p.m, " x ", p.n, " x ", p.k, " in ", p.batches,
         " batches are more than one launch takes on CUDA; cut them into parts");
}

size_t workspace(const GemmParams& params, const TensorView* v) {
  const Problem p = make_problem(params, v);
  return v[kA].dtype == DType::f64 ? split_bytes<double>(p.shape, p.batches)
                                   : split_bytes<float>(p.shape, p.batches);
}

void run(const GemmParams& params, const TensorView* v, void* scratch, Stream stream) {
  if (v[kC].numel() == 0) return;
  const Problem p = make_problem(params, v);
  with_float_type(v[kA].dtype, [&](auto tag) {
    using T = decltype(tag);
    const auto a = operand<T>(v[p.swapped ? kB : kA], !p.swapped);
    const auto b = operand<T>(v[p.swapped ? kA : kB], p.swapped);
    launch_tiles("gemm", a, b, p.shape, p.batch, p.batches, p.out, p.tile, scratch, stream);
  });
}

}  // namespace

const Op<GemmParams> gemm_forward{"gemm", check, workspace, run};

}  // namespace fastnn::cuda
