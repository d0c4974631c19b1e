// Tables of rows. The gradient sorts positions by index (counting sort), so that every row of the
// table is summed by one task in the order of positions.
#include "fastnn/ops/embedding.h"

#include <algorithm>
#include <cstring>

#include "cpu/kernels/embedding.h"

namespace fastnn {

namespace {

constexpr const char* kName = "embedding";
constexpr int64_t kColumns = 256;  // of a sum that is under way
constexpr int64_t kSubTotal = 64;  // rows that are summed in T

template <class T>
AddRows<T> add_rows() {
  if constexpr (sizeof(T) == 8)
    return active_embedding_kernels().add_rows_f64;
  else
    return active_embedding_kernels().add_rows_f32;
}

void check_index(const char* op, const TensorView& index, int64_t rows) {
  if (index.dtype != DType::i64 || !index.contiguous())
    fail(ErrorKind::dtype, op, ": indices must be contiguous int64, got ", name_of(index.dtype));
  const auto* at = index.ptr<const int64_t>();
  for (int64_t i = 0, n = index.numel(); i < n; ++i)
    if (at[i] < 0 || at[i] >= rows)
      fail(ErrorKind::index, op, ": index ", at[i], " (at flat position ", i,
           ") is out of range for a table of ", rows, " rows; expected 0 to ", rows - 1);
}

void check_table(const char* op, const TensorView& v) {
  if (!is_float(v.dtype))
    fail(ErrorKind::dtype, op, ": the table must be floating-point, got ", name_of(v.dtype));
  if (v.ndim != 2 || (v.shape[1] > 1 && v.stride[1] != 1))
    fail(ErrorKind::shape, op, ": the table must have 2 dimensions and contiguous rows, got shape ",
         v.shape_text());
}

// ---- Gather
// -----------------------------------------------------------------------------------------------------------

void check_forward(const EmbeddingParams&, const TensorView* v) {
  check_table(kName, v[0]);
  check_index(kName, v[1], v[0].shape[0]);
  if (v[2].dtype != v[0].dtype || v[2].numel() != v[1].numel() * v[0].shape[1])
    fail(ErrorKind::shape, kName, ": the output must have a row of ", v[0].shape[1],
         " for each index");
}

void run_forward(const EmbeddingParams&, const TensorView* v, void*) {
  const TensorView& table = v[0];
  const auto size = static_cast<int64_t>(size_of(table.dtype)), bytes = table.shape[1] * size;
  const auto* index = v[1].ptr<const int64_t>();
  const char* from = table.ptr<const char>();
  char* to = v[2].ptr<char>();
  parallel_blocks(v[1].numel(), std::max<int64_t>(1, 65536 / std::max<int64_t>(bytes, 1)),
                  [&](int64_t begin, int64_t end, int) {
                    for (int64_t i = begin; i < end; ++i)
                      std::memcpy(to + i * bytes, from + index[i] * table.stride[0] * size,
                                  static_cast<size_t>(bytes));
                  });
}

// ---- Sums of rows
// -----------------------------------------------------------------------------------------------------

// out[j] = factor * sum of n rows, `columns` <= kColumns of them; subtotals of kSubTotal rows are
// added up in double.
template <class T>
void sum_rows(const T* rows, int64_t stride, const int64_t* source, const T* scale,
              const int64_t* positions, int64_t n, int64_t columns, double factor, T* out) {
  alignas(kAlignment) T part[kColumns];
  double total[kColumns];
  const AddRows<T> add = add_rows<T>();
  for (int64_t i = 0; i < n; i += kSubTotal) {
    std::fill(part, part + columns, T(0));
    add(rows, stride, source + i, scale, positions + i, std::min(kSubTotal, n - i), columns, part);
    for (int64_t j = 0; j < columns; ++j)
      total[j] = i == 0 ? static_cast<double>(part[j]) : total[j] + static_cast<double>(part[j]);
  }
  for (int64_t j = 0; j < columns; ++j) out[j] = n == 0 ? T(0) : static_cast<T>(total[j] * factor);
}

// ---- Bags
// -------------------------------------------------------------------------------------------------------------

void check_bag(const BagParams& p, const TensorView* v) {
  constexpr const char* op = "embedding_bag";
  check_table(op, v[0]);
  check_index(op, v[1], v[0].shape[0]);
  if (v[0].dtype != DType::f32 && v[0].dtype != DType::f64)
    fail(ErrorKind::dtype, op, ": the table must be float32 or float64, got ", name_of(v[0].dtype));
  if (v[2].dtype != DType::i64 || !v[2].contiguous() || v[2].ndim != 1)
    fail(ErrorKind::dtype, op, ": offsets must be contiguous int64 of one dimension");
  const auto* offsets = v[2].ptr<const int64_t>();
  const int64_t bags = v[2].numel(), n = v[1].numel();
  for (int64_t b = 0; b < bags; ++b) {
    const int64_t least = b == 0 ? 0 : offsets[b - 1];
    if ((b == 0 && offsets[0] != 0) || offsets[b] < least || offsets[b] > n)
      fail(ErrorKind::value, op,
           ": offsets must start at 0, ascend and not exceed the number of indices (", n,
           "), but offsets[", b, "] = ", offsets[b]);
  }
  if (v[3] && (p.mode == BagMode::max || v[3].numel() != n || v[3].dtype != v[0].dtype ||
               !v[3].contiguous()))
    fail(ErrorKind::value, op, ": per_sample_weights must be ", name_of(v[0].dtype),
         " with one weight for each of ", n, " indices, and mode must not be 'max'");
}

template <class T>
class Bags {
 public:
  Bags(const BagParams& p, const TensorView* v, int64_t* positions)
      : p_(p),
        v_(v),
        table_(v[0].ptr<const T>()),
        index_(v[1].ptr<const int64_t>()),
        columns_(v[0].shape[1]),
        stride_(v[0].stride[0]),
        positions_(positions),
        source_(positions + v[1].numel()) {}

