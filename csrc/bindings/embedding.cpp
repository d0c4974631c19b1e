#include "fastnn/ops/embedding.h"

#include "bindings/arrays.h"

namespace fastnn {

namespace {

Arg index_arg(py::handle array, const char* op, const char* name) {
  Arg arg = contiguous_arg(array, op, name);
  if (arg.view.dtype == DType::i64) return arg;
  if (is_float(arg.view.dtype) || arg.view.dtype == DType::b8)
    fail(ErrorKind::dtype, op, ": ", name, " must hold integers, got ", name_of(arg.view.dtype));
  return input_arg(arg.keep.attr("astype")("int64"), op, name);
}

// [V, D] with contiguous rows.
Arg table_arg(py::handle array, const char* op, const char* name) {
  Arg arg = input_arg(array, op, name);
  if (arg.view.ndim != 2)
    fail(ErrorKind::shape, op, ": ", name,
         " must have 2 dimensions (rows and their size), got shape ", arg.view.shape_text());
  return arg.view.shape[1] <= 1 || arg.view.stride[1] == 1 ? std::move(arg)
                                                           : contiguous_arg(array, op, name);
}

py::object forward(py::handle table, py::handle indices) {
  constexpr const char* op = "embedding";
  const Arg weight = table_arg(table, op, "weight"), index = index_arg(indices, op, "input");
  if (index.view.ndim + 1 > kMaxDims) fail(ErrorKind::shape, op, ": input has too many dimensions");
  int64_t shape[kMaxDims];
  std::copy(index.view.shape, index.view.shape + index.view.ndim, shape);
  shape[index.view.ndim] = weight.view.shape[1];
  NewArray out = new_array(weight.view.dtype, shape, index.view.ndim + 1);
  run_op(embedding_forward, EmbeddingParams{}, {weight, index, out});
  return out.array;
}

// (out, positions of the maxima or None)
py::tuple bag(py::handle table, py::handle indices, py::handle offsets, py::handle scale,
              const std::string& mode, int64_t padding) {
  constexpr const char* op = "embedding_bag";
  const Arg weight = table_arg(table, op, "weight"), index = index_arg(indices, op, "input");
  const Arg starts = index_arg(offsets, op, "offsets");
  const Arg factors = optional_contiguous_arg(scale, op, "per_sample_weights");
  const BagMode kind = mode == "sum" ? BagMode::sum : mode == "mean" ? BagMode::mean : BagMode::max;
  const int64_t bags = starts.view.numel(), columns = weight.view.shape[1];
  NewArray out = new_array(weight.view.dtype, {bags, columns}), where;
  where.array = py::none();
  if (kind == BagMode::max) where = new_array(DType::i64, {bags, columns});
  run_op(embedding_bag_forward, BagParams{kind, padding},
         {weight, index, starts, factors, out, where});
  return py::make_tuple(out.array, where.array);
}

py::object backward(py::handle dy, py::handle indices, py::handle source, py::handle scale,
                    int64_t rows, int64_t padding, bool by_frequency) {
  constexpr const char* op = "embedding";
  const Arg grad = table_arg(dy, op, "grad_output"), index = index_arg(indices, op, "input");
  const Arg from = source.is_none() ? Arg{} : index_arg(source, op, "source");
  const Arg factors = optional_contiguous_arg(scale, op, "scale");
  NewArray out = new_array(grad.view.dtype, {rows, grad.view.shape[1]});
  run_op(embedding_backward, EmbeddingGradParams{padding, by_frequency},
         {grad, index, from, factors, out});
  return out.array;
}

}  // namespace

void bind_embedding(py::module_& m) {
  m.def("embedding", &forward);
  m.def("embedding_bag", &bag);
  m.def("embedding_backward", &backward);
}

}  // namespace fastnn
