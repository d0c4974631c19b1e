// Makes views, and their gradients. In C because a view does no work on elements: NumPy's way to
// one, a closure that repeats it and a recorded call cost three times what PyTorch's views cost.
#include "bindings/view.h"

#include <algorithm>
#include <cstring>

#include "bindings/fast_function.h"
#include "bindings/operands.h"
// After Python.h:
#include <structmember.h>

namespace fastnn {

namespace {

using py::detail::npy_api;
using Array = py::detail::PyArray_Proxy;

// ---- a plan as a Python object ------------------------------------------------------------------

// What a tensor keeps of how it was made, and its node of what to undo: calling it with a tensor
// makes the same view of that.
struct ViewSpec {
  PyObject_VAR_HEAD vectorcallfunc call;
  ViewKind kind;
  int in_ndim, out_ndim;
  int64_t values[1];  // the plan's arrays, one after the other, without their unused ends
};

PyTypeObject* spec_type = nullptr;
PyObject* backwards[static_cast<int>(ViewKind::count)];

template <class Copy>
void each_array(ViewPlan& p, const Copy& copy) {
  for (int64_t* in : {p.in_shape, p.start}) copy(in, p.in_ndim);
  for (int64_t* out : {p.size, p.step, p.source, p.second}) copy(out, p.out_ndim);
}

ViewPlan plan_of(PyObject* object) {
  const auto* spec = reinterpret_cast<const ViewSpec*>(object);
  ViewPlan plan;
  plan.kind = spec->kind;
  plan.in_ndim = spec->in_ndim;
  plan.out_ndim = spec->out_ndim;
  const int64_t* from = spec->values;
  each_array(plan, [&](int64_t* to, int n) {
    std::copy(from, from + n, to);
    from += n;
  });
  return plan;
}

PyObject* call_spec(PyObject* self, PyObject* const* args, size_t count, PyObject*) {
  return detail::guarded([&]() -> py::object {
    if (PyVectorcall_NARGS(count) != 1) throw py::type_error("a view takes one tensor");
    tensor_arg(args[0], "view", "input");
    py::object out = make_view(args[0], plan_of(self));
    if (!out)
      fail(ErrorKind::runtime, "view: the base that was written in place cannot be seen in this ",
           "shape; use .reshape(...) before writing");
    return out;
  });
}

py::object spec_of(const ViewPlan& plan) {
  auto* spec = PyObject_NewVar(ViewSpec, spec_type, 2 * plan.in_ndim + 4 * plan.out_ndim);
  if (!spec) throw py::error_already_set();
  spec->call = &call_spec;
  spec->kind = plan.kind;
  spec->in_ndim = plan.in_ndim;
  spec->out_ndim = plan.out_ndim;
  int64_t* to = spec->values;
  each_array(const_cast<ViewPlan&>(plan), [&](const int64_t* from, int n) {
    std::copy(from, from + n, to);
    to += n;
  });
  return py::reinterpret_steal<py::object>(reinterpret_cast<PyObject*>(spec));
}

void dealloc_spec(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  PyObject_Free(self);
  Py_DECREF(type);
}

// ---- strides ------------------------------------------------------------------------------------

struct Place {
  int64_t offset;
  int64_t strides[kMaxDims];
};

void row_major_strides(const int64_t* size, int ndim, int64_t itemsize, int64_t* strides) {
  for (int d = ndim - 1; d >= 0; --d) {
    strides[d] = itemsize;
    itemsize *= std::max<int64_t>(size[d], 1);
  }
}

// Neighbouring axes of the input that are walked as one form a group; the new axes must split whole
// groups. Size-1 axes get the stride that row-major memory would give them.
bool split_strides(const ViewPlan& p, const int64_t* strides, int64_t itemsize, int64_t* out) {
  int64_t group_size[kMaxDims], group_stride[kMaxDims];
  int groups = 0;
  for (int d = 0; d < p.in_ndim; ++d) {
    const int64_t n = p.in_shape[d];
    if (n == 0) {
      row_major_strides(p.size, p.out_ndim, itemsize, out);
      return true;
    }
    if (n == 1) continue;
    if (groups && group_stride[groups - 1] == n * strides[d]) {
      group_size[groups - 1] *= n;
      group_stride[groups - 1] = strides[d];
    } else {
      group_size[groups] = n;
      group_stride[groups++] = strides[d];
    }
  }
  int g = 0;
  int64_t rest = groups ? group_size[0] : 1;  // of the group, for the axes that follow
  for (int d = 0; d < p.out_ndim; ++d) {
    const int64_t n = p.size[d];
    if (n != 1 && rest == 1) rest = group_size[++g];
    if (rest % n) return false;
    rest /= n;
    out[d] = groups ? rest * group_stride[g] : itemsize;
  }
  return true;
}

// Where the elements of the view lie, given those of its input. False: not as a view.
bool place(const ViewPlan& p, const int64_t* strides, int64_t itemsize, Place& out) {
  out.offset = 0;
  if (p.kind == ViewKind::view) return split_strides(p, strides, itemsize, out.strides);
  for (int d = 0; d < p.in_ndim; ++d) out.offset += p.start[d] * strides[d];
  for (int d = 0; d < p.out_ndim; ++d) {
    out.strides[d] = p.source[d] < 0 ? 0 : p.step[d] * strides[p.source[d]];
    if (p.second[d] >= 0) out.strides[d] += p.step[d] * strides[p.second[d]];
  }
  return true;
}

// ---- arrays -------------------------------------------------------------------------------------

// Sizes and strides (in bytes) of a tensor's array: those in NumPy's, or copies of a device
// array's.
struct Extent {
  int ndim;
  const Py_ssize_t *shape, *strides;
  const Array* numpy;  // null for a device array
  int64_t itemsize;
  Py_ssize_t own[2 * kMaxDims];

