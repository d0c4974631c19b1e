// Views: windows on a tensor's memory that remember how they were made.
#pragma once

#include "bindings/node.h"

namespace fastnn {

enum class ViewKind : int {
  view,
  alias,
  permute,
  transpose,
  squeeze,
  unsqueeze,
  expand,
  select,
  slice,
  diagonal,
  count
};

// How the elements of a view stand in those of its input. A `view` has the sizes of another shape;
// every other kind has for each of its axes the input's axis it walks along.
struct ViewPlan {
  ViewKind kind;
  int in_ndim, out_ndim;
  int64_t in_shape[kMaxDims];
  int64_t start[kMaxDims];  // where the window begins on each axis of the input
  int64_t size[kMaxDims];
  int64_t step[kMaxDims];
  int64_t source[kMaxDims];  // the input's axis; -1: a new axis
  int64_t second[kMaxDims];  // walked along at the same time (diagonals); -1: none

  // Of a tensor, with no axis yet.
  ViewPlan(ViewKind kind, py::handle tensor, const char* op);
  ViewPlan() = default;

  void add_axis(int64_t from, int64_t n, int64_t each = 1, int64_t also = -1) {
    source[out_ndim] = from;
    size[out_ndim] = n;
    step[out_ndim] = each;
    second[out_ndim++] = also;
  }
  void keep_axis(int d) { add_axis(d, in_shape[d]); }
};

// The view of x, recorded where needed. Null for a `view` whose elements do not lie that way.
py::object make_view(py::handle x, const ViewPlan& plan);

// The same window on plain memory; not for a `view`.
TensorView window_of(const TensorView& of, const ViewPlan& plan);

// As make_view, and a copy in its place where there is no view.
py::object make_reshape(py::handle x, const ViewPlan& plan);

}  // namespace fastnn
