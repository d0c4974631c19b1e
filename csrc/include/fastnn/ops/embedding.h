// Rows of a table: gathered, summed in bags, and the gradient of the table.
//
// An index outside of [0, rows of the table) is an index error, before anything is written.
#pragma once

#include "fastnn/op.h"

namespace fastnn {

// out[i] = table[index[i]]
struct EmbeddingParams {};
// Views: 0 table [V, D], any floating-point dtype, rows contiguous (any row stride); 1 index int64
// [N] contiguous; 2 out [N, D] contiguous.
extern const Op<EmbeddingParams> embedding_forward;

enum class BagMode { sum, mean, max };

// Bag b holds the positions from offsets[b] to offsets[b + 1] (the last one: to N). Positions with
// the index `padding` (-1: none) do not count. An empty bag gives 0.
struct BagParams {
  BagMode mode;
  int64_t padding;
};
// Views: 0 table [V, D] float32 or float64, rows contiguous; 1 index int64 [N]; 2 offsets int64
// [B], ascending from 0; 3 scale [N] of the table's dtype, or null (not for max); 4 out [B, D]; 5
// for max: int64 [B, D], the positions of the maxima (the first of equals; -1 in an empty bag). All
// contiguous.
extern const Op<BagParams> embedding_bag_forward;

// table_grad[v] = sum over the positions i with index[i] == v of scale[i] dy[source[i]], divided by
// their number with by_frequency; 0 for v == padding. The sum is in the order of positions, with
// subtotals in double: the same for every thread count.
struct EmbeddingGradParams {
  int64_t padding;  // -1: none
  bool by_frequency;
};
// Views: 0 dy [M, D] float32 or float64, rows contiguous; 1 index int64 [N]; 2 source int64 [N], or
// null (M = N, source i = i); 3 scale [N], or null; 4 table_grad [V, D], written as a whole. All
// but dy contiguous.
extern const Op<EmbeddingGradParams> embedding_backward;

}  // namespace fastnn
