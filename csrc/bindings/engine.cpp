// The backward pass: runs backward functions from roots to leaves, newest node first, freeing as it
// goes. In C because every node of a step passes through its queue, and every parameter's gradient
// is stored here.
#include <algorithm>
#include <map>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "bindings/fast_function.h"
#include "bindings/leaf_grad.h"
#include "bindings/node.h"

namespace fastnn {

namespace {

struct EdgeHash {
  size_t operator()(const Edge& e) const {
    return std::hash<const void*>()(e.target) ^ (static_cast<size_t>(e.index) << 4);
  }
};
struct EdgeEqual {
  bool operator()(const Edge& a, const Edge& b) const {
    return a.target == b.target && a.index == b.index;
  }
};
using Targets = std::unordered_map<Edge, py::object, EdgeHash, EdgeEqual>;
using NodeSet = std::unordered_set<PyObject*>;

bool is_node(const Edge& e) { return e.target && !is_tensor(e.target); }

// What hooks do: each may give a replacement.
void run_hooks(py::handle hooks, py::object& value, const py::object* second = nullptr) {
  const py::list functions =
      py::reinterpret_steal<py::list>(PyDict_Values(hooks.ptr()));  // hooks may remove themselves
  if (!functions) throw py::error_already_set();
  for (const py::handle hook : functions) {
    py::object changed = second ? hook(value, *second) : hook(value);
    if (!changed.is_none()) value = std::move(changed);
  }
}
bool has_hooks(PyObject* hooks) { return hooks && PyDict_Check(hooks) && PyDict_GET_SIZE(hooks); }

py::object tuple_of(const std::vector<py::object>& values) {
  py::tuple out(values.size());
  for (size_t i = 0; i < values.size(); ++i) out[i] = values[i] ? values[i] : py::none();
  return out;
}

// ---- the nodes on the way to the targets --------------------------------------------------------

NodeSet nodes_towards(const std::vector<Edge>& roots, const Targets& targets) {
  std::map<int64_t, PyObject*> reachable;  // oldest first: inputs stand before what is made of them
  std::vector<PyObject*> stack;
  const auto visit = [&](const Edge& e) {
    if (is_node(e) && reachable.emplace(as_node(e.target)->sequence, e.target).second)
      stack.push_back(e.target);
  };
  for (const Edge& e : roots) visit(e);
  while (!stack.empty()) {
    const NodeObject* n = as_node(stack.back());
    stack.pop_back();
    for (int i = 0; i < n->edge_count; ++i) visit(n->edges[i]);
  }
  NodeSet needed;
  for (const auto& [sequence, object] : reachable) {
    const NodeObject* n = as_node(object);
    for (int i = 0; i < n->edge_count; ++i) {
      const Edge& e = n->edges[i];
      if (e.target && (targets.count(e) || (is_node(e) && needed.count(e.target)))) {
        needed.insert(object);
        break;
      }
    }
  }
  return needed;
}

// ---- one backward pass --------------------------------------------------------------------------

PyObject* output_hooks = nullptr;  // Python: hooks on tensors that are no leaves, and retain_grad

class Run {
 public:
  Run(bool retain_graph, bool create_graph, Targets* targets)
      : retain_graph_(retain_graph), targets_(targets), leaves_(create_graph) {}

  void need(const std::vector<Edge>& roots) { needed_ = nodes_towards(roots, *targets_); }
  void start(const Edge& edge, const py::object& grad) {
    leaves_.borrow(grad);
    add(edge, grad);
  }
  void loop() {
    while (!pending_.empty()) {
      const Pending next = std::move(pending_.begin()->second);
      pending_.erase(pending_.begin());
      visit(next.node, next.grads);
    }
  }

 private:
  struct Pending {
    py::object node;
    std::vector<py::object> grads;  // one for each output; null where none came
  };

  bool unneeded(const Edge& e) const {
    return targets_ && !needed_.count(e.target) && !targets_->count(e);
  }

  static void accumulate(py::object& known, py::object grad) {
    if (!known) {
      known = std::move(grad);
      return;
    }
    PyObject* sum = PyNumber_Add(known.ptr(), grad.ptr());
    if (!sum) throw py::error_already_set();
    known = py::reinterpret_steal<py::object>(sum);
  }

  // Gives `grad` to where the edge points.
  void add(const Edge& edge, py::object grad) {
    if (!is_tensor(grad))
      throw py::type_error(
          cat("backward: a gradient must be a Tensor or None, got ", Py_TYPE(grad.ptr())->tp_name));
    if (!is_node(edge)) return to_leaf(edge.target, std::move(grad));
    const NodeObject* node = as_node(edge.target);
    auto found = pending_.find(node->sequence);
    if (found == pending_.end()) {
      if (unneeded(edge)) return;
      Pending fresh{py::reinterpret_borrow<py::object>(edge.target), {}};
      fresh.grads.resize(node->outputs);
      found = pending_.emplace(node->sequence, std::move(fresh)).first;
    }
    accumulate(found->second.grads[edge.index], std::move(grad));
  }

  void to_leaf(PyObject* leaf, py::object grad) {
    if (has_hooks(as_tensor(leaf)->hooks)) run_hooks(as_tensor(leaf)->hooks, grad);
    grad = fitted_grad(leaf, std::move(grad));
    if (!targets_) return leaves_.add(leaf, std::move(grad));
    const auto target = targets_->find({leaf, -1});
    if (target != targets_->end()) accumulate(target->second, std::move(grad));
  }

