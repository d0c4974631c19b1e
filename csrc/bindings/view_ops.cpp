// The functions that make views: their arguments, checked as PyTorch checks them.
#include <algorithm>

#include "bindings/fast_function.h"
#include "bindings/view.h"

namespace fastnn {

namespace {

// ---- arguments ----------------------------------------------------------------------------------

int64_t int_arg(py::handle value, const char* op, const char* what) {
  if (PyLong_CheckExact(value.ptr()) || PyIndex_Check(value.ptr())) {
    const Py_ssize_t v = PyNumber_AsSsize_t(value.ptr(), PyExc_OverflowError);
    if (v == -1 && PyErr_Occurred()) throw py::error_already_set();
    return v;
  }
  throw py::type_error(cat(op, ": ", what, " must be an int, got ", Py_TYPE(value.ptr())->tp_name));
}

// Counted from the end made counted from the start.
int dim_arg(py::handle value, int ndim, const char* op, const char* what = "dim") {
  const int64_t d = int_arg(value, op, what), n = std::max(ndim, 1);
  if (d < -n || d >= n)
    fail(ErrorKind::index, op, ": Dimension out of range (expected to be in range of [", -n, ", ",
         n - 1, "], but got ", d, ")");
  return static_cast<int>(d < 0 ? d + n : d);
}

struct Ints {
  int count = 0;
  int64_t value[kMaxDims];
};

// f(x, 2, 3) and f(x, (2, 3)) alike: the arguments from the second on.
Ints ints_arg(const CallArgs& call, const char* name) {
  if (call.count < 1) throw py::type_error(cat(call.function, "() needs a tensor"));
  if (call.keywords)
    throw py::type_error(
        cat(call.function, "() takes no keyword arguments; pass ", name, " by position"));
  PyObject* const* items = call.values + 1;
  Py_ssize_t count = call.count - 1;
  py::object sequence;
  if (count == 1 && !PyLong_CheckExact(items[0]) && !PyIndex_Check(items[0])) {
    sequence = py::reinterpret_steal<py::object>(PySequence_Fast(items[0], ""));
    if (!sequence) {
      PyErr_Clear();
      throw py::type_error(cat(call.function, ": ", name, " must be ints, got ",
                               py::repr(items[0]).cast<std::string>()));
    }
    items = PySequence_Fast_ITEMS(sequence.ptr());
    count = PySequence_Fast_GET_SIZE(sequence.ptr());
  }
  if (count > kMaxDims)
    fail(ErrorKind::runtime, call.function, ": at most ", kMaxDims,
         " dimensions are supported, got ", count);
  Ints out;
  for (; out.count < count; ++out.count)
    out.value[out.count] = int_arg(items[out.count], call.function, name);
  return out;
}

std::string list_text(const int64_t* values, int n) {
  std::string s = "[";
  for (int i = 0; i < n; ++i) s += (i ? ", " : "") + std::to_string(values[i]);
  return s + "]";
}

int64_t product(const int64_t* values, int n, const char* op) {
  int64_t p = 1;
  for (int i = 0; i < n; ++i) p = checked_mul(p, values[i], op);
  return p;
}

// ---- shapes -------------------------------------------------------------------------------------

// The sizes with -1 worked out, for `numel` elements.
void infer(Ints& shape, int64_t numel, const char* op) {
  int unknown = -1;
  int64_t known = 1;
  for (int d = 0; d < shape.count; ++d) {
    if (shape.value[d] < -1)
      fail(ErrorKind::runtime, op, ": invalid shape dimension ",
           *std::min_element(shape.value, shape.value + shape.count));
    if (shape.value[d] >= 0) {
      known = checked_mul(known, shape.value[d], op);
    } else if (unknown >= 0) {
      fail(ErrorKind::runtime, op, ": only one dimension can be inferred");
    } else {
      unknown = d;
    }
  }
  if (unknown >= 0 && known == 0)
    fail(ErrorKind::runtime, op, ": cannot reshape tensor of 0 elements into shape ",
         list_text(shape.value, shape.count),
         " because the unspecified dimension size -1 can be any value and is ambiguous");
  if (unknown >= 0 ? numel % known : known != numel)
    fail(ErrorKind::shape, op, ": shape '", list_text(shape.value, shape.count),
         "' is invalid for input of size ", numel);
  if (unknown >= 0) shape.value[unknown] = numel / known;
}

ViewPlan shape_plan(py::handle x, Ints shape, const char* op) {
  ViewPlan plan(ViewKind::view, x, op);
  infer(shape, product(plan.in_shape, plan.in_ndim, op), op);
  for (int d = 0; d < shape.count; ++d) plan.add_axis(-1, shape.value[d]);
  return plan;
}

py::object viewed(py::handle x, const ViewPlan& plan) {
  py::object out = make_view(x, plan);
  if (!out)
    fail(ErrorKind::runtime,
         "view size is not compatible with input tensor's size and stride (at least one dimension "
         "spans across two contiguous subspaces). Use .reshape(...) instead.");
  return out;
}

py::object view(int, const CallArgs& call) {
  // view(dtype): the same bytes as another dtype.
  if (call.count == 2 && !PyIndex_Check(call.values[1]) && !PyTuple_Check(call.values[1]) &&
      py::hasattr(call.values[1], "numpy") && !is_tensor(call.values[1]))
    return wrap_array(py::handle(tensor_arg(call.values[0], "view", "input")->data)
                          .attr("view")(py::handle(call.values[1]).attr("numpy")));
  const Ints shape = ints_arg(call, "sizes");
  return viewed(call.values[0], shape_plan(call.values[0], shape, "view"));
}

py::object reshape(int, const CallArgs& call) {
  const Ints shape = ints_arg(call, "sizes");
  return make_reshape(call.values[0], shape_plan(call.values[0], shape, "reshape"));
}

py::object flatten(int, const CallArgs& call) {
  static constexpr const char* kNames[] = {"input", "start_dim", "end_dim"};
  py::handle args[3];
  call.unpack(kNames, 1, 3, args);
  ViewPlan plan(ViewKind::view, args[0], "flatten");
  const int n = plan.in_ndim;
  const int start = args[1] ? dim_arg(args[1], n, "flatten") : 0;
  const int end = args[2] ? dim_arg(args[2], n, "flatten") : std::max(n, 1) - 1;
  if (start > end)
    fail(ErrorKind::runtime, "flatten() has invalid args: start_dim cannot come after end_dim");
  if (n && start == end) return py::reinterpret_borrow<py::object>(args[0]);
  for (int d = 0; d < start; ++d) plan.add_axis(-1, plan.in_shape[d]);
  plan.add_axis(-1, n ? product(plan.in_shape + start, end + 1 - start, "flatten") : 1);
  for (int d = end + 1; d < n; ++d) plan.add_axis(-1, plan.in_shape[d]);
  return make_reshape(args[0], plan);
}

py::object unflatten(int, const CallArgs& call) {
  static constexpr const char* kNames[] = {"input", "dim", "sizes"};
  py::handle args[3];
  call.unpack(kNames, 3, 3, args);
  ViewPlan plan(ViewKind::view, args[0], "unflatten");
  const int dim = dim_arg(args[1], plan.in_ndim, "unflatten");
  PyObject* const pair[] = {args[0].ptr(), args[2].ptr()};
  Ints sizes = ints_arg({call.function, pair, 2, nullptr}, "sizes");
  if (sizes.count + plan.in_ndim > kMaxDims)
    fail(ErrorKind::runtime, "unflatten: at most ", kMaxDims, " dimensions are supported");
  infer(sizes, plan.in_ndim ? plan.in_shape[dim] : 1, "unflatten");
  for (int d = 0; d < dim; ++d) plan.add_axis(-1, plan.in_shape[d]);
  for (int i = 0; i < sizes.count; ++i) plan.add_axis(-1, sizes.value[i]);
  for (int d = dim + 1; d < plan.in_ndim; ++d) plan.add_axis(-1, plan.in_shape[d]);
  return viewed(args[0], plan);
}

py::object alias(int, const CallArgs& call) {
  static constexpr const char* kNames[] = {"input"};
  py::handle args[1];
  call.unpack(kNames, 1, 1, args);
  ViewPlan plan(ViewKind::alias, args[0], "alias");
  for (int d = 0; d < plan.in_ndim; ++d) plan.keep_axis(d);
  return make_view(args[0], plan);
}

// ---- axes ---------------------------------------------------------------------------------------

py::object permute(int, const CallArgs& call) {
  const Ints dims = ints_arg(call, "dims");
  ViewPlan plan(ViewKind::permute, call.values[0], "permute");
  if (dims.count != plan.in_ndim)
    fail(ErrorKind::runtime, "permute: number of dims ", dims.count, " does not match input of ",
         plan.in_ndim, " dims");
  uint32_t seen = 0;
  for (int i = 0; i < dims.count; ++i) {
    const int64_t n = plan.in_ndim, d = dims.value[i];
    if (d < -n || d >= n)
      fail(ErrorKind::index, "permute: Dimension out of range (expected to be in range of [", -n,
           ", ", n - 1, "], but got ", d, ")");
    const int axis = static_cast<int>(d < 0 ? d + n : d);
    if (seen >> axis & 1)
      fail(ErrorKind::runtime, "permute: dim ", list_text(dims.value, dims.count),
           " appears multiple times in the list of dims");
    seen |= 1u << axis;
    plan.keep_axis(axis);
  }
  return make_view(call.values[0], plan);
}

py::object transpose(int, const CallArgs& call) {
  static constexpr const char* kNames[] = {"input", "dim0", "dim1"};
  py::handle args[3];
  call.unpack(kNames, 3, 3, args);
  ViewPlan plan(ViewKind::transpose, args[0], "transpose");
  const int n = plan.in_ndim;
  const int a = dim_arg(args[1], n, "transpose"), b = dim_arg(args[2], n, "transpose");
  for (int d = 0; d < n; ++d) plan.keep_axis(d == a ? b : d == b ? a : d);
  return make_view(args[0], plan);
}

// Bit d for dimension d; None means all.
uint32_t dim_bits(py::handle dims, int ndim, const char* op) {
  if (!dims || dims.is_none()) return (1u << ndim) - 1;
  if (PyIndex_Check(dims.ptr())) return 1u << dim_arg(dims, ndim, op);
  uint32_t bits = 0;
  if (!PyList_Check(dims.ptr()) && !PyTuple_Check(dims.ptr())) dim_arg(dims, ndim, op);
  for (const py::handle item : dims) {
    const uint32_t bit = 1u << dim_arg(item, ndim, op);
    if (bits & bit)
      fail(ErrorKind::runtime, op, ": dim ",
           py::str(py::tuple(py::reinterpret_borrow<py::object>(dims))).cast<std::string>(),
           " appears multiple times in the list of dims");
    bits |= bit;
  }
  return bits;
}

py::object squeeze(int, const CallArgs& call) {
  static constexpr const char* kNames[] = {"input", "dim"};
  py::handle args[2];
  call.unpack(kNames, 1, 2, args);
  ViewPlan plan(ViewKind::squeeze, args[0], "squeeze");
  const uint32_t dims = dim_bits(args[1], plan.in_ndim, "squeeze");
  for (int d = 0; d < plan.in_ndim; ++d)
    if (!(dims >> d & 1) || plan.in_shape[d] != 1) plan.keep_axis(d);
  return make_view(args[0], plan);
}

py::object unsqueeze(int, const CallArgs& call) {
  static constexpr const char* kNames[] = {"input", "dim"};
  py::handle args[2];
  call.unpack(kNames, 2, 2, args);
  ViewPlan plan(ViewKind::unsqueeze, args[0], "unsqueeze");
  if (plan.in_ndim == kMaxDims)
    fail(ErrorKind::runtime, "unsqueeze: at most ", kMaxDims, " dimensions are supported");
  const int at = dim_arg(args[1], plan.in_ndim + 1, "unsqueeze");
  for (int d = 0; d <= plan.in_ndim; ++d) {
    if (d == at) plan.add_axis(-1, 1);
    if (d < plan.in_ndim) plan.keep_axis(d);
  }
  return make_view(args[0], plan);
}

py::object expand(int, const CallArgs& call) {
  const Ints target = ints_arg(call, "sizes");
  ViewPlan plan(ViewKind::expand, call.values[0], "expand");
  const int extra = target.count - plan.in_ndim;
  if (extra < 0)
    fail(ErrorKind::runtime, "expand: the number of sizes provided (", target.count,
         ") must be greater or equal to the number of dimensions in the tensor (", plan.in_ndim,
         ")");
  int64_t elements = 16;  // bytes of the widest dtype
  for (int d = 0; d < target.count; ++d) {
    const bool fresh = d < extra;
    const int64_t have = fresh ? 1 : plan.in_shape[d - extra];
    int64_t n = target.value[d];
    if (n == -1 && fresh)
      fail(ErrorKind::runtime, "expand: -1 is not allowed in a leading, non-existing dimension");
    if (n == -1) n = have;
    if (n < 0) fail(ErrorKind::runtime, "expand: invalid size ", n, " at dimension ", d);
    if (have != 1 && have != n)
      fail(ErrorKind::shape, "expand: The expanded size of the tensor (", n,
           ") must match the existing size (", have, ") at non-singleton dimension ", d,
           ".  Target sizes: ", list_text(target.value, target.count),
           ".  Tensor sizes: ", list_text(plan.in_shape, plan.in_ndim));
    if (n && __builtin_mul_overflow(elements, n, &elements))
      fail(ErrorKind::runtime, "expand: Storage size calculation overflowed with sizes=",
           list_text(target.value, target.count));
    if (fresh)
      plan.add_axis(-1, n, 0);
    else
      plan.add_axis(d - extra, n, have == n ? 1 : 0);
  }
  return make_view(call.values[0], plan);
}

// ---- windows ------------------------------------------------------------------------------------

py::object narrow(int, const CallArgs& call) {
  static constexpr const char* kNames[] = {"input", "dim", "start", "length"};
  py::handle args[4];
  call.unpack(kNames, 4, 4, args);
  ViewPlan plan(ViewKind::slice, args[0], "narrow");
  const int dim = dim_arg(args[1], plan.in_ndim, "narrow");
  int64_t start = int_arg(args[2], "narrow", "start");
  const int64_t length = int_arg(args[3], "narrow", "length");
  const int64_t n = plan.in_ndim ? plan.in_shape[dim] : 0;
  if (start < 0) start += n;
  if (length < 0 || start < 0 || start > n - length || !plan.in_ndim)
    fail(ErrorKind::runtime, "narrow: start (", start, ") + length (", length,
         ") exceeds dimension size (", n, ")");
  plan.start[dim] = start;
  for (int d = 0; d < plan.in_ndim; ++d) plan.add_axis(d, d == dim ? length : plan.in_shape[d]);
  return make_view(args[0], plan);
}

py::object select(int, const CallArgs& call) {
  static constexpr const char* kNames[] = {"input", "dim", "index"};
  py::handle args[3];
  call.unpack(kNames, 3, 3, args);
  ViewPlan plan(ViewKind::select, args[0], "select");
  if (!plan.in_ndim) fail(ErrorKind::index, "select() cannot be applied to a 0-dim tensor.");
  const int dim = dim_arg(args[1], plan.in_ndim, "select");
  const int64_t index = int_arg(args[2], "select", "index"), n = plan.in_shape[dim];
  if (index < -n || index >= n)
    fail(ErrorKind::index, "select(): index ", index, " out of range for tensor of size ",
         list_text(plan.in_shape, plan.in_ndim), " at dimension ", dim);
  plan.start[dim] = index < 0 ? index + n : index;
  for (int d = 0; d < plan.in_ndim; ++d)
    if (d != dim) plan.keep_axis(d);
  return make_view(args[0], plan);
}

py::object diagonal(int, const CallArgs& call) {
  static constexpr const char* kNames[] = {"input", "offset", "dim1", "dim2"};
  py::handle args[4];
  call.unpack(kNames, 1, 4, args);
  ViewPlan plan(ViewKind::diagonal, args[0], "diagonal");
  const int64_t offset = args[1] ? int_arg(args[1], "diagonal", "offset") : 0;
  const py::int_ zero(0), one(1);
  const int a = dim_arg(args[2] ? args[2] : py::handle(zero), plan.in_ndim, "diagonal");
  const int b = dim_arg(args[3] ? args[3] : py::handle(one), plan.in_ndim, "diagonal");
  if (a == b) fail(ErrorKind::runtime, "diagonal dimensions cannot be identical ", a, ", ", b);
  const int64_t rows = plan.in_shape[a], columns = plan.in_shape[b];
  const int64_t length =
      offset >= 0 ? std::min(rows, columns - offset) : std::min(rows + offset, columns);
  if (length > 0) plan.start[offset >= 0 ? b : a] = offset >= 0 ? offset : -offset;
  for (int d = 0; d < plan.in_ndim; ++d)
    if (d != a && d != b) plan.keep_axis(d);
  plan.add_axis(a, std::max<int64_t>(length, 0), 1, b);
  return make_view(args[0], plan);
}

}  // namespace

void bind_view_ops(py::module_& m) {
  def_fast<view>(m, "view", 0,
                 "The same elements in another shape, on the same memory; one size may be -1.\n\n"
                 "With a dtype instead of a shape, the same bytes as that dtype. RuntimeError when "
                 "the memory layout does not allow it: use reshape() then.",
                 "(input, *shape)");
  def_fast<reshape>(m, "reshape", 0,
                    "As view() where the memory layout allows it, else a copy. One size may be -1.",
                    "(input, *shape)");
  def_fast<flatten>(m, "flatten", 0, "Joins the dimensions start_dim … end_dim into one.",
                    "(input, start_dim=0, end_dim=-1)");
  def_fast<unflatten>(m, "unflatten", 0, "Splits dimension `dim` into `sizes` (one may be -1).",
                      "(input, dim, sizes)");
  def_fast<alias>(m, "alias", 0, "A second tensor on the whole of the same memory.", "(input)");
  def_fast<permute>(m, "permute", 0, "Reorders the dimensions.", "(input, *dims)");
  def_fast<transpose>(m, "transpose", 0, "Swaps two dimensions.", "(input, dim0, dim1)");
  def_fast<squeeze>(m, "squeeze", 0, "Drops dimensions of size 1 (all, or those named).",
                    "(input, dim=None)");
  def_fast<unsqueeze>(m, "unsqueeze", 0, "A new dimension of size 1 at `dim`.", "(input, dim)");
  def_fast<expand>(m, "expand", 0, "Repeats dimensions of size 1 without copying; -1 keeps a size.",
                   "(input, *shape)");
  def_fast<narrow>(m, "narrow", 0, "The elements start … start+length-1 of dimension `dim`.",
                   "(input, dim, start, length)");
  def_fast<select>(m, "select", 0, "The slice of dimension `dim` at `index`; that dimension goes.",
                   "(input, dim, index)");
  def_fast<diagonal>(m, "diagonal", 0,
                     "The diagonal of two dimensions, as the last dimension of a view.",
                     "(input, offset=0, dim1=0, dim2=1)");
}

}  // namespace fastnn
