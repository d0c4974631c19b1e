// How a product is cut: blocks, tasks, who packs what. A function of shape, strides, dtype,
// instruction set level and number of workers; how sums are cut is not one of the last.
#pragma once

#include "cpu/gemm_core.h"

namespace fastnn {

// direct: read where it is; own: packed by each task into its worker's scratch; shared: packed once
// for all tasks.
enum class GemmMode : uint8_t { direct, own, shared };

struct GemmPlan {
  const GemmFamily* family;
  int64_t elem;  // bytes of a packed value
  int64_t sum;   // bytes of the type of accumulation
  GemmMode a, b;
  int64_t far;  // B is read where it lies, in memory: pieces of the next that a tile asks for
  bool strips;  // nothing is packed: all rows pass some columns of B, then the next
  bool staged;  // the output needs GemmFamily::finish: other dtype, other strides, an activation
  bool vector;  // one row times a matrix: no tiles
  bool serial_batches;  // one batch after the other (large ones), each cut into tasks
  int64_t kc,
      k_blocks;  // the block of K that a tile sums in registers; blocks in K or in a segment
  int64_t k_span, n_span;   // K and N per pass over the output, where a shared B is too large to be
                            // packed at once
  int64_t mb, nb;           // block of the output that is a task
  int64_t segments, seg_k;  // K cut into segments with partial sums of their own
  // Workspace: offsets in bytes, and sizes.
  int64_t shared_a, shared_b, partial, scratch, scratch_each;
  int64_t scratch_b, scratch_stage, scratch_bias;  // within a worker's scratch, after A's panel
  int64_t scratch_floats;  // a packer's panel, for families that make their own of it
  int64_t total;
};

// `p` with rows and columns exchanged where that makes the output's columns adjacent.
bool gemm_wants_swap(const GemmProblem& p);
GemmPlan make_gemm_plan(const GemmProblem& p);

// Tiles of a matrix unit multiply many times as fast as caches deliver.
inline bool is_tiled(const GemmFamily& f) { return f.speed > 1; }

// Cuts values into parts, several for each, as it packs them.
inline bool cuts_values(const GemmFamily& f) { return f.header > 0; }

// Bytes of a packed panel of so many lanes.
inline int64_t panel_bytes(const GemmPlan& plan, int lanes) {
  return lanes * plan.kc * plan.elem + plan.family->header;
}

constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
constexpr int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }

}  // namespace fastnn
