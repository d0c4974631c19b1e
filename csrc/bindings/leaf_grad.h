// The two ends of a backward pass: the gradients it starts from, and what becomes of one at a leaf.
#pragma once

#include <unordered_set>
#include <vector>

#include "bindings/tensor.h"

namespace fastnn {

// The gradients of the roots: as given (in the root's dtype), or a 1 for a root of one element.
std::vector<py::object> root_grads(const py::list& tensors, py::handle grads, const char* op);

// A gradient of the leaf's shape in the leaf's dtype.
py::object fitted_grad(py::handle leaf, py::object grad);

// Adds gradients to the .grad of leaves.
class LeafGrads {
 public:
  explicit LeafGrads(bool create_graph) : create_graph_(create_graph) {}
  // Somebody owns the gradient's array: no leaf may take it without a copy.
  void borrow(py::handle grad) { taken_.insert(as_tensor(grad)->data); }
  void add(PyObject* leaf, py::object grad);

 private:
  py::object own(py::handle grad);

  const bool create_graph_;
  std::unordered_set<const PyObject*> taken_;
};

}  // namespace fastnn
