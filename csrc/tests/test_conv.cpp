// Convolutions and their gradients against a straight loop in double: every path, layout and dtype,
// at every level. Whatever is not an element of the output must stay as it was, and threads and
// alignment must not change a bit.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include "check.h"
#include "cpu/ref/element.h"
#include "fastnn/isa.h"
#include "fastnn/ops/conv.h"
#include "fastnn/parallel.h"

namespace {

using namespace fastnn;

// reversed: every axis runs backwards, with gaps.
enum class Layout { rows, channels_last, reversed };

uint32_t random_state;
double random() {  // in [-1, 1)
  random_state = random_state * 1664525u + 1013904223u;
  return static_cast<double>(static_cast<int32_t>(random_state)) / 2147483648.0;
}

// A view of a buffer that is larger than the view needs, and the view's values in row-major order.
class Array {
 public:
  Array(DType dtype, const std::vector<int64_t>& shape, Layout layout, int shift = 0)
      : size_(static_cast<int64_t>(size_of(dtype))) {
    view.dtype = dtype;
    view.ndim = static_cast<int>(shape.size());
    std::copy(shape.begin(), shape.end(), view.shape);
    int64_t extent = layout == Layout::reversed ? 2 : 1;
    const auto take = [&](int d) {
      view.stride[d] = extent;
      extent = extent * std::max<int64_t>(1, view.shape[d]) + (layout == Layout::reversed);
    };
    const bool last = layout == Layout::channels_last && view.ndim > 2;
    if (last) take(1);
    for (int d = view.ndim - 1; d >= 0; --d)
      if (!(last && d == 1)) take(d);
    bytes_.resize(static_cast<size_t>((extent + 2 * kMargin) * size_ + 64));
    for (int64_t i = 0; i < extent + 2 * kMargin; ++i) write_element(first(), dtype, i, random());
    int64_t at = kMargin + shift;
    for (int d = 0; layout == Layout::reversed && d < view.ndim; ++d) {
      at += std::max<int64_t>(0, view.shape[d] - 1) * view.stride[d];
      view.stride[d] = -view.stride[d];
    }
    view.data = first() + at * size_;
    before_ = bytes_;
  }
  Array(const Array&) = delete;

  std::vector<double> values() const {
    std::vector<double> v;
    for_elements([&](int64_t at) { v.push_back(read_element(view.data, view.dtype, at)); });
    return v;
  }

  // Puts the old elements back: then nothing may differ.
  bool only_elements_changed() {
    for_elements([&](int64_t at) {
      char* p = view.ptr<char>() + at * size_;
      memcpy(p, before_.data() + (p - bytes_.data()), static_cast<size_t>(size_));
    });
    return bytes_ == before_;
  }

  TensorView view;

 private:
  static constexpr int64_t kMargin = 64;

  char* first() {
    char* p = bytes_.data();
    return p + (64 - reinterpret_cast<uintptr_t>(p) % 64) % 64;
  }
  template <class F>
  void for_elements(F f) const {
    int64_t index[kMaxDims] = {};
    for (int64_t left = view.numel(); left > 0; --left) {
      int64_t at = 0;
      for (int d = 0; d < view.ndim; ++d) at += index[d] * view.stride[d];
      f(at);
      for (int d = view.ndim - 1; d >= 0 && ++index[d] == view.shape[d]; --d) index[d] = 0;
    }
  }

  int64_t size_;
  std::vector<char> bytes_, before_;
};

struct Sizes {
  int64_t v[3];
  int64_t operator[](int d) const { return v[d]; }
};

struct Case {
  int dims;
  int64_t batch, in, out, groups;
  Sizes size, kernel, stride, padding, dilation;

  ConvParams params() const {
    ConvParams p;
    p.dims = dims;
    p.groups = groups;
    std::copy_n(stride.v, 3, p.stride);
    std::copy_n(padding.v, 3, p.padding);
    std::copy_n(dilation.v, 3, p.dilation);
    return p;
  }
  int64_t result(int d) const {
    return (size[d] + 2 * padding[d] - (kernel[d] - 1) * dilation[d] - 1) / stride[d] + 1;
  }
  std::vector<int64_t> x_shape() const { return shape(batch, in, size); }
  std::vector<int64_t> w_shape() const { return shape(out, in / groups, kernel); }
  std::vector<int64_t> y_shape() const {
    return shape(batch, out, {{result(0), dims > 1 ? result(1) : 1, dims > 2 ? result(2) : 1}});
  }