  Extent(py::handle tensor, const char* op) {
    PyObject* a = as_tensor(tensor)->data;
    numpy = a && npy_api::get().PyArray_Check_(a) ? py::detail::array_proxy(a) : nullptr;
    if (!numpy) {
      from_device(a, op);
      return;
    }
    ndim = numpy->nd;
    shape = numpy->dimensions;
    strides = numpy->strides;
    itemsize = py::reinterpret_borrow<py::dtype>(numpy->descr).itemsize();
    if (ndim > kMaxDims)
      fail(ErrorKind::shape, op, ": the input has ", ndim, " dimensions; at most ", kMaxDims,
           " are supported");
  }
  Extent(const Extent&) = delete;

 private:
  void from_device(PyObject* a, const char* op) {
    const Arg arg = input_arg(a, op, "input");
    ndim = arg.view.ndim;
    itemsize = static_cast<int64_t>(size_of(arg.view.dtype));
    std::copy(arg.view.shape, arg.view.shape + ndim, own);
    for (int d = 0; d < ndim; ++d) own[kMaxDims + d] = arg.view.stride[d] * itemsize;
    shape = own;
    strides = own + kMaxDims;
  }
};

// Several elements of the view share memory: nobody may write there.
bool overlaps(const ViewPlan& p) {
  if (p.kind != ViewKind::expand) return false;
  for (int d = 0; d < p.out_ndim; ++d)
    if (p.step[d] == 0 && p.size[d] > 1) return true;
  return false;
}

py::object window(py::handle x, const ViewPlan& p) {
  const npy_api& api = npy_api::get();
  const Extent extent(x, "view");
  Place at;
  if (!place(p, extent.strides, extent.itemsize, at)) return {};
  const Array* a = extent.numpy;
  if (!a) return device_window(as_tensor(x)->data, at.offset, p.size, at.strides, p.out_ndim);
  Py_ssize_t sizes[kMaxDims];
  std::copy(p.size, p.size + p.out_ndim, sizes);
  Py_ssize_t strides[kMaxDims];
  std::copy(at.strides, at.strides + p.out_ndim, strides);
  const int flags = overlaps(p) ? 0 : a->flags & npy_api::NPY_ARRAY_WRITEABLE_;
  PyObject* made =
      api.PyArray_NewFromDescr_(api.PyArray_Type_, Py_NewRef(a->descr), p.out_ndim, sizes, strides,
                                a->data + at.offset, flags | npy_api::NPY_ARRAY_ALIGNED_, nullptr);
  if (!made) throw py::error_already_set();
  const py::object out = py::reinterpret_steal<py::object>(made);
  if (api.PyArray_SetBaseObject_(made, Py_NewRef(as_tensor(x)->data)) != 0)
    throw py::error_already_set();
  return out;
}

// ---- gradients ----------------------------------------------------------------------------------

// The plan that undoes one which only reorders axes, drops axes of size 1 or adds them. False:
// elements are left out or repeated.
bool inverse(const ViewPlan& p, const int64_t* shape, ViewPlan& out) {
  out.kind = ViewKind::permute;
  out.in_ndim = p.out_ndim;
  out.out_ndim = 0;
  std::copy(shape, shape + p.out_ndim, out.in_shape);
  std::fill(out.start, out.start + p.out_ndim, 0);
  int64_t from[kMaxDims];
  std::fill(from, from + p.in_ndim, -1);
  for (int d = 0; d < p.out_ndim; ++d) {
    if (p.source[d] < 0 ? p.size[d] != 1 : p.size[d] != p.in_shape[p.source[d]]) return false;
    if (p.second[d] >= 0 || (p.source[d] >= 0 && p.step[d] != 1)) return false;
    if (p.source[d] >= 0) from[p.source[d]] = d;
  }
  for (int d = 0; d < p.in_ndim; ++d) {
    if (p.start[d] != 0 || (from[d] < 0 && p.in_shape[d] != 1)) return false;
    out.add_axis(from[d], p.in_shape[d]);
  }
  return true;
}

py::object shape_tuple(const int64_t* shape, int ndim) {
  py::tuple out(ndim);
  for (int d = 0; d < ndim; ++d) out[d] = shape[d];
  return out;
}

// Zeros of the input's shape, with g where the window is.
py::object window_gradient(const ViewPlan& p, py::handle g) {
  const Arg in = input_arg(as_tensor(g)->data, "backward", "grad");
  const NewArray zeros = new_array(in.view.dtype, p.in_shape, p.in_ndim);
  Operands zero;
  zero.add(py::int_(0), "backward", "zero");
  copy_into(zeros, zero.view(0));
  py::object out = wrap_array(zeros.array);
  if (wants_grad(g)) {
    make_view(out, p).attr("copy_")(g);
    return out;
  }
  copy_into(window_of(zeros, p), in.view);
  return out;
}

// backward(node, grad)
py::object view_backward(int, const CallArgs& call) {
  if (call.count != 2) throw py::type_error("view backward takes a node and a gradient");
  const py::handle g = call.values[1];
  const ViewPlan p = plan_of(as_node(call.values[0])->ctx);
  if (p.kind == ViewKind::alias) return py::reinterpret_borrow<py::object>(g);
  const Extent extent(g, "backward");
  ViewPlan back;
  if (p.kind == ViewKind::view) {
    back.kind = ViewKind::view;
    back.in_ndim = p.out_ndim;
    std::copy(extent.shape, extent.shape + extent.ndim, back.in_shape);
    std::fill(back.start, back.start + back.in_ndim, 0);
    back.out_ndim = 0;
    for (int d = 0; d < p.in_ndim; ++d) back.add_axis(-1, p.in_shape[d]);
    return make_reshape(g, back);
  }
  int64_t shape[kMaxDims];
  std::copy(extent.shape, extent.shape + extent.ndim, shape);
  if (inverse(p, shape, back)) return make_view(g, back);
  if (p.kind == ViewKind::expand) return g.attr("sum_to_size")(shape_tuple(p.in_shape, p.in_ndim));
  return window_gradient(p, g);
}

constexpr const char* kBackwardNames[] = {
    "view_backward",    "alias_backward",     "permute_backward", "transpose_backward",
    "squeeze_backward", "unsqueeze_backward", "expand_backward",  "select_backward",
    "slice_backward",   "diagonal_backward"};

PyMemberDef members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(ViewSpec, call), READONLY, nullptr},
    {nullptr, 0, 0, 0, nullptr}};
