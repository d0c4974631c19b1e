// x[...] with ints, slices, None and Ellipsis: a view. In C because a slice costs nothing but its
// parsing. Any other index is Python's (ops/indexing.py).
#include "bindings/in_place.h"
#include "bindings/operands.h"
#include "bindings/view.h"

namespace fastnn {

namespace {

bool is_int(PyObject* part) {
  return PyLong_CheckExact(part) ||
         (!PyBool_Check(part) && (PyLong_Check(part) || (PyIndex_Check(part) && !is_tensor(part) &&
                                                         !PyObject_HasAttrString(part, "ndim"))));
}

bool is_basic(PyObject* part) {
  return PySlice_Check(part) || part == Py_None || part == Py_Ellipsis || is_int(part);
}

class Indexer {
 public:
  Indexer(py::handle x, PyObject* const* parts, Py_ssize_t count)
      : plan_(ViewKind::select, x, "index") {
    int used = 0, ellipses = 0;
    for (Py_ssize_t i = 0; i < count; ++i) {
      used += parts[i] != Py_None && parts[i] != Py_Ellipsis;
      ellipses += parts[i] == Py_Ellipsis;
      if (parts[i] == Py_None) ++added_;
    }
    if (used > plan_.in_ndim)
      fail(ErrorKind::index, "too many indices for tensor of dimension ", plan_.in_ndim);
    if (ellipses > 1) fail(ErrorKind::index, "an index can only have a single ellipsis ('...')");
    if (plan_.in_ndim + added_ > kMaxDims)
      fail(ErrorKind::index, "an index can make at most ", kMaxDims, " dimensions");
    for (Py_ssize_t i = 0; i < count; ++i) {
      if (parts[i] == Py_Ellipsis)
        keep(plan_.in_ndim - used);
      else
        take(parts[i]);
    }
    keep(plan_.in_ndim - at_);
  }

  const ViewPlan& plan() const { return plan_; }

 private:
  void keep(int count) {
    for (; count > 0; --count) plan_.keep_axis(at_++);
  }

  void take(PyObject* part) {
    if (part == Py_None) return plan_.add_axis(-1, 1);
    if (PySlice_Check(part)) return slice(part);
    const Py_ssize_t index = PyNumber_AsSsize_t(part, PyExc_IndexError);
    if (index == -1 && PyErr_Occurred()) throw py::error_already_set();
    const int64_t n = plan_.in_shape[at_];
    if (index < -n || index >= n)
      fail(ErrorKind::index, "index ", index, " is out of bounds for dimension ", at_,
           " with size ", n);
    plan_.start[at_++] = index < 0 ? index + n : index;
  }

  void slice(PyObject* part) {
    plan_.kind = ViewKind::slice;
    Py_ssize_t start, stop, step;
    if (PySlice_Unpack(part, &start, &stop, &step) < 0) {
      // PySlice_Unpack refuses a step of 0 with a text of its own.
      if (PyErr_ExceptionMatches(PyExc_ValueError)) {
        PyErr_Clear();
        step = 0;
      } else {
        throw py::error_already_set();
      }
    }
    if (step <= 0) fail(ErrorKind::value, "step must be greater than zero");
    const Py_ssize_t n = PySlice_AdjustIndices(plan_.in_shape[at_], &start, &stop, step);
    plan_.start[at_] = n ? start : 0;
    plan_.add_axis(at_++, n, step);
  }

  ViewPlan plan_;
  int at_ = 0;     // the input's next axis
  int added_ = 0;  // new axes
};

// The parts of an index, or none when one of them is Python's business.
struct Parts {
  PyObject* const* items;
  Py_ssize_t count;
  bool basic = true;

  explicit Parts(PyObject* const& index) {
    const bool several = PyTuple_CheckExact(index);
    items = several ? &PyTuple_GET_ITEM(index, 0) : &index;
    count = several ? PyTuple_GET_SIZE(index) : 1;
    for (Py_ssize_t i = 0; basic && i < count; ++i) basic = is_basic(items[i]);
  }
};

// state: the Python function for every other index.
py::object getitem(int, const CallArgs& call) {
  if (call.count != 2 || call.keywords) throw py::type_error("getitem(tensor, index)");
  tensor_arg(call.values[0], "getitem", "input");
  const Parts parts(call.values[1]);
  if (!parts.basic) return pass_on(call.self, call);
  return make_view(call.values[0], Indexer(call.values[0], parts.items, parts.count).plan());
}

// x[index] = value where that is a copy and nothing else. True: done.
bool set_plainly(py::handle x, const Parts& parts, py::handle value) {
  const bool tensor = is_tensor(value);
  if (!parts.basic || !is_numpy(x) || (tensor ? !is_numpy(value) : !is_number(value)) ||
      !free_to_write(x, value))
    return false;
  Operands in;
  in.add(tensor ? py::handle(as_tensor(value)->data) : value, "setitem", "value");
  const Arg whole = output_arg(as_tensor(x)->data, "setitem", "self");
  if (!tensor && !is_float(whole.view.dtype)) return false;  // what fits is Python's to say
  const TensorView window = window_of(whole.view, Indexer(x, parts.items, parts.count).plan());
  if (tensor && !same_shape(window, in.view(0))) return false;
  copy_into(window, in.view(0));
  ++version_counter(x)->value;
  return true;
}

py::object setitem(int, const CallArgs& call) {
  if (call.count == 3 && !call.keywords && is_tensor(call.values[0]) &&
      set_plainly(call.values[0], Parts(call.values[1]), call.values[2]))
    return py::none();
  return pass_on(call.self, call);
}

}  // namespace

void bind_view_index(py::module_& m) {
  m.def("make_getitem", [](py::object other) {
    return fast_function<getitem>(
        py::str("fastnn.ops.indexing"), "getitem", 0,
        "``x[index]``: a view for ints, slices, None and Ellipsis, else a copy.", "(input, index)",
        std::move(other));
  });
  m.def("make_setitem", [](py::object other) {
    return fast_function<setitem>(
        py::str("fastnn.ops.indexing"), "setitem", 0,
        "``x[index] = value`` with broadcasting and conversion; differentiable.",
        "(input, index, value)", std::move(other));
  });
}

}  // namespace fastnn
