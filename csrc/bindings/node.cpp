// NodeBase: the C storage of autograd.Node, and the recording of calls. In C because every op of a
// training step does both: a node with its edges is one object and one block of memory here, eight
// objects in Python.
#include "bindings/node.h"

#include "bindings/fast_function.h"
// After Python.h:
#include <structmember.h>

namespace fastnn {

namespace {

thread_local bool recording = true;

PyTypeObject* base_type = nullptr;
PyTypeObject* node_type = nullptr;  // autograd.Node, once Python has said it
int64_t calls = 0;                  // guarded by the GIL

// ---- life ---------------------------------------------------------------------------------------

int traverse(PyObject* self, visitproc visit, void* arg) {
  NodeObject* n = as_node(self);
  Py_VISIT(Py_TYPE(self));
  Py_VISIT(n->backward);
  Py_VISIT(n->ctx);
  Py_VISIT(n->hooks);
  Py_VISIT(n->prehooks);
  Py_VISIT(n->metadata);
  for (int i = 0; i < n->edge_count; ++i) Py_VISIT(n->edges[i].target);
  for (int i = 0; i < n->saved_count; ++i) Py_VISIT(n->saved[i].value);
  return 0;
}

void drop_saved(NodeObject* n) {
  const int count = n->saved_count;
  n->saved_count = 0;  // first: what goes may run Python code that looks here
  for (int i = 0; i < count; ++i) {
    Py_XDECREF(n->saved[i].value);
    Py_XDECREF(n->saved[i].counter);
  }
}

int clear(PyObject* self) {
  NodeObject* n = as_node(self);
  drop_saved(n);
  for (int i = 0; i < n->edge_count; ++i) Py_CLEAR(n->edges[i].target);
  Py_CLEAR(n->backward);
  Py_CLEAR(n->ctx);
  Py_CLEAR(n->hooks);
  Py_CLEAR(n->prehooks);
  Py_CLEAR(n->metadata);
  Py_CLEAR(n->label);
  return 0;
}

void dealloc(PyObject* self) {
  PyObject_GC_UnTrack(self);
  // A graph is a long chain of nodes; its end must not exhaust the C stack.
  Py_TRASHCAN_BEGIN(self, dealloc);
  if (as_node(self)->weakrefs) PyObject_ClearWeakRefs(self);
  clear(self);
  PyMem_Free(as_node(self)->edges);  // and `saved`, in the same block
  PyTypeObject* type = Py_TYPE(self);
  type->tp_free(self);
  Py_DECREF(type);
  Py_TRASHCAN_END;
}

NodeObject* new_node(int edges, int saved) {
  PyTypeObject* type = node_type ? node_type : base_type;
  PyObject* made = type->tp_alloc(type, 0);
  if (!made) throw py::error_already_set();
  NodeObject* n = as_node(made);
  char* block = static_cast<char*>(PyMem_Calloc(1, edges * sizeof(Edge) + saved * sizeof(Saved)));
  if (!block) {
    Py_DECREF(made);
    throw std::bad_alloc();
  }
  n->edges = reinterpret_cast<Edge*>(block);
  n->saved = reinterpret_cast<Saved*>(block + edges * sizeof(Edge));
  n->edge_count = edges;
  n->sequence = calls++;
  return n;
}

// ---- recording ----------------------------------------------------------------------------------

bool has_gradient(py::handle tensor) {
  PyObject* array = as_tensor(tensor)->data;
  if (!py::detail::npy_api::get().PyArray_Check_(array)) return true;
  const auto* descr = py::detail::array_descriptor_proxy(py::detail::array_proxy(array)->descr);
  return descr->kind != 'i' && descr->kind != 'u' && descr->kind != 'b';
}

void save(Saved& s, PyObject* value, PyObject* const* outs) {
  const bool several = PyTuple_Check(value) && PyTuple_GET_SIZE(value) == 2 &&
                       PyTuple_GET_ITEM(value, 0) == output_mark();
  s = {value, nullptr, -1, 0};
  if (value == output_mark() || several) {
    s.index = several ? PyLong_AsSsize_t(PyTuple_GET_ITEM(value, 1)) : 0;
    PyObject* out = outs[s.index];
    s.version = version_counter(out)->value;
    s.counter = Py_NewRef(as_tensor(out)->version);
    s.value = as_tensor(out)->data;
  } else if (is_tensor(value)) {
    s.version = version_of(as_tensor(value));
  }
  Py_INCREF(s.value);
}

void record_all(PyObject* const* outs, Py_ssize_t out_count, py::handle backward,
                PyObject* const* inputs, Py_ssize_t input_count, PyObject* const* saved,
                Py_ssize_t saved_count, py::handle ctx) {
  NodeObject* n = new_node(static_cast<int>(input_count), static_cast<int>(saved_count));
  const py::object owner = py::reinterpret_steal<py::object>(reinterpret_cast<PyObject*>(n));
  n->backward = Py_NewRef(backward.ptr());
  n->ctx = Py_NewRef(ctx.ptr());
  n->outputs = static_cast<int>(out_count);
  for (Py_ssize_t i = 0; i < input_count; ++i) {
    n->edges[i] = edge_of(inputs[i]);
    Py_XINCREF(n->edges[i].target);
  }
  for (Py_ssize_t i = 0; i < saved_count; ++i) {
    save(n->saved[i], saved[i], outs);
    n->saved_count = static_cast<int>(i + 1);
  }
  for (Py_ssize_t i = 0; i < out_count; ++i) {
    // Indices of max and sort have no gradient.
    if (outs[i] == Py_None || !has_gradient(outs[i])) continue;
    TensorObject* t = as_tensor(outs[i]);
    Py_XSETREF(t->node, Py_NewRef(owner.ptr()));
    t->index = i;
    t->requires_grad = true;
  }
}

// ---- Python -------------------------------------------------------------------------------------

PyObject* get_edges(PyObject* self, void*) {
  return detail::guarded([&]() -> py::object {
    const NodeObject* n = as_node(self);
    py::tuple out(n->edge_count);
    for (int i = 0; i < n->edge_count; ++i) {
      const Edge& e = n->edges[i];
      if (!e.target)
        out[i] = py::none();
      else if (is_tensor(e.target))
        out[i] = py::reinterpret_borrow<py::object>(e.target);
      else
        out[i] = py::make_tuple(py::handle(e.target), e.index);
    }
    return out;
  });
}

PyObject* get_wanted(PyObject* self, void*) {
  const NodeObject* n = as_node(self);
  PyObject* out = PyTuple_New(n->edge_count);
  for (int i = 0; out && i < n->edge_count; ++i)
    PyTuple_SET_ITEM(out, i, PyBool_FromLong(n->edges[i].target != nullptr));
  return out;
}

PyObject* saved_tensors(PyObject* self, PyObject*) {
  return detail::guarded([&]() -> py::object {
    NodeObject* n = as_node(self);
    if (n->freed) saved_tensor(n, 0);
    py::tuple out(n->saved_count);
    for (int i = 0; i < n->saved_count; ++i)
      PyTuple_SET_ITEM(out.ptr(), i, saved_tensor(n, i).release().ptr());
    return out;
  });
}

PyObject* saves(PyObject* self, PyObject* tensor) {
  const NodeObject* n = as_node(self);
  for (int i = 0; i < n->saved_count; ++i)
    if (n->saved[i].value == tensor) Py_RETURN_TRUE;
  Py_RETURN_FALSE;
}

PyObject* free_method(PyObject* self, PyObject*) {
  free_saved(as_node(self));
  Py_RETURN_NONE;
}

PyMemberDef members[] = {
    {"backward", T_OBJECT, offsetof(NodeObject, backward), 0, nullptr},
    {"ctx", T_OBJECT, offsetof(NodeObject, ctx), 0, nullptr},
    {"hooks", T_OBJECT, offsetof(NodeObject, hooks), 0, nullptr},
    {"prehooks", T_OBJECT, offsetof(NodeObject, prehooks), 0, nullptr},
    {"metadata", T_OBJECT, offsetof(NodeObject, metadata), 0, nullptr},
    {"label", T_OBJECT, offsetof(NodeObject, label), 0, nullptr},
    {"outputs", T_INT, offsetof(NodeObject, outputs), READONLY, nullptr},
    {"sequence", T_LONGLONG, offsetof(NodeObject, sequence), READONLY, nullptr},
    {"freed", T_BOOL, offsetof(NodeObject, freed), READONLY, nullptr},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(NodeObject, weakrefs), READONLY, nullptr},
    {nullptr, 0, 0, 0, nullptr}};
PyGetSetDef getset[] = {
    {"edges", get_edges, nullptr,
     "For each input None (no gradient wanted), a leaf tensor, or (node, output index).", nullptr},
    {"wanted", get_wanted, nullptr, "For each input whether its gradient is wanted.", nullptr},
    {nullptr, nullptr, nullptr, nullptr, nullptr}};
PyMethodDef methods[] = {
    {"saved_tensors", saved_tensors, METH_NOARGS,
     "The saved tensors, checked: an array that was since written in place is an error."},
    {"saves", saves, METH_O, "Whether the tensor is one of the saved ones."},
    {"free", free_method, METH_NOARGS, "Lets go of what was saved."},
    {nullptr, nullptr, 0, nullptr}};
PyType_Slot slots[] = {{Py_tp_dealloc, reinterpret_cast<void*>(&dealloc)},
                       {Py_tp_traverse, reinterpret_cast<void*>(&traverse)},
                       {Py_tp_clear, reinterpret_cast<void*>(&clear)},
                       {Py_tp_members, members},
                       {Py_tp_getset, getset},
                       {Py_tp_methods, methods},
                       {0, nullptr}};
PyType_Spec spec = {"fastnn._core.NodeBase", sizeof(NodeObject), 0,
                    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC, slots};

// The switch of this thread, as an object with one attribute.
PyObject* get_enabled(PyObject*, void*) { return PyBool_FromLong(recording); }
int set_enabled(PyObject*, PyObject* value, void*) {
  const int on = value ? PyObject_IsTrue(value) : 0;
  if (on < 0) return -1;
  recording = on;
  return 0;
}
PyGetSetDef switch_getset[] = {{"enabled", get_enabled, set_enabled, nullptr, nullptr},
                               {nullptr, nullptr, nullptr, nullptr, nullptr}};
PyType_Slot switch_slots[] = {{Py_tp_getset, switch_getset}, {0, nullptr}};
PyType_Spec switch_spec = {"fastnn._core.GradMode", sizeof(PyObject), 0, Py_TPFLAGS_DEFAULT,
                           switch_slots};

py::object record(int, const CallArgs& call) {
  static constexpr const char* kNames[] = {"out", "backward", "inputs", "saved", "ctx"};
  py::handle args[5];
  call.unpack(kNames, 3, 5, args);
  const py::handle saved = args[3];
  if (!PyTuple_Check(args[2].ptr()) || (saved && !PyTuple_Check(saved.ptr())))
    throw py::type_error("record: inputs and saved must be tuples");
  PyObject* one = args[0].ptr();
  const bool several = PyTuple_Check(one);
  record_all(several ? &PyTuple_GET_ITEM(one, 0) : &one, several ? PyTuple_GET_SIZE(one) : 1,
             args[1], &PyTuple_GET_ITEM(args[2].ptr(), 0), PyTuple_GET_SIZE(args[2].ptr()),
             saved ? &PyTuple_GET_ITEM(saved.ptr(), 0) : nullptr,
             saved ? PyTuple_GET_SIZE(saved.ptr()) : 0, args[4] ? args[4] : Py_None);
  return py::reinterpret_borrow<py::object>(one);
}

py::object any_wants_grad(int, const CallArgs& call) {
  bool wanted = false;
  if (recording)
    for (Py_ssize_t i = 0; !wanted && i < call.count; ++i)
      wanted =
          call.values[i] != Py_None &&
          requires_grad(reinterpret_cast<PyObject*>(tensor_arg(call.values[i], "op", "input")));
  return py::bool_(wanted);
}

}  // namespace