  void visit(const py::object& node, std::vector<py::object> grads) {
    const NodeObject* n = as_node(node);
    if (n->metadata && n->metadata != Py_None) {
      py::list all = py::list(tuple_of(grads));
      const py::handle hooks = output_hooks;
      hooks(node, all);
      for (size_t i = 0; i < grads.size(); ++i)
        grads[i] = all[i].is_none() ? py::object() : py::object(all[i]);
    }
    if (targets_) {
      for (size_t i = 0; i < grads.size(); ++i) {
        const auto target = targets_->find({node.ptr(), static_cast<Py_ssize_t>(i)});
        if (grads[i] && target != targets_->end()) target->second = grads[i];
      }
      if (!needed_.count(node.ptr())) return;
    }
    step(node, grads);
  }

  static py::object call_backward(const py::object& node, const std::vector<py::object>& grads) {
    constexpr size_t kInline = 6;
    PyObject* few[1 + kInline];
    std::vector<PyObject*> many(grads.size() > kInline ? 1 + grads.size() : 0);
    PyObject** args = many.empty() ? few : many.data();
    args[0] = node.ptr();
    for (size_t i = 0; i < grads.size(); ++i) args[1 + i] = grads[i] ? grads[i].ptr() : Py_None;
    PyObject* r = PyObject_Vectorcall(as_node(node)->backward, args, 1 + grads.size(), nullptr);
    if (!r) throw py::error_already_set();
    return py::reinterpret_steal<py::object>(r);
  }

  void step(const py::object& node, std::vector<py::object>& grads) {
    NodeObject* n = as_node(node);
    if (has_hooks(n->prehooks)) {
      py::object all = tuple_of(grads);
      run_hooks(n->prehooks, all);
      grads.clear();
      for (const py::handle g : all)
        grads.push_back(g.is_none() ? py::object() : py::reinterpret_borrow<py::object>(g));
    }
    py::object results = call_backward(node, grads);
    const Py_ssize_t count = PyTuple_Check(results.ptr()) ? PyTuple_GET_SIZE(results.ptr()) : 1;
    if (count != n->edge_count)
      fail(ErrorKind::runtime, node.attr("name")().cast<std::string>(), " returned ", count,
           " gradients for ", n->edge_count, " inputs");
    if (has_hooks(n->hooks)) {
      if (!PyTuple_Check(results.ptr())) results = py::make_tuple(results);
      const py::object sent = tuple_of(grads);
      run_hooks(n->hooks, results, &sent);
      results = py::tuple(results);
      if (PyTuple_GET_SIZE(results.ptr()) != n->edge_count)
        fail(ErrorKind::runtime, "backward: a hook changed the number of gradients");
    }
    grads.clear();
    if (!retain_graph_) free_saved(n);
    const bool several = PyTuple_Check(results.ptr());
    for (int i = 0; i < n->edge_count; ++i) {
      const py::handle g = several ? PyTuple_GET_ITEM(results.ptr(), i) : results.ptr();
      if (n->edges[i].target && !g.is_none())
        add(n->edges[i], py::reinterpret_borrow<py::object>(g));
    }
  }

  const bool retain_graph_;
  Targets* const targets_;  // edge -> captured gradient; null: every leaf accumulates
  LeafGrads leaves_;
  NodeSet needed_;  // with targets: the nodes on the way to them
  std::map<int64_t, Pending, std::greater<>> pending_;  // newest first
};

// run_backward(tensors, grads, retain_graph, create_graph, inputs=None, op="backward"): the
// gradients of `inputs`, or None where all leaves got theirs.
py::object run_backward(int, const CallArgs& call) {
  static constexpr const char* kNames[] = {"tensors",      "grads",  "retain_graph",
                                           "create_graph", "inputs", "op"};
  py::handle args[6];
  call.unpack(kNames, 4, 6, args);
  const std::string op = args[5] ? args[5].cast<std::string>() : "backward";
  const py::list tensors(py::reinterpret_borrow<py::object>(args[0]));
  const std::vector<py::object> grads = root_grads(tensors, args[1], op.c_str());
  const bool create_graph = truth_of(args[3]);

  Targets targets;
  std::vector<Edge> wanted, roots;
  const bool captures = args[4] && !args[4].is_none();
  if (captures)
    for (const py::handle t : args[4]) {
      tensor_arg(t, op.c_str(), "inputs");
      wanted.push_back(edge_of(t));
      if (!wanted.back().target)
        fail(ErrorKind::runtime, op, ": One of the differentiated Tensors does not require grad");
      targets.emplace(wanted.back(), py::object());
    }
  for (const py::handle t : tensors) roots.push_back(edge_of(t));

  // A hook may drop what the caller holds: the graph's roots live as long as the run.
  std::vector<py::object> alive;
  for (const Edge& e : roots) alive.push_back(py::reinterpret_borrow<py::object>(e.target));
  Run run(truth_of(args[2]), create_graph, captures ? &targets : nullptr);
  if (captures) run.need(roots);
  const GradMode mode(create_graph);
  for (size_t i = 0; i < roots.size(); ++i) run.start(roots[i], grads[i]);
  run.loop();
  if (!captures) return py::none();
  py::list found;
  for (const Edge& e : wanted) {
    const py::object& g = targets.find(e)->second;
    found.append(g ? g : py::none());
  }
  return found;
}

}  // namespace

void bind_engine(py::module_& m) {
  m.def("set_output_hooks", [](py::object function) { output_hooks = function.release().ptr(); });
  def_fast<run_backward>(
      m, "run_backward", 0,
      "run_backward(tensors, grads, retain_graph, create_graph, inputs=None, op='backward')");
}

}  // namespace fastnn
