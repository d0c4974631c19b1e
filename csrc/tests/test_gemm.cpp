// Matrix products against the straight loops of csrc/cpu/ref: layouts, ragged sizes, batches,
// epilogues and dtypes, at every level. Whatever is not an element of the output must stay as it
// was, and threads and alignment must not change a bit.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include "check.h"
#include "cpu/ref/element.h"
#include "cpu/ref/gemm.h"
#include "fastnn/isa.h"
#include "fastnn/ops/gemm.h"
#include "fastnn/parallel.h"

namespace {

using namespace fastnn;

enum class Layout { rows, columns, spread, reversed, far };  // far: rows 4096 bytes apart

uint32_t random_state;
double random() {  // in [-1, 1)
  random_state = random_state * 1664525u + 1013904223u;
  return static_cast<double>(static_cast<int32_t>(random_state)) / 2147483648.0;
}

// A view of a buffer that is larger than the view needs.
struct Matrix {
  std::vector<char> bytes;
  TensorView view;

  // shape: batch axes, rows, columns; `shift` elements off the alignment.
  Matrix(DType dtype, const std::vector<int64_t>& shape, Layout layout, int shift = 0) {
    view.dtype = dtype;
    view.ndim = static_cast<int>(shape.size());
    std::copy(shape.begin(), shape.end(), view.shape);
    const int row = view.ndim - 2, column = view.ndim - 1;
    const int64_t m = shape[static_cast<size_t>(row)], n = shape[static_cast<size_t>(column)];
    const auto size = static_cast<int64_t>(size_of(dtype));
    int64_t step = layout == Layout::spread ? 3 : 1, pitch = n * step + 5;
    if (layout == Layout::far) pitch = (n * size + 4095) / 4096 * 4096 / size;
    if (layout == Layout::columns) pitch = m + 2;
    view.stride[row] = layout == Layout::columns ? 1 : pitch;
    view.stride[column] = layout == Layout::columns ? pitch : step;
    int64_t extent = (layout == Layout::columns ? n : m) * pitch + 1;
    for (int d = row - 1; d >= 0; --d) {
      view.stride[d] = extent;
      extent *= shape[static_cast<size_t>(d)];
    }
    constexpr int64_t kMargin = 64;
    bytes.resize(static_cast<size_t>((extent + 2 * kMargin) * size + 64));
    for (int64_t i = 0; i < extent + 2 * kMargin; ++i) write_element(first(), dtype, i, random());
    int64_t at = kMargin + shift;
    if (layout == Layout::reversed) {
      at += (m - 1) * pitch + (n - 1) * step;
      if (m == 0 || n == 0) at = kMargin;
      view.stride[row] = -view.stride[row];
      view.stride[column] = -view.stride[column];
    }
    view.data = first() + at * size;
  }
  Matrix(const Matrix&) = delete;

  char* first() {
    char* p = bytes.data();
    return p + (64 - reinterpret_cast<uintptr_t>(p) % 64) % 64;
  }
};

// f(offset) for every element.
template <class F>
void for_elements(const TensorView& v, F f) {
  int64_t index[kMaxDims] = {};
  for (int64_t left = v.numel(); left > 0; --left) {
    int64_t at = 0;
    for (int d = 0; d < v.ndim; ++d) at += index[d] * v.stride[d];
    f(at);
    for (int d = v.ndim - 1; d >= 0 && ++index[d] == v.shape[d]; --d) index[d] = 0;
  }
}

struct Case {
  std::vector<int64_t> batch;  // of a and c
  int64_t m, k, n;
  DType dtype;
  Layout a, b, c;
  GemmParams params;
  enum Bias { none, row, column } bias;
};

double rounding(DType dtype) {
  return dtype == DType::bf16  ? 0x1p-8
         : dtype == DType::f16 ? 0x1p-11
         : dtype == DType::f32 ? 0x1p-23
                               : 0x1p-52;
}

std::vector<int64_t> joined(std::vector<int64_t> batch, int64_t rows, int64_t columns) {
  batch.push_back(rows);
  batch.push_back(columns);
  return batch;
}

class Check {
 public:
  explicit Check(const Case& c)
      : case_(c),
        a_(c.dtype, joined(c.batch, c.m, c.k), c.a),
        b_(c.dtype, {c.k, c.n}, c.b),
        bias_(c.dtype, {c.bias == Case::column ? c.m : 1, c.bias == Case::column ? 1 : c.n},
              Layout::rows),
        truth_(DType::f64, joined(c.batch, c.m, c.n), Layout::rows) {
    random_state = 99;
    const Matrix start(c.dtype, joined(c.batch, c.m, c.n), c.c);
    std::vector<double> values;
    for_elements(start.view,
                 [&](int64_t at) { values.push_back(read_element(start.view.data, c.dtype, at)); });
    auto value = values.begin();
    for_elements(truth_.view, [&](int64_t at) { truth_.view.ptr<double>()[at] = *value++; });
    const TensorView views[4] = {a_.view, b_.view, truth_.view, bias()};
    gemm_reference(c.params, views);
  }