bool grad_enabled() { return recording; }
GradMode::GradMode(bool enabled) : before_(recording) { recording = enabled; }
GradMode::~GradMode() { recording = before_; }

PyObject* output_mark() {
  static PyObject* const mark =
      PyObject_CallNoArgs(reinterpret_cast<PyObject*>(&PyBaseObject_Type));
  return mark;
}

Edge edge_of(py::handle tensor) {
  if (tensor.is_none() || !requires_grad(tensor)) return {nullptr, 0};
  const TensorObject* t = as_tensor(tensor);
  return t->node ? Edge{t->node, t->index} : Edge{tensor.ptr(), -1};
}

void record_call(py::handle out, py::handle backward, std::initializer_list<PyObject*> inputs,
                 std::initializer_list<PyObject*> saved, py::handle ctx) {
  PyObject* one = out.ptr();
  record_all(&one, 1, backward, inputs.begin(), static_cast<Py_ssize_t>(inputs.size()),
             saved.begin(), static_cast<Py_ssize_t>(saved.size()), ctx);
}

void free_saved(NodeObject* n) {
  if (!n->saved_count) return;
  n->freed = true;
  drop_saved(n);
}

py::object saved_tensor(NodeObject* n, int i) {
  if (n->freed)
    fail(ErrorKind::runtime,
         "Trying to backward through the graph a second time (or directly access saved tensors "
         "after they have already been freed). Saved intermediate values of the graph are freed "
         "when you call .backward() or autograd.grad(). Specify retain_graph=True if you need to "
         "backward through the graph a second time.");
  const Saved& s = n->saved[i];
  if (s.version < 0) return py::reinterpret_borrow<py::object>(s.value);
  const Py_ssize_t now = s.counter ? reinterpret_cast<VersionCounter*>(s.counter)->value
                                   : version_of(as_tensor(s.value));
  if (now != s.version) {
    const py::object text =
        py::handle(reinterpret_cast<PyObject*>(n))
            .attr("_modified")(py::handle(s.counter ? s.value : as_tensor(s.value)->data), now,
                               s.version);
    fail(ErrorKind::runtime, text.cast<std::string>());
  }
  if (!s.counter) return py::reinterpret_borrow<py::object>(s.value);
  py::object made = wrap_array(s.value);
  TensorObject* t = as_tensor(made);
  t->node = Py_NewRef(reinterpret_cast<PyObject*>(n));
  t->index = s.index;
  t->requires_grad = true;
  t->version = Py_NewRef(s.counter);
  return made;
}

void bind_node(py::module_& m) {
  base_type = reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&spec));
  const py::object mode = py::reinterpret_steal<py::object>(PyType_FromSpec(&switch_spec));
  if (!base_type || !mode) throw py::error_already_set();
  m.attr("NodeBase") = py::handle(reinterpret_cast<PyObject*>(base_type));
  m.attr("grad_mode") = mode();
  m.attr("OUTPUT") = py::handle(output_mark());
  m.def("set_node_type",
        [](py::object type) { node_type = reinterpret_cast<PyTypeObject*>(type.release().ptr()); });
  def_fast<record>(
      m, "record", 0,
      "record(out, backward, inputs, saved=(), ctx=None): puts an op call on the tape");
  def_fast<any_wants_grad>(m, "wants_grad", 0,
                           "wants_grad(*tensors): whether an op on these (or None) is recorded");
}

}  // namespace fastnn
