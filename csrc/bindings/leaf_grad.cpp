#include "bindings/leaf_grad.h"

#include <algorithm>
#include <cstring>

namespace fastnn {

namespace {

using py::detail::npy_api;

const py::detail::PyArray_Proxy* numpy_array(py::handle tensor) {
  PyObject* a = as_tensor(tensor)->data;
  return a && npy_api::get().PyArray_Check_(a) ? py::detail::array_proxy(a) : nullptr;
}

bool same_shape(py::handle a, py::handle b) {
  const auto *x = numpy_array(a), *y = numpy_array(b);
  if (!x || !y) return a.attr("shape").equal(b.attr("shape"));
  return x->nd == y->nd && std::equal(x->dimensions, x->dimensions + x->nd, y->dimensions);
}

bool same_dtype(py::handle a, py::handle b) {
  const auto *x = numpy_array(a), *y = numpy_array(b);
  return (x && y && x->descr == y->descr) || a.attr("dtype").equal(b.attr("dtype"));
}

std::string shape_text(py::handle tensor) {
  return py::repr(py::handle(as_tensor(tensor)->data).attr("shape")).cast<std::string>();
}

// No view of other memory, and without holes in some order of axes: what a .grad may be.
bool whole_and_dense(const py::detail::PyArray_Proxy* a) {
  constexpr int kDense = npy_api::NPY_ARRAY_C_CONTIGUOUS_ | npy_api::NPY_ARRAY_F_CONTIGUOUS_;
  if (a->base && npy_api::get().PyArray_Check_(a->base)) return false;
  if (a->flags & kDense) return true;
  const Py_ssize_t itemsize = py::reinterpret_borrow<py::dtype>(a->descr).itemsize();
  Py_ssize_t expected = itemsize, bytes = itemsize;
  for (int placed = 0; placed < a->nd; ++placed) {
    bytes *= a->dimensions[placed];
    for (int d = 0; d < a->nd; ++d)
      if (a->dimensions[d] > 1 && a->strides[d] == expected) {
        expected *= a->dimensions[d];
        break;
      }
  }
  return expected == bytes;
}

void set_grad(PyObject* leaf, py::object grad) {
  Py_XSETREF(as_tensor(leaf)->grad, grad.release().ptr());
}

py::object plus(py::handle a, py::handle b) {
  PyObject* sum = PyNumber_Add(a.ptr(), b.ptr());
  if (!sum) throw py::error_already_set();
  return py::reinterpret_steal<py::object>(sum);
}

py::object number_one(py::handle tensor) {
  const auto* a = numpy_array(tensor);
  if (!a || py::detail::array_descriptor_proxy(a->descr)->type_num != 11 /* float32 */)
    return tensor.attr("new_ones")(tensor.attr("shape"));
  int64_t shape[kMaxDims];
  std::copy(a->dimensions, a->dimensions + a->nd, shape);
  const NewArray made = new_array(DType::f32, shape, a->nd);
  *made.view.ptr<float>() = 1.0f;
  return wrap_array(made.array);
}

py::object root_grad(py::handle t, py::handle g, const char* op) {
  if (!is_tensor(t))
    throw py::type_error(cat(op, ": expected Tensors, got ", Py_TYPE(t.ptr())->tp_name));
  if (!requires_grad(t))
    fail(ErrorKind::runtime, op,
         ": element 0 of tensors does not require grad and does not have a grad_fn");
  if (g.is_none()) {
    const auto* a = numpy_array(t);
    int64_t size = 1;
    for (int d = 0; a && d < a->nd; ++d) size *= a->dimensions[d];
    if (size != 1)
      fail(ErrorKind::runtime, op, ": grad can be implicitly created only for scalar outputs, got ",
           "shape ", shape_text(t), "; pass gradient=");
    return number_one(t);
  }
  if (!is_tensor(g))
    throw py::type_error(
        cat(op, ": gradients must be Tensors or None, got ", Py_TYPE(g.ptr())->tp_name));
  if (!same_shape(g, t))
    fail(ErrorKind::shape, op, ": Mismatch in shape: gradient has shape ", shape_text(g),
         " and the tensor has shape ", shape_text(t));
  return same_dtype(g, t) ? py::reinterpret_borrow<py::object>(g) : g.attr("to")(t.attr("dtype"));
}

}  // namespace

std::vector<py::object> root_grads(const py::list& tensors, py::handle grads, const char* op) {
  const bool given = !grads.is_none();
  const py::list list = given ? py::list(py::reinterpret_borrow<py::object>(grads)) : py::list();
  if (given && list.size() != tensors.size())
    fail(ErrorKind::runtime, op, ": got ", tensors.size(), " tensors and ", list.size(),
         " gradients");
  std::vector<py::object> out;
  for (size_t i = 0; i < tensors.size(); ++i)
    out.push_back(root_grad(tensors[i], given ? py::object(list[i]) : py::none(), op));
  return out;
}

py::object fitted_grad(py::handle leaf, py::object grad) {
  if (!same_shape(grad, leaf))
    fail(ErrorKind::shape, "backward: a gradient of shape ", shape_text(grad),
         " came for a tensor of shape ", shape_text(leaf));
  return same_dtype(grad, leaf) ? std::move(grad) : grad.attr("to")(leaf.attr("dtype"));
}

// A tensor whose array nobody else has.
py::object LeafGrads::own(py::handle grad) {
  py::object array = py::reinterpret_borrow<py::object>(as_tensor(grad)->data);
  const auto* a = numpy_array(grad);
  // Of a device array nobody knows whether others see its memory.
  if (!a || taken_.count(array.ptr()) || !whole_and_dense(a)) array = array.attr("copy")();
  taken_.insert(array.ptr());
  return wrap_array(array);
}

void LeafGrads::add(PyObject* leaf, py::object grad) {
  static PyObject* const add_ = PyUnicode_InternFromString("add_");
  const py::object known = py::reinterpret_borrow<py::object>(as_tensor(leaf)->grad);
  const bool first = !known || known.is_none();
  if (create_graph_) {
    set_grad(leaf, first ? std::move(grad) : plus(known, grad));
  } else if (first) {
    set_grad(leaf, own(grad));
  } else if (taken_.count(as_tensor(known)->data)) {
    // A second gradient in this run: others may read the first.
    set_grad(leaf, own(plus(known, grad)));
  } else {
    PyObject* r = PyObject_CallMethodOneArg(known.ptr(), add_, grad.ptr());
    if (!r) throw py::error_already_set();
    Py_DECREF(r);
  }
}

}  // namespace fastnn
