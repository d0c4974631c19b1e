// optim_step(kind, flags, lr, weight_decay, hyper, params, grads, states, scalars)
#include "fastnn/ops/optim.h"

#include "bindings/arrays.h"

namespace fastnn {

namespace {

constexpr const char* kKinds[kOptimKinds] = {"sgd",    "adam",  "rmsprop", "adagrad", "adadelta",
                                             "adamax", "nadam", "radam",   "asgd",    "rprop"};

OptimKind kind_from(const std::string& name) {
  for (int i = 0; i < kOptimKinds; ++i)
    if (name == kKinds[i]) return static_cast<OptimKind>(i);
  fail(ErrorKind::value, "optim_step: unknown kind '", name, "'");
}

// `states` and `scalars` are sequences of lists, one list per group.
void step(const std::string& kind, int flags, double lr, double weight_decay, py::handle hyper,
          py::handle params, py::handle grads, py::sequence states, py::sequence scalars) {
  constexpr const char* op = "optim_step";
  OptimParams p{kind_from(kind), flags, 0, lr, weight_decay, {}};
  int at = 0;
  for (py::handle h : hyper) {
    if (at == 4) fail(ErrorKind::value, op, ": at most 4 hyper-parameters");
    p.h[at++] = h.cast<double>();
  }
  ArrayList arrays;
  arrays.add(params, -1, true, op, "params");
  p.count = arrays.size();
  arrays.add(grads, p.count, false, op, "grads");
  if (static_cast<int>(states.size()) != optim_states(p.kind, flags) ||
      static_cast<int>(scalars.size()) != optim_scalars(p.kind))
    fail(ErrorKind::value, op, ": ", kind, " takes ", optim_states(p.kind, flags),
         " state lists and ", optim_scalars(p.kind), " scalar lists, got ", states.size(), " and ",
         scalars.size());
  for (py::handle group : states) arrays.add(group, p.count, true, op, "states");
  for (py::handle group : scalars) arrays.add(group, p.count, true, op, "scalars");
  arrays.run(optim_step, p);
}

}  // namespace

void bind_optim(py::module_& m) { m.def("optim_step", &step); }

}  // namespace fastnn