  void run(int64_t bag) {
    const int64_t count = collect(bag), first = v_[2].ptr<const int64_t>()[bag];
    const int64_t *positions = positions_ + first, *source = source_ + first;
    T* out = v_[4].ptr<T>() + bag * columns_;
    if (p_.mode == BagMode::max)
      return maximum(positions, source, count, out, v_[5].ptr<int64_t>() + bag * columns_);
    const double factor = p_.mode == BagMode::mean && count ? 1 / static_cast<double>(count) : 1;
    for (int64_t j = 0; j < columns_; j += kColumns)
      sum_rows(table_ + j, stride_, source, v_[3].ptr<const T>(), positions, count,
               std::min(kColumns, columns_ - j), factor, out + j);
  }

 private:
  // Writes the bag's positions that count, and their rows, to the bag's part of the workspace.
  int64_t collect(int64_t bag) {
    const auto* offsets = v_[2].ptr<const int64_t>();
    const int64_t begin = offsets[bag],
                  end = bag + 1 < v_[2].numel() ? offsets[bag + 1] : v_[1].numel();
    int64_t count = 0;
    for (int64_t i = begin; i < end; ++i) {
      if (index_[i] == p_.padding) continue;
      positions_[begin + count] = i;
      source_[begin + count++] = index_[i];
    }
    return count;
  }

  void maximum(const int64_t* positions, const int64_t* source, int64_t count, T* out,
               int64_t* where) const {
    for (int64_t j = 0; j < columns_; ++j) {
      T best = 0;
      int64_t at = -1;
      for (int64_t i = 0; i < count; ++i) {
        const T value = table_[source[i] * stride_ + j];
        if (at < 0 || value > best || (value != value && best == best)) {
          best = value;
          at = positions[i];
        }
      }
      out[j] = best;
      where[j] = at;
    }
  }