 private:
  std::vector<int64_t> shape(int64_t n, int64_t c, const Sizes& space) const {
    std::vector<int64_t> s{n, c};
    s.insert(s.end(), space.v, space.v + dims);
    return s;
  }
};

int64_t product(const std::vector<int64_t>& shape) {
  int64_t n = 1;
  for (int64_t s : shape) n *= s;
  return n;
}

// f(x element, w element, y element) for every product of the convolution, as in the contract.
template <class F>
void for_products(const Case& c, F f) {
  int64_t size[3] = {1, 1, 1}, kernel[3] = {1, 1, 1}, result[3] = {1, 1, 1};
  for (int d = 0; d < c.dims; ++d) {
    size[d] = c.size[d];
    kernel[d] = c.kernel[d];
    result[d] = c.result(d);
  }
  const int64_t group_in = c.in / c.groups, group_out = c.out / c.groups;
  const int64_t taps = kernel[0] * kernel[1] * kernel[2], space = size[0] * size[1] * size[2];
  int64_t y = 0;
  for (int64_t n = 0; n < c.batch; ++n)
    for (int64_t o = 0; o < c.out; ++o)
      for (int64_t p = 0; p < result[0] * result[1] * result[2]; ++p, ++y)
        for (int64_t k = 0; k < taps; ++k) {
          const int64_t pixel[3] = {p / result[2] / result[1], p / result[2] % result[1],
                                    p % result[2]};
          const int64_t tap[3] = {k / kernel[2] / kernel[1], k / kernel[2] % kernel[1],
                                  k % kernel[2]};
          int64_t at = 0;
          bool inside = true;
          for (int d = 0; d < 3; ++d) {
            const bool used = d < c.dims;
            const int64_t i =
                used ? pixel[d] * c.stride[d] + tap[d] * c.dilation[d] - c.padding[d] : 0;
            inside = inside && i >= 0 && i < size[d];
            at = at * size[d] + i;
          }
          if (!inside) continue;
          for (int64_t i = 0; i < group_in; ++i)
            f((n * c.in + o / group_out * group_in + i) * space + at, (o * group_in + i) * taps + k,
              y);
        }
}

double rounding(DType dtype) {
  return dtype == DType::bf16  ? 0x1p-8
         : dtype == DType::f16 ? 0x1p-11
         : dtype == DType::f32 ? 0x1p-23
                               : 0x1p-52;
}

class Check {
 public:
  Check(const Case& c, DType dtype, Layout layout)
      : case_(c),
        dtype_(dtype),
        layout_(layout),
        x_(dtype, c.x_shape(), layout),
        w_(dtype, c.w_shape(), layout),
        dy_(dtype, c.y_shape(), layout),
        bias_(dtype, {c.out}, Layout::rows),
        y_(static_cast<size_t>(product(c.y_shape()))),
        dx_(static_cast<size_t>(product(c.x_shape()))),
        dw_(static_cast<size_t>(product(c.w_shape()))),
        db_(static_cast<size_t>(c.out)) {
    const std::vector<double> x = x_.values(), w = w_.values(), dy = dy_.values(),
                              bias = bias_.values();
    for_products(c, [&](int64_t i, int64_t k, int64_t o) {
      const auto xi = static_cast<size_t>(i), wi = static_cast<size_t>(k),
                 yi = static_cast<size_t>(o);
      y_[yi] += x[xi] * w[wi];
      dx_[xi] += dy[yi] * w[wi];
      dw_[wi] += dy[yi] * x[xi];
    });
    const size_t pixels = y_.size() / static_cast<size_t>(std::max<int64_t>(1, c.batch * c.out));
    for (size_t i = 0; i < y_.size(); ++i) {
      const size_t o = i / pixels % static_cast<size_t>(c.out);
      y_[i] = std::max(0.0, y_[i] + bias[o]);
      db_[o] += dy[i];
    }
  }

  void at_this_level() const {
    ConvParams relu = case_.params();
    relu.activation = Activation::relu;
    const ConvParams plain = case_.params();
    const double taps = static_cast<double>(product(case_.w_shape())) / case_.out;
    const double pixels = static_cast<double>(y_.size()) / case_.out;
    const double fans = taps * case_.out / case_.in;
    check("output", case_.y_shape(), layout_, y_, taps, [&](const TensorView& y) {
      launch(conv_forward, relu, {x_.view, w_.view, bias_.view, y});
    });
    check("input gradient", case_.x_shape(), layout_, dx_, fans, [&](const TensorView& dx) {
      launch(conv_backward_input, plain, {dy_.view, w_.view, {}, dx});
    });
    check("weight gradient", case_.w_shape(), layout_, dw_, pixels, [&](const TensorView& dw) {
      launch(conv_backward_weight, plain, {x_.view, dy_.view, dw});
    });
    check("bias gradient", {case_.out}, Layout::rows, db_, pixels,
          [&](const TensorView& db) { launch(conv_backward_bias, plain, {dy_.view, db}); });
  }

