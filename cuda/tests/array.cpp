#include "array.h"

#include <cmath>
#include <cstring>

#include "cpu/ref/element.h"

namespace fastnn::cuda::test {

namespace {

constexpr size_t kGuard = 256;
constexpr int kPoison = 0xff;

uint64_t mix(uint64_t x) {  // splitmix64
  x += 0x9E3779B97F4A7C15ULL;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ULL;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBULL;
  return x ^ (x >> 31);
}
double unit(uint64_t seed, int64_t i) {
  return static_cast<double>(mix(seed * 1000003 + static_cast<uint64_t>(i)) >> 11) * 0x1p-53;
}

size_t round_up(size_t n, size_t to) { return (n + to - 1) / to * to; }

char* aligned_start(std::vector<char>& memory) {
  auto p = reinterpret_cast<uintptr_t>(memory.data()) + kGuard;
  return reinterpret_cast<char*>(round_up(p, 256));
}

}  // namespace

std::string context;

Array::Array(const Shape& shape, DType dtype, Layout layout) {
  view_.ndim = static_cast<int>(shape.size());
  view_.dtype = dtype;
  std::vector<int> order;  // axes, innermost first
  for (int d = view_.ndim - 1; d >= 0; --d) order.push_back(d);
  if (layout == Layout::transposed && view_.ndim > 1) std::swap(order[0], order[1]);
  if (layout == Layout::channels_last && view_.ndim > 2) {
    order.insert(order.begin(), 1);
    order.erase(order.begin() + 1 + static_cast<int>(shape.size()) - 2);
  }
  int64_t elements = layout == Layout::sliced ? 2 : 1;
  for (int d : order) {
    view_.shape[d] = shape[static_cast<size_t>(d)];
    view_.stride[d] = elements;
    elements *= view_.shape[d] ? view_.shape[d] : 1;
  }
  const size_t size = size_of(dtype), bytes = static_cast<size_t>(elements + 4) * size;
  memory_ =
      std::make_shared<std::vector<char>>(bytes + 2 * kGuard + 256, static_cast<char>(kPoison));
  char* start = aligned_start(*memory_);
  view_.data = start + (layout == Layout::offset ? size : 0);
  if (layout == Layout::reversed && view_.ndim > 0 && view_.numel() > 0) {
    const int last = view_.ndim - 1;
    view_.data = start + static_cast<size_t>(view_.shape[last] - 1) * size;
    view_.stride[last] = -1;
  }
}

Array Array::clone() const {
  Array copy;
  if (!memory_) return copy;
  copy.view_ = view_;
  copy.memory_ = std::make_shared<std::vector<char>>(memory_->size());
  char *from = aligned_start(*memory_), *to = aligned_start(*copy.memory_);
  // The same distance from an aligned address; what does not fit is guard.
  std::memset(copy.memory_->data(), kPoison, copy.memory_->size());
  const size_t room = memory_->size() - 2 * kGuard - 256;
  std::memcpy(to, from, room);
  copy.view_.data = to + (static_cast<char*>(view_.data) - from);
  return copy;
}

bool Array::guards_intact() const {
  char* start = aligned_start(*memory_);
  const size_t room = memory_->size() - 2 * kGuard - 256;
  const auto all_poison = [](const char* a, const char* b) {
    for (; a < b; ++a)
      if (*a != static_cast<char>(kPoison)) return false;
    return true;
  };
  return all_poison(memory_->data(), start) &&
         all_poison(start + room, memory_->data() + memory_->size());
}

int64_t Array::offset(int64_t i) const {
  int64_t at = 0;
  for (int d = view_.ndim - 1; d >= 0; --d) {
    at += i % view_.shape[d] * view_.stride[d];
    i /= view_.shape[d];
  }
  return at;
}

double Array::get(int64_t i) const {
  const int64_t at = offset(i);
  switch (view_.dtype) {
    case DType::b8:
    case DType::u8:
      return view_.ptr<uint8_t>()[at];
    case DType::i8:
      return view_.ptr<int8_t>()[at];
    case DType::i16:
      return view_.ptr<int16_t>()[at];
    case DType::i32:
      return view_.ptr<int32_t>()[at];
    case DType::i64:
      return static_cast<double>(view_.ptr<int64_t>()[at]);
    default:
      return read_element(view_.data, view_.dtype, at);
  }
}

void Array::set(int64_t i, double value) {
  const int64_t at = offset(i);
  switch (view_.dtype) {
    case DType::b8:
    case DType::u8:
      view_.ptr<uint8_t>()[at] = static_cast<uint8_t>(value);
      return;
    case DType::i8:
      view_.ptr<int8_t>()[at] = static_cast<int8_t>(value);
      return;
    case DType::i16:
      view_.ptr<int16_t>()[at] = static_cast<int16_t>(value);
      return;
    case DType::i32:
      view_.ptr<int32_t>()[at] = static_cast<int32_t>(value);
      return;
    case DType::i64:
      view_.ptr<int64_t>()[at] = static_cast<int64_t>(value);
      return;
    default:
      write_element(view_.data, view_.dtype, at, value);
  }
}

Array& Array::fill(double value) {
  for (int64_t i = 0; i < numel(); ++i) set(i, value);
  return *this;
}

Array& Array::random(uint64_t seed, double low, double high) {
  for (int64_t i = 0; i < numel(); ++i) {
    const double v = low + (high - low) * unit(seed, i);
    set(i, is_float(view_.dtype) ? v : std::floor(v));
  }
  return *this;
}

Array& Array::normal(uint64_t seed) {
  for (int64_t i = 0; i < numel(); ++i) {
    const double u = 1 - unit(seed, 2 * i), v = unit(seed, 2 * i + 1);
    set(i, std::sqrt(-2 * std::log(u)) * std::cos(6.283185307179586 * v));
  }
  return *this;
}

Tolerance tolerance_of(DType t) {
  switch (t) {
    case DType::f32:
      return {4e-6, 1e-6};
    case DType::f64:
      return {1e-12, 1e-14};
    case DType::bf16:
      return {0x1.01p-7, 1e-6};
    case DType::f16:
      return {0x1.01p-10, 1e-6};
    default:
      return {0, 0};
  }
}

bool same(const Array& got, const Array& expected, Tolerance tolerance, const char* what) {
  const auto complain = [&](const std::string& text) {
    fastnn::test::report(false, what, 0, cat(context, ": ", text).c_str());
    return false;
  };
  for (int64_t i = 0; i < got.numel(); ++i) {
    const double g = got.get(i), e = expected.get(i);
    const bool ok = g == e || (std::isnan(g) && std::isnan(e)) ||
                    std::fabs(g - e) <= tolerance.absolute + tolerance.relative * std::fabs(e);
    if (!ok) return complain(cat("element ", i, " is ", g, ", expected ", e));
  }
  if (!got.guards_intact()) return complain("wrote outside of the array");
  // With equal elements, all bytes between the elements must agree too.
  Array a = got.clone(), b = expected.clone();
  a.fill(0);
  b.fill(0);
  if (a.numel() > 0) {
    const auto inner = [](const Array& x) {
      auto& m = const_cast<std::vector<char>&>(x.bytes());
      return std::string(aligned_start(m), m.size() - 2 * kGuard - 256);
    };
    if (inner(a) != inner(b)) return complain("wrote between the elements of the array");
  }
  return true;
}

Scratch::Scratch(size_t bytes)
    : memory_(bytes + 2 * kGuard + 256, static_cast<char>(kPoison)), bytes_(bytes) {
  data_ = aligned_start(memory_);
}

bool Scratch::intact() const {
  for (const char* p = memory_.data(); p < data_; ++p)
    if (*p != static_cast<char>(kPoison)) return false;
  for (const char* p = data_ + bytes_; p < memory_.data() + memory_.size(); ++p)
    if (*p != static_cast<char>(kPoison)) return false;
  return true;
}

std::vector<TensorView> views_of(const std::vector<Array>& arrays) {
  std::vector<TensorView> views;
  for (const Array& a : arrays) views.push_back(a.view());
  return views;
}

}  // namespace fastnn::cuda::test