  const BagParams& p_;
  const TensorView* v_;
  const T* table_;
  const int64_t* index_;
  int64_t columns_, stride_;
  int64_t *positions_, *source_;
};

size_t bag_workspace(const BagParams&, const TensorView* v) {
  return static_cast<size_t>(2 * v[1].numel()) * sizeof(int64_t);
}

template <class T>
void run_bags(const BagParams& p, const TensorView* v, int64_t* memory) {
  const int64_t bags = v[2].numel(), work = (v[1].numel() + bags) * v[0].shape[1];
  const int64_t grain = std::max<int64_t>(1, bags * 16384 / std::max<int64_t>(work, 1));
  Bags<T> op(p, v, memory);
  parallel_blocks(bags, grain, [&](int64_t begin, int64_t end, int) {
    for (int64_t b = begin; b < end; ++b) op.run(b);
  });
}

void run_bag(const BagParams& p, const TensorView* v, void* memory) {
  auto* positions = static_cast<int64_t*>(memory);
  v[0].dtype == DType::f64 ? run_bags<double>(p, v, positions) : run_bags<float>(p, v, positions);
}

// ---- The gradient of the table
// ----------------------------------------------------------------------------------------

void check_backward(const EmbeddingGradParams&, const TensorView* v) {
  check_table(kName, v[0]);
  check_index(kName, v[1], v[4].shape[0]);
  const int64_t n = v[1].numel();
  if ((v[0].dtype != DType::f32 && v[0].dtype != DType::f64) || v[4].dtype != v[0].dtype ||
      v[4].shape[1] != v[0].shape[1])
    fail(ErrorKind::shape, kName, ": the gradient ", v[0].shape_text(), " does not fit the table ",
         v[4].shape_text());
  if (v[2]) {
    if (v[2].numel() != n)
      fail(ErrorKind::shape, kName, ": expected a source for each of ", n, " indices");
    check_index(kName, v[2], v[0].shape[0]);
  } else if (v[0].shape[0] != n) {
    fail(ErrorKind::shape, kName, ": expected a gradient row for each of ", n, " indices, got ",
         v[0].shape[0]);
  }
  if (v[3] && (v[3].numel() != n || v[3].dtype != v[0].dtype || !v[3].contiguous()))
    fail(ErrorKind::shape, kName, ": expected a scale for each of ", n, " indices");
}

size_t backward_workspace(const EmbeddingGradParams&, const TensorView* v) {
  return static_cast<size_t>(v[4].shape[0] + 1 + 2 * v[1].numel()) * sizeof(int64_t);
}

// start[v] .. start[v + 1]: where the positions with index v stand in `order`, ascending.
void sort_positions(const int64_t* index, int64_t n, int64_t rows, int64_t* start, int64_t* order) {
  std::fill(start, start + rows + 1, int64_t{0});
  for (int64_t i = 0; i < n; ++i) ++start[index[i]];
  int64_t sum = 0;
  for (int64_t r = 0; r <= rows; ++r) {
    const int64_t count = start[r];
    start[r] = sum;
    sum += count;
  }
  for (int64_t i = 0; i < n; ++i) order[start[index[i]]++] = i;
  for (int64_t r = rows; r > 0; --r) start[r] = start[r - 1];
  start[0] = 0;
}

template <class T>
void backward(const EmbeddingGradParams& p, const TensorView* v, int64_t* memory) {
  const int64_t rows = v[4].shape[0], columns = v[4].shape[1], n = v[1].numel();
  int64_t *start = memory, *order = start + rows + 1, *source = order + n;
  sort_positions(v[1].ptr<const int64_t>(), n, rows, start, order);
  const auto* given = v[2].ptr<const int64_t>();
  for (int64_t i = 0; i < n; ++i) source[i] = given ? given[order[i]] : order[i];
  const T *dy = v[0].ptr<const T>(), *scale = v[3].ptr<const T>();
  T* out = v[4].ptr<T>();
  const int64_t work = (rows + n) * std::max<int64_t>(columns, 1);
  parallel_blocks(
      rows, std::max<int64_t>(1, rows * 16384 / std::max<int64_t>(work, 1)),
      [&](int64_t begin, int64_t end, int) {
        // Most rows are met by no position, and one long write of zeros is the quickest.
        std::fill(out + begin * columns, out + end * columns, T(0));
        for (int64_t r = begin; r < end; ++r) {
          const int64_t first = start[r], hits = r == p.padding ? 0 : start[r + 1] - first;
          if (hits == 0) continue;
          const double factor = p.by_frequency && hits ? 1 / static_cast<double>(hits) : 1;
          for (int64_t j = 0; j < columns; j += kColumns)
            sum_rows(dy + j, v[0].stride[0], source + first, scale, order + first, hits,
                     std::min(kColumns, columns - j), factor, out + r * columns + j);
        }
      });
}

void run_backward(const EmbeddingGradParams& p, const TensorView* v, void* memory) {
  auto* workspace = static_cast<int64_t*>(memory);
  v[0].dtype == DType::f64 ? backward<double>(p, v, workspace) : backward<float>(p, v, workspace);
}

}  // namespace

const Op<EmbeddingParams> embedding_forward{"embedding", check_forward, nullptr, run_forward};
const Op<BagParams> embedding_bag_forward{"embedding_bag", check_bag, bag_workspace, run_bag};
const Op<EmbeddingGradParams> embedding_backward{"embedding_backward", check_backward,
                                                 backward_workspace, run_backward};

}  // namespace fastnn