 private:
  // `terms`: of a sum.
  template <class F>
  void check(const char* what, const std::vector<int64_t>& shape, Layout layout,
             const std::vector<double>& truth, double terms, F compute) const {
    const auto run = [&](int threads, int shift, bool look_around) {
      set_num_threads(threads);
      Array out(dtype_, shape, layout, shift);
      compute(out.view);
      std::vector<double> values = out.values();
      if (look_around) CHECK(out.only_elements_changed());
      return values;
    };
    const std::vector<double> result = run(1, 0, true);
    compare(what, result, truth, terms);
    CHECK(run(2, 1, false) == result);
    CHECK(run(3, 0, false) == result);
  }

  // Sums of products of values up to 1.
  void compare(const char* what, const std::vector<double>& result,
               const std::vector<double>& truth, double terms) const {
    const double slack =
        16 * (dtype_ == DType::f64 ? 0x1p-52 : 0x1p-23) * (std::sqrt(std::max(0.0, terms)) + 4);
    size_t wrong = 0;
    for (size_t i = 0; i < truth.size(); ++i)
      wrong +=
          !(std::abs(result[i] - truth[i]) <= slack + 2 * rounding(dtype_) * std::abs(truth[i]));
    if (wrong)
      std::fprintf(stderr, "%s: %ld of %ld differ; x %s, w %s, %s, layout %d, level %s\n", what,
                   static_cast<long>(wrong), static_cast<long>(truth.size()),
                   x_.view.shape_text().c_str(), w_.view.shape_text().c_str(), name_of(dtype_),
                   static_cast<int>(layout_), name_of(active_isa()));
    CHECK(wrong == 0);
  }

