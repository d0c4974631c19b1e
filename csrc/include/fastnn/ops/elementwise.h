// Elementwise maps: out[i] = f(in0[i], in1[i], in2[i]; p0, p1, p2), with broadcasting, any strides
// and any dtypes.
//
// Views: out, then the inputs of the op (arity of them). Inputs broadcast to the shape of out,
// aligned at the last axis; a 0-d input is a scalar. Every input is read as `compute` (float32,
// float64 or int64), and the result is rounded or truncated once to the dtype of out; tests (see
// below) write bool. Aliasing: out may be an input exactly (same memory, shape, strides and dtype);
// an input that overlaps out in any other way is read from a temporary copy. out must not overlap
// itself. Integers wrap. NaN, infinities, denormals and signed zeros are IEEE's; minimum, maximum
// and clamp propagate NaN.
#pragma once

#include "fastnn/op.h"
#include "fastnn/ops/map_list.h"

namespace fastnn {

// How the result's dtype follows from the inputs' promoted dtype.
enum class MapKind : uint8_t {
  arithmetic,  // the promoted dtype
  real,        // integers become float32
  test,        // bool
  choice,      // as arithmetic, of all inputs but the first (where)
};

enum class MapOp : uint8_t {
#define FASTNN_X(name, arity, kind, params) name,
  FASTNN_MAP_OPS(FASTNN_X)
#undef FASTNN_X
      count
};

struct MapInfo {
  const char* name;
  int arity;
  MapKind kind;
  int params;
};

constexpr MapInfo kMapInfo[] = {
#define FASTNN_X(name, arity, kind, params) {#name, arity, MapKind::kind, params},
    FASTNN_MAP_OPS(FASTNN_X)
#undef FASTNN_X
};

constexpr int kMaxMapInputs = 3;
constexpr int kMaxMapParams = 3;

struct ElementwiseParams {
  MapOp op;
  DType compute;  // float32, float64 or int64
  double p[kMaxMapParams] = {};
};

extern const Op<ElementwiseParams> elementwise;

// True when the op has a kernel for integers; else they are computed in float32.
bool map_has_integers(MapOp op);
// The type in which an op of this result dtype computes.
inline DType compute_type(DType t) {
  if (t == DType::f64) return DType::f64;
  return is_float(t) ? DType::f32 : DType::i64;
}

// PyTorch's promotion of two dtypes of one category of operands.
DType promote(DType a, DType b);

}  // namespace fastnn
