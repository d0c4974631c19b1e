// The blocked matrix product that GEMM, convolution, recurrence and attention build on.
//
// How to use: fill a GemmProblem, ask gemm_workspace() for the scratch bytes, call gemm_run().
//
//   GemmProblem p;
//   p.m = pixels; p.n = channels_out; p.k = channels_in * kh * kw; p.dtype = DType::f32;
//   p.a.pack = pack_image; p.a.context = &geometry;      // implicit im2col: a packer fills panels
//   p.b.data = weight; p.b.lane_stride = p.k; p.b.k_stride = 1;  // or a strided matrix in memory
//   p.c = {out, DType::f32, channels_out, 1};
//
// - An operand is M rows of A or N columns of B, called lanes, of K values each. It is a matrix in
// memory with any
//   strides, or a packer: a function that fills the panel of some lanes and some k (see GemmPanel).
// - `share` says which operand is worth packing once for all tasks, because every task needs all of
// it (weights); the
//   other is packed by the task that uses it, into scratch that stays in that core's cache.
//   `automatic`: by shape.
// - Batches: with batch > 1, `locate` gives the pointers of one batch; packers are told its number.
// a_same / b_same: the
//   operand is the same for all batches.
// - Results do not depend on the number of threads.
#pragma once

#include "cpu/kernels/gemm.h"
#include "fastnn/dtype.h"
#include "fastnn/ops/gemm.h"

namespace fastnn {

// What a packer is asked for: dst[(k - k0) * panel + (lane - lane0)] for lanes [lane0, lane0 +
// width) and k in [k0, k0 + k_count), of type float (double in a float64 problem). Entries from
// `width` to `panel` must be set to 0. dst is 64-byte aligned and panel is a multiple of the vector
// length.
struct GemmPanel {
  void* dst;
  int panel, width;
  int64_t batch, lane0, k0, k_count;
};

struct GemmOperand {
  const void* data = nullptr;
  int64_t lane_stride = 0, k_stride = 0;
  void (*pack)(const void* context, const GemmPanel&) = nullptr;  // instead of data
  const void* context = nullptr;
  // Where a packer reads lane and k, so that it can be fetched early, or be packed from there:
  // lanes are lane_stride apart, and some hundreds of values of k are adjacent, `run` from this one
  // on.
  const void* (*source)(const void* context, int64_t lane, int64_t k, int64_t* run) = nullptr;
};

struct GemmOutput {
  void* data = nullptr;
  DType dtype = DType::f32;
  int64_t row = 0, col = 0;  // strides
  // For columns without one stride: the offset of a column, and in `run` how many columns from
  // there on are `col` apart. Not together with beta or batches.
  int64_t (*place)(const void* context, int64_t column, int64_t* run) = nullptr;
  const void* place_context = nullptr;
};

struct GemmBias {
  const void* data = nullptr;  // absent when null
  DType dtype = DType::f32;
  int64_t stride = 0;
};

struct GemmPointers {
  const void* a;
  const void* b;
  void* c;
  const void* bias_m;
  const void* bias_n;
};

enum class GemmShare { automatic, a, b };

struct GemmProblem {
  int64_t m = 0, n = 0, k = 0, batch = 1;
  DType dtype =
      DType::f32;  // of a and b in memory; float64 accumulates in double, the others in float
  GemmOperand a, b;
  GemmOutput c;
  GemmBias bias_m, bias_n;  // added to rows, to columns
  double alpha = 1, beta = 0;
  Activation activation = Activation::none;
  GemmShare share = GemmShare::automatic;
  // At most so many products are added up one after the other; 0: as many as is quickest. Sums over
  // thousands of pixels want less.
  int64_t run_limit = 0;
  // See gemm_pays_split(): more where operands come from far away, or by packers.
  static constexpr int64_t kCuttingPacked = 40;
  int64_t cutting = 20;
  bool a_same = false, b_same = false;
  // Sets the pointers of one batch; those that are not set keep the value of the fields above.
  void (*locate)(const void* context, int64_t batch, GemmPointers&) = nullptr;
  const void* locate_context = nullptr;
};

// Whether there is a matrix unit for floats cut into parts, and it pays also beside a busy thread
// of the same core: a product of whole tiles then takes two thirds of its time in vectors, and
// cutting a value as long as `cutting` products, storing a sum as long as sixteen.
bool gemm_pays_split(int64_t m, int64_t n, int64_t k, int64_t cutting);

size_t gemm_workspace(const GemmProblem&);
void gemm_run(const GemmProblem&,
              void* workspace);  // throws nothing, allocates nothing; nests in parallel_for

// The kernels of the active level for operands of this dtype (panel sizes for packers that want to
// know).
const GemmFamily& gemm_family(DType dtype);

}  // namespace fastnn