  const Case& case_;
  DType dtype_;
  Layout layout_;
  Array x_, w_, dy_, bias_;
  std::vector<double> y_, dx_, dw_, db_;
};

void check_at_all_levels(const Case& c, DType dtype, Layout layout) {
  random_state = 7;
  const Check check(c, dtype, layout);
  for (int level = 0; level <= static_cast<int>(best_isa()); ++level) {
    const auto isa = static_cast<Isa>(level);
    if (isa == Isa::avx512_bf16) continue;  // the same kernels
    set_isa(isa);
    check.at_this_level();
  }
}

constexpr Sizes kOnes{{1, 1, 1}}, kZeros{{0, 0, 0}};
constexpr Case kCases[] = {
    // many filters
    {2, 2, 5, 7, 1, {{7, 9, 1}}, {{3, 3, 1}}, kOnes, {{1, 1, 0}}, kOnes},
    {2, 2, 16, 40, 1, {{6, 8, 1}}, {{3, 3, 1}}, kOnes, {{1, 1, 0}}, kOnes},
    {2, 3, 35, 33, 1, {{5, 5, 1}}, {{3, 3, 1}}, {{2, 2, 1}}, {{1, 1, 0}}, kOnes},
    {2, 1, 10, 20, 1, {{9, 31, 1}}, {{5, 5, 1}}, kOnes, {{2, 2, 0}}, kOnes},
    {2, 1, 9, 18, 1, {{9, 8, 1}}, {{3, 2, 1}}, {{1, 3, 1}}, {{2, 1, 0}}, {{2, 3, 1}}},
    // few filters, few channels
    {2, 2, 1, 6, 1, {{12, 13, 1}}, {{5, 5, 1}}, kOnes, {{2, 2, 0}}, kOnes},
    {2, 1, 3, 16, 1, {{15, 17, 1}}, {{7, 7, 1}}, {{2, 2, 1}}, {{3, 3, 0}}, kOnes},
    {2, 1, 1, 1, 1, {{1, 1, 1}}, {{1, 1, 1}}, kOnes, kZeros, kOnes},
    {2, 1, 2, 3, 1, {{2, 2, 1}}, {{3, 3, 1}}, kOnes, {{2, 2, 0}}, kOnes},
    // kernels of one tap, or as large as the image
    {2, 2, 17, 19, 1, {{4, 5, 1}}, kOnes, kOnes, kZeros, kOnes},
    {2, 2, 20, 6, 1, {{5, 4, 1}}, kOnes, {{2, 2, 1}}, kZeros, kOnes},
    {2, 3, 4, 9, 1, {{4, 5, 1}}, {{4, 5, 1}}, kOnes, kZeros, kOnes},
    {2, 1, 3, 2, 1, {{8, 8, 1}}, {{2, 2, 1}}, {{3, 3, 1}}, kZeros, kOnes},
    // groups
    {2, 2, 6, 9, 3, {{6, 7, 1}}, {{3, 3, 1}}, kOnes, {{1, 1, 0}}, kOnes},
    {2, 2, 21, 21, 21, {{7, 18, 1}}, {{3, 3, 1}}, kOnes, {{1, 1, 0}}, kOnes},
    {2, 1, 8, 16, 8, {{9, 8, 1}}, {{5, 5, 1}}, {{2, 2, 1}}, {{2, 2, 0}}, kOnes},
    {2, 1, 34, 68, 2, {{4, 4, 1}}, {{3, 3, 1}}, kOnes, {{1, 1, 0}}, kOnes},
    // one and three axes
    {1, 2, 3, 5, 1, {{23, 1, 1}}, {{3, 1, 1}}, {{2, 1, 1}}, {{2, 0, 0}}, {{3, 1, 1}}},
    {1, 1, 40, 35, 1, {{19, 1, 1}}, {{5, 1, 1}}, kOnes, {{2, 0, 0}}, kOnes},
    {3, 1, 3, 4, 1, {{4, 5, 6}}, {{3, 3, 3}}, kOnes, kOnes, kOnes},
    {3, 1, 4, 6, 2, {{5, 4, 5}}, {{2, 1, 3}}, {{2, 1, 2}}, {{0, 1, 1}}, {{1, 2, 1}}},
    // nothing
    {2, 0, 3, 4, 1, {{7, 8, 1}}, {{3, 3, 1}}, kOnes, kZeros, kOnes},
    // many tiles of 2 x 2 pixels
    {2, 2, 35, 33, 1, {{15, 13, 1}}, {{3, 3, 1}}, kOnes, {{1, 1, 0}}, kOnes},
    {2, 1, 64, 66, 2, {{14, 15, 1}}, {{3, 3, 1}}, kOnes, {{2, 0, 0}}, kOnes},
    {2, 3, 33, 40, 1, {{13, 8, 1}}, {{3, 3, 1}}, kOnes, {{1, 1, 0}}, kOnes},
    {2, 1, 66, 100, 1, {{22, 21, 1}}, {{3, 3, 1}}, kOnes, {{2, 2, 0}}, {{2, 2, 1}}},
    {2, 2, 33, 60, 1, {{13, 18, 1}}, {{3, 3, 1}}, kOnes, {{3, 1, 0}}, {{3, 1, 1}}},
    // enough work for several tasks
    {2, 2, 20, 36, 1, {{21, 19, 1}}, {{3, 3, 1}}, kOnes, {{1, 1, 0}}, kOnes},
    {2, 2, 24, 24, 24, {{30, 29, 1}}, {{3, 3, 1}}, kOnes, {{1, 1, 0}}, kOnes},
};

void check_cases() {
  constexpr DType kOthers[] = {DType::f64, DType::bf16, DType::f16};
  constexpr Layout kLayouts[] = {Layout::rows, Layout::channels_last, Layout::reversed};
  const bool slow = test::emulated() || test::kSanitized;
  int number = 0, turn = 0;
  const auto check = [&](const Case& c, DType dtype, Layout layout) {
    if (!slow || ++number % 5 == 0) check_at_all_levels(c, dtype, layout);
  };
  for (const Case& c : kCases) {
    for (int i = 0; i < 3; ++i) {
      check(c, DType::f32, kLayouts[i]);
      check(c, kOthers[(i + turn) % 3], kLayouts[i]);
    }
    ++turn;
  }
}

void check_refusals() {
  random_state = 7;
  const Array x(DType::f32, {1, 4, 5, 5}, Layout::rows), w(DType::f32, {6, 3, 3, 3}, Layout::rows),
      fits(DType::f32, {6, 4, 3, 3}, Layout::rows), y(DType::f32, {1, 6, 3, 3}, Layout::rows),
      bias(DType::f32, {5}, Layout::rows);
  CHECK_FAILS(ErrorKind::shape, "conv",
              launch(conv_forward, ConvParams{}, {x.view, w.view, {}, y.view}));
  CHECK_FAILS(ErrorKind::shape, "bias must have shape (6,)",
              launch(conv_forward, ConvParams{}, {x.view, fits.view, bias.view, y.view}));
}

}  // namespace

void test_conv() {
  const Isa isa = active_isa();
  const int threads = num_threads();
  check_cases();
  check_refusals();
  set_isa(isa);
  set_num_threads(threads);
}
