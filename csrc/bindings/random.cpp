// Seeds and offsets are Python integers below 2^64; which part of the stream a draw uses up is the
// caller's business (random_blocks says how much).
#include "fastnn/ops/random.h"

#include "bindings/arrays.h"

namespace fastnn {

namespace {

py::object fill(RandomParams p, py::handle out, py::handle probabilities = py::none()) {
  const Arg array = output_arg(out, "random_fill", "out");
  run_op(random_fill, p, {array, optional_arg(probabilities, "random_fill", "p")});
  return array.keep;
}

RandomKind kind_from(const std::string& name) {
  if (name == "uniform") return RandomKind::uniform;
  if (name == "normal") return RandomKind::normal;
  if (name == "integers") return RandomKind::integers;
  if (name == "bernoulli") return RandomKind::bernoulli;
  fail(ErrorKind::value, "random_blocks: unknown kind '", name, "'");
}

// The number of blocks that filling `array` (or dropping out of it) takes.
int64_t blocks(const std::string& kind, py::handle array) {
  const TensorView v = input_arg(array, "random_blocks", "array").view;
  return random_blocks(kind_from(kind), v.dtype, v.numel());
}

py::object dropout(py::handle x, double p, uint64_t seed, uint64_t offset) {
  const Arg in = input_arg(x, "dropout", "input");
  NewArray out = new_array_like(in.view, in.view.dtype);
  run_op(dropout_apply, DropoutParams{p, seed, offset}, {in, out});
  return out.array;
}

py::object permutation(int64_t n, uint64_t seed, uint64_t offset) {
  if (n < 0) fail(ErrorKind::value, "randperm: n must be non-negative, got ", n);
  set_output_device(0);
  NewArray out = new_array(DType::i64, {n});
  run_op(random_permutation, PermutationParams{seed, offset}, {out});
  return out.array;
}

}  // namespace

void bind_random(py::module_& m) {
  m.def("random_blocks", &blocks);
  m.def("random_uniform_",
        [](py::handle out, uint64_t seed, uint64_t offset, double low, double high) {
          return fill({RandomKind::uniform, seed, offset, low, high, 0, 0}, out);
        });
  m.def("random_normal_",
        [](py::handle out, uint64_t seed, uint64_t offset, double mean, double std) {
          return fill({RandomKind::normal, seed, offset, mean, std, 0, 0}, out);
        });
  m.def("random_integers_",
        [](py::handle out, uint64_t seed, uint64_t offset, int64_t low, uint64_t range) {
          return fill({RandomKind::integers, seed, offset, 0, 0, low, range}, out);
        });
  m.def("random_bernoulli_", [](py::handle out, uint64_t seed, uint64_t offset, double p) {
    return fill({RandomKind::bernoulli, seed, offset, p, 0, 0, 0}, out);
  });
  m.def("random_bernoulli_of_", [](py::handle out, uint64_t seed, uint64_t offset, py::handle p) {
    return fill({RandomKind::bernoulli_of, seed, offset, 0, 0, 0, 0}, out, p);
  });
  m.def("dropout", &dropout);
  m.def("random_permutation", &permutation);
}

}  // namespace fastnn
