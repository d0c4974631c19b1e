#include "cpu/reduce_plan.h"

#include <algorithm>
#include <cstdlib>

namespace fastnn {

namespace {

constexpr int64_t kTaskElements = 32768;
constexpr int64_t kMaxColumns = 512;  // whose accumulators stay in L1
constexpr int64_t kMaxParts = 64;
constexpr int64_t kLongRun =
    64;  // shorter runs along the reduced axes are worth folding as columns

struct Axis {
  int64_t size, stride;
  int original;
};

// Sorts by stride and merges neighbours; returns how many are left (at least 1).
int arrange(Axis* axes, int n, int64_t* shape, int64_t* stride) {
  int out = 0;
  for (int i = 0; i < n; ++i) {
    if (out && stride[out - 1] == axes[i].stride * axes[i].size) {
      shape[out - 1] *= axes[i].size;
      stride[out - 1] = axes[i].stride;
    } else {
      shape[out] = axes[i].size;
      stride[out++] = axes[i].stride;
    }
  }
  if (!out) {
    shape[0] = 1;
    stride[0] = 0;
    out = 1;
  }
  return out;
}

int64_t parts(int64_t elements, int64_t tasks) {
  return std::clamp<int64_t>((elements + kTaskElements - 1) / kTaskElements, 1,
                             std::max<int64_t>(1, kMaxParts / tasks));
}

}  // namespace

ReducePlan plan_reduction(const TensorView& x, uint32_t axes) {
  ReducePlan p;
  Axis kept[kMaxDims], reduced[kMaxDims];
  int nk = 0, nr = 0;
  p.outputs = p.count = 1;
  for (int d = 0; d < x.ndim; ++d) {
    p.output_stride[d] = 0;
    const bool reduces = axes >> d & 1;
    (reduces ? p.count : p.outputs) *= x.shape[d];
    if (x.shape[d] == 1) continue;
    (reduces ? reduced[nr++] : kept[nk++]) = Axis{x.shape[d], x.stride[d], d};
  }
  const auto outside = [](const Axis& a, const Axis& b) {
    return std::llabs(a.stride) > std::llabs(b.stride);
  };
  std::stable_sort(kept, kept + nk, outside);
  std::stable_sort(reduced, reduced + nr, outside);
  int64_t step = 1;
  for (int i = nk - 1; i >= 0; --i) {
    p.output_stride[kept[i].original] = step;
    step *= kept[i].size;
  }
  p.kept = arrange(kept, nk, p.kept_shape, p.kept_stride);
  p.reduced = arrange(reduced, nr, p.reduced_shape, p.reduced_stride);

  const int64_t columns = p.kept_shape[p.kept - 1],
                column_stride = std::llabs(p.kept_stride[p.kept - 1]);
  const int64_t run = p.reduced_shape[p.reduced - 1],
                run_stride = std::llabs(p.reduced_stride[p.reduced - 1]);
  const bool runs_inside = run_stride < column_stride || columns == 1;
  p.by_columns = columns > 1 && !(runs_inside && (run >= kLongRun || columns < 8));
  p.tile = p.by_columns ? std::min(columns, kMaxColumns) : 1;
  p.tiles = p.by_columns ? (columns + p.tile - 1) / p.tile : columns;
  p.outer = columns ? p.outputs / columns : 0;
  p.splits = std::min(parts(p.count * p.tile, std::max<int64_t>(1, p.tiles * p.outer)),
                      std::max<int64_t>(1, p.count));
  p.grouped = std::max<int64_t>(1, kTaskElements / std::max<int64_t>(1, p.count * p.tile));
  return p;
}

}  // namespace fastnn