  void at_this_level() {
    set_num_threads(1);
    const std::vector<double> result = run(0, true);
    for (int threads : {2, 3}) {
      set_num_threads(threads);
      CHECK(run(0, false) == result);
    }
    CHECK(run(1, false) == result);
  }

 private:
  TensorView bias() const { return case_.bias == Case::none ? TensorView{} : bias_.view; }

  std::vector<double> run(int shift, bool compare) {
    random_state = 99;
    Matrix out(case_.dtype, joined(case_.batch, case_.m, case_.n), case_.c, shift);
    const std::vector<char> before = out.bytes;
    if (shift) copy_start(out);
    launch(gemm_forward, case_.params, {a_.view, b_.view, out.view, bias()});
    std::vector<double> result;
    for_elements(out.view, [&](int64_t at) {
      result.push_back(read_element(out.view.data, case_.dtype, at));
    });
    if (compare) {
      compare_with_truth(result);
      // Put the old elements back: then nothing may differ.
      const auto size = static_cast<int64_t>(size_of(case_.dtype));
      const int64_t offset = static_cast<char*>(out.view.data) - out.bytes.data();
      for_elements(out.view, [&](int64_t at) {
        memcpy(out.view.ptr<char>() + at * size, before.data() + offset + at * size,
               static_cast<size_t>(size));
      });
      CHECK(out.bytes == before);
    }
    return result;
  }

  // The output's old values, which beta reads, where the shift put other ones.
  void copy_start(Matrix& out) {
    random_state = 99;
    const Matrix start(case_.dtype, joined(case_.batch, case_.m, case_.n), case_.c);
    std::vector<double> values;
    for_elements(start.view, [&](int64_t at) {
      values.push_back(read_element(start.view.data, case_.dtype, at));
    });
    auto value = values.begin();
    for_elements(out.view,
                 [&](int64_t at) { write_element(out.view.data, case_.dtype, at, *value++); });
  }

  // Sums of k products of values up to 1; the activations' slopes stay below 1.2.
  void compare_with_truth(const std::vector<double>& result) {
    const double sum = case_.dtype == DType::f64 ? 0x1p-52 : 0x1p-23;
    const double slack = 8 * sum * (std::sqrt(static_cast<double>(case_.k)) + 4);
    size_t i = 0;
    bool close = true;
    for_elements(truth_.view, [&](int64_t at) {
      const double y = truth_.view.ptr<double>()[at];
      close = close && std::abs(result[i++] - y) <= slack + 2 * rounding(case_.dtype) * std::abs(y);
    });
    if (!close)
      std::fprintf(
          stderr, "%s: %ldx%ldx%ld %s, layouts %d %d %d, bias %d, activation %d, level %s\n",
          "product differs", static_cast<long>(case_.m), static_cast<long>(case_.k),
          static_cast<long>(case_.n), name_of(case_.dtype), static_cast<int>(case_.a),
          static_cast<int>(case_.b), static_cast<int>(case_.c), static_cast<int>(case_.bias),
          static_cast<int>(case_.params.activation), name_of(active_isa()));
    CHECK(close);
  }

