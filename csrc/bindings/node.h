// The tape: one Node for each recorded op call.
#pragma once

#include "bindings/tensor.h"

namespace fastnn {

// Where a gradient goes: nowhere (target is null), to a leaf tensor, or to output `index` of a
// node.
struct Edge {
  PyObject* target;
  Py_ssize_t index;
};

// What backward needs. An input is kept as a tensor; an output of the node itself as its array, so
// that there is no reference cycle (then `counter` is not null); anything else as it is (then
// `version` is -1).
struct Saved {
  PyObject* value;
  PyObject* counter;
  Py_ssize_t version;
  Py_ssize_t index;
};

struct NodeObject {
  PyObject_HEAD PyObject* backward;  // backward(node, *grads): one gradient or None for each edge
  PyObject* ctx;
  PyObject* hooks;
  PyObject* prehooks;
  PyObject* metadata;
  PyObject* label;
  PyObject* weakrefs;
  Edge* edges;
  Saved* saved;
  int64_t sequence;
  int edge_count;
  int saved_count;
  int outputs;
  char freed;
};

inline NodeObject* as_node(py::handle o) { return reinterpret_cast<NodeObject*>(o.ptr()); }

// Whether ops are recorded in this thread.
bool grad_enabled();
class GradMode {
 public:
  explicit GradMode(bool enabled);
  ~GradMode();
  GradMode(const GradMode&) = delete;
  GradMode& operator=(const GradMode&) = delete;

 private:
  bool before_;
};

inline bool wants_grad(py::handle tensor) { return grad_enabled() && requires_grad(tensor); }

// Where the gradient of a tensor goes (borrowed).
Edge edge_of(py::handle tensor);

// In `saved`: the (first) output of the op.
PyObject* output_mark();

// Puts an op call on the tape. inputs: tensors or None. saved: tensors, output_mark(), pairs
// (output_mark(), n), or anything else.
void record_call(py::handle out, py::handle backward, std::initializer_list<PyObject*> inputs,
                 std::initializer_list<PyObject*> saved = {}, py::handle ctx = Py_None);

void free_saved(NodeObject* node);
// RuntimeError once they are freed, or when one was written in place since.
py::object saved_tensor(NodeObject* node, int i);

}  // namespace fastnn