PyType_Slot slots[] = {{Py_tp_dealloc, reinterpret_cast<void*>(&dealloc_spec)},
                       {Py_tp_call, reinterpret_cast<void*>(&PyVectorcall_Call)},
                       {Py_tp_members, members},
                       {0, nullptr}};
PyType_Spec type_spec = {
    "fastnn._core.ViewSpec", offsetof(ViewSpec, values), sizeof(int64_t),
    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_DISALLOW_INSTANTIATION, slots};

}  // namespace

ViewPlan::ViewPlan(ViewKind k, py::handle tensor, const char* op) : kind(k), out_ndim(0) {
  tensor_arg(tensor, op, "input");
  const Extent extent(tensor, op);
  in_ndim = extent.ndim;
  std::copy(extent.shape, extent.shape + extent.ndim, in_shape);
  std::fill(start, start + in_ndim, 0);
}

TensorView window_of(const TensorView& of, const ViewPlan& plan) {
  Place at;
  place(plan, of.stride, 1, at);
  TensorView out;
  out.dtype = of.dtype;
  out.device = of.device;
  out.ndim = plan.out_ndim;
  out.data = static_cast<char*>(of.data) + at.offset * static_cast<int64_t>(size_of(of.dtype));
  std::copy(plan.size, plan.size + plan.out_ndim, out.shape);
  std::copy(at.strides, at.strides + plan.out_ndim, out.stride);
  return out;
}

py::object make_view(py::handle x, const ViewPlan& plan) {
  const py::object array = window(x, plan);
  if (!array) return {};
  if (!grad_enabled()) return wrap_window(x, array, py::none());
  const py::object spec = spec_of(plan);
  py::object out = wrap_window(x, array, spec);
  if (requires_grad(x))
    record_call(out, backwards[static_cast<int>(plan.kind)], {x.ptr()}, {}, spec);
  return out;
}

py::object make_reshape(py::handle x, const ViewPlan& plan) {
  py::object out = make_view(x, plan);
  if (out) return out;
  const Arg in = input_arg(as_tensor(x)->data, "reshape", "input");
  const NewArray made = new_array(in.view.dtype, plan.size, plan.out_ndim);
  TensorView target = made.view;
  target.ndim = in.view.ndim;
  std::copy(in.view.shape, in.view.shape + in.view.ndim, target.shape);
  row_major_strides(target.shape, target.ndim, 1, target.stride);
  copy_into(target, in.view);
  out = wrap_array(made.array);
  if (wants_grad(x))
    record_call(out, backwards[static_cast<int>(ViewKind::view)], {x.ptr()}, {}, spec_of(plan));
  return out;
}

void bind_view(py::module_& m) {
  spec_type = reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&type_spec));
  if (!spec_type) throw py::error_already_set();
  for (int k = 0; k < static_cast<int>(ViewKind::count); ++k)
    backwards[k] = fast_function<view_backward>(m.attr("__name__"), kBackwardNames[k], k, nullptr)
                       .release()
                       .ptr();
}

}  // namespace fastnn