  const Case& case_;
  Matrix a_, b_, bias_, truth_;
};

void check_at_all_levels(const Case& c) {
  random_state = 7;
  Check check(c);
  const bool large = c.m * c.k * c.n > 1000000;  // too slow for the straight loops again
  for (int level = large ? 1 : 0; level <= static_cast<int>(best_isa()); ++level) {
    const auto isa = static_cast<Isa>(level);
    if (isa > Isa::avx512 && c.dtype != DType::bf16) continue;  // the same kernels
    set_isa(isa);
    check.at_this_level();
  }
}

struct Size {
  int64_t m, k, n;
};

// Edges of tiles, one row or column, sizes 0, packed operands, a long k.
constexpr Size kSizes[] = {{1, 1, 1},    {3, 5, 7},      {14, 33, 32}, {15, 64, 33}, {29, 130, 65},
                           {1, 300, 70}, {70, 300, 1},   {2, 17, 100}, {0, 4, 5},    {4, 0, 5},
                           {5, 4, 0},    {60, 150, 150}, {20, 2100, 9}};
// Operands packed for all tasks, several blocks of k and of columns.
constexpr Size kLarger[] = {{43, 530, 150}, {130, 90, 200}, {31, 530, 600}};

constexpr Layout kLayouts[][3] = {
    {Layout::rows, Layout::rows, Layout::rows},
    {Layout::rows, Layout::columns, Layout::rows},
    {Layout::columns, Layout::rows, Layout::rows},
    {Layout::columns, Layout::columns, Layout::columns},
    {Layout::far, Layout::far, Layout::far},
    {Layout::spread, Layout::reversed, Layout::spread},
    {Layout::reversed, Layout::spread, Layout::rows},
};

// Every case gets another epilogue.
void set_epilogue(int number, Case& c) {
  constexpr double kScale[][2] = {{1, 0}, {0.5, 0}, {1, 1}, {-0.75, 0.5}};
  c.params.alpha = kScale[number % 4][0];
  c.params.beta = kScale[number % 4][1];
  c.bias = static_cast<Case::Bias>(number % 3);
  c.params.activation = static_cast<Activation>(number % 5 ? 0 : number / 5 % kActivations);
}

void check_sizes() {
  constexpr DType kTypes[] = {DType::f32, DType::f64, DType::bf16, DType::f16};
  int number = 0;
  const auto check = [&](const Size& s, DType dtype, const Layout(&layouts)[3]) {
    Case c{{}, s.m, s.k, s.n, dtype, layouts[0], layouts[1], layouts[2], {}, Case::none};
    set_epilogue(number++, c);
    check_at_all_levels(c);
  };
  const bool slow = test::emulated() || test::kSanitized;
  for (const Size& s : kSizes)
    for (const auto& layouts : kLayouts)
      for (DType dtype : kTypes)
        if (!slow || ++number % 5 == 0) check(s, dtype, layouts);
  for (const Size& s : kLarger)
    for (const auto& layouts : kLayouts)
      for (DType dtype : {DType::f32, DType::bf16})
        if (!slow || ++number % 7 == 0) check(s, dtype, layouts);
}

void check_batches() {
  int number = 0;
  for (const auto& layouts : kLayouts)
    for (const Size& s : {Size{5, 7, 9}, Size{1, 20, 40}, Size{33, 40, 35}}) {
      Case c{{3, 2}, s.m, s.k, s.n, DType::f32, layouts[0], layouts[1], layouts[2], {}, Case::none};
      set_epilogue(number++, c);
      if (test::emulated() && number % 3) continue;
      check_at_all_levels(c);
    }
}

void check_refusals() {
  random_state = 7;
  const Matrix a(DType::f32, {3, 4}, Layout::rows), b(DType::f32, {5, 6}, Layout::rows),
      c(DType::f32, {3, 6}, Layout::rows), fits(DType::f32, {4, 6}, Layout::rows),
      wide(DType::f64, {4, 6}, Layout::rows);
  CHECK_FAILS(ErrorKind::shape, "inner sizes 4 and 5",
              launch(gemm_forward, GemmParams{}, {a.view, b.view, c.view, {}}));
  CHECK_FAILS(ErrorKind::dtype, "must be the same",
              launch(gemm_forward, GemmParams{}, {a.view, wide.view, c.view, {}}));
  CHECK_FAILS(ErrorKind::value, "shares memory",
              launch(gemm_forward, GemmParams{},
                     {a.view,
                      fits.view,
                      [&] {
                        TensorView out = fits.view;
                        out.shape[0] = 3;
                        return out;
                      }(),
                      {}}));
}

}  // namespace

void test_gemm() {
  const Isa isa = active_isa();
  const int threads = num_threads();
  check_sizes();
  check_batches();
  check_refusals();
  set_isa(isa);
  set_num_threads(threads);
}
