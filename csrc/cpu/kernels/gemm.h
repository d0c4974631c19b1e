// The micro-kernels of the matrix product, one table for each instruction set level.
//
// An element type is served by a family. Packed operands are cut into panels: panel[k][lane], where
// the lanes are `mr` rows of A (stored `a_panel` apart) or `nr` columns of B; missing lanes are 0.
// Panels of the families for bfloat16 and for floats cut into parts are as their pack_a and pack_b
// leave them.
#pragma once

#include "cpu/kernels/isa_table.h"
#include "fastnn/activation.h"
#include "fastnn/dtype.h"

namespace fastnn {

struct GemmFinish;

// One register tile: c = alpha * A B + beta * src + bias, for m <= mr rows and n <= nr columns.
// Pointers are to the type of accumulation T, except a and b in these.
struct GemmTile {
  const void* a;
  int64_t a_row, a_k;  // strides of A; read by `direct` only, and see GemmFamily::row_group
  const void* b;
  int64_t b_k;  // stride of B along k; columns are adjacent
  int64_t k;
  // Memory that is needed soon: fetched into the second-level cache as the sum goes on, in pieces
  // of kAheadBytes with every kAheadStep values of k. A hint, not taken at every level. `packed`
  // takes one piece and goes on `ahead_step` bytes; `direct`, which may be given null, takes
  // `ahead_pieces`, going on along `ahead_left` pieces, then `ahead_step` bytes behind their end
  // along the next `ahead_run`.
  static constexpr int kAheadStep = 8, kAheadBytes = 256;
  const void* ahead;
  int64_t ahead_step, ahead_pieces, ahead_left, ahead_run;
  // Values of k up to which two tiles' columns of B, not packed, fit the first-level cache.
  static constexpr int64_t kFarDepth = 128;
  // `direct`: whether to ask for the rows of A below the tile; and for more rows than a tile has,
  // whether all of them pass some columns of B before the next columns, or each tile's pass all.
  bool below, strips;
  // A whole tile that was summed before, for adjacent columns of bfloat16 and without an
  // activation, or null: `packed` stores all its rows meanwhile and sets its m to 0, or none. Where
  // the family says so.
  GemmFinish* behind;
  // Where such a tile's own rows will be stored, `place_row` bytes apart, or null.
  const void* place;
  int64_t place_row;
  void* c;
  int64_t c_row;  // columns of c and src are adjacent
  const void* src;
  int64_t src_row;
  int m, n;
  double alpha, beta;  // src is not read when beta is 0
  const void* bias_n;  // n values, or null
  const void* bias_m;  // m values, or null
  Rectifier rectifier;
};

// A panel from a matrix in memory: dst[k][lane] = src[lane * lane_stride + k * k_stride].
struct GemmPack {
  void* dst;
  int panel;  // lanes of the panel; those from `width` on become 0
  const void* src;
  DType dtype;
  int64_t lane_stride, k_stride;
  int width;
  int64_t k;
};

// The last step for an output that a tile cannot be written to directly (other dtype, other
// strides, an activation): the tile t[m][n], rows `row` apart, is activated in place and stored.
struct GemmFinish {
  void* tile;
  int64_t tile_row;
  int m, n;
  Activation activation;
  void* out;
  DType dtype;
  int64_t out_row, out_col;
};

// dst[i] = partial[0][i] + partial[1][i] + ..., in this order, partials `stride` apart.
struct GemmSum {
  void* dst;
  const void* partial;
  int64_t stride, count, n;
};

// y[i][j] = sum over k of x[i][k] * b[k * k_stride + j * lane_stride], one of the strides being 1.
// More than one row of x only where that is k_stride.
struct GemmVector {
  const void* x;
  const void* b;
  int64_t lane_stride, k_stride, k, n;
  void* y;
  int64_t m, x_row, y_row;  // rows of x and y, and how far apart
};

struct GemmFamily {
  int mr, nr, a_panel;
  int elem;      // bytes of a packed value
  int header;    // and at the front of a packed panel, where the family keeps notes
  int depth;     // the most k that a tile sums at a time; 0: as a panel of A fits the first level
  int quarters;  // of the second-level cache, which a task's columns of B may take
  int k_step;    // packed operands are filled up with zeros to a multiple of so many k
  int speed;     // of multiply-adds, next to the float family: how large a task should be
  bool asks;     // takes GemmTile::ahead when packed
  bool stores_behind;
  // Not 0: `packed` also takes rows of A where they are, `a_row` apart (packed: 1), if they are a
  // multiple of so many, with k adjacent and in whole steps.
  int row_group;
  // Around all calls of `packed` of a task: a state of the registers that a thread has to set.
  void (*enter)();
  void (*leave)();
  void (*packed)(const GemmTile&);  // A packed (rows a_panel apart along k), B packed
  void (*direct)(const GemmTile&);  // A and B each in memory as they are, or packed; or null
  void (*pack_a)(const GemmPack&);
  void (*pack_b)(const GemmPack&);
  void (*pack)(const GemmPack&);  // as panel[k][lane] of the type of accumulation
  void (*finish)(const GemmFinish&);
  void (*sum)(const GemmSum&);
  void (*vector)(const GemmVector&);  // or null
};

struct GemmKernels {
  const GemmFamily* f32;  // also for bfloat16 and float16, widened while packing
  const GemmFamily* f64;
};

FASTNN_KERNELS(GemmKernels, gemm_kernels)
FASTNN_KERNELS_BF16(GemmFamily, gemm_bf16_family)

// Floats as three bfloat16 each; only where a matrix unit multiplies these, else null.
FASTNN_KERNELS_BF16(GemmFamily, gemm_split_family)

}  // namespace fastnn
