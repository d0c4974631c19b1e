// Arrays with guarded surroundings, and the comparison of a CUDA op (on the shim) with the CPU's.
#pragma once

#include <initializer_list>
#include <memory>
#include <string>
#include <vector>

#include "common/launch.h"
#include "common/op.h"
#include "fastnn/op.h"
#include "tests/check.h"

namespace fastnn::cuda::test {

using Shape = std::vector<int64_t>;

// How an array lies in memory.
enum class Layout {
  contiguous,
  transposed,     // the last two axes exchanged
  sliced,         // every second element of the last axis
  reversed,       // last axis backwards
  channels_last,  // (N, C, ...) with C innermost
  offset,         // contiguous, from an address that is no multiple of 16
};

class Array {
 public:
  Array() = default;
  Array(const Shape& shape, DType dtype, Layout layout = Layout::contiguous);

  Array clone() const;  // same bytes everywhere, also between the elements
  const TensorView& view() const { return view_; }
  int64_t numel() const { return view_.numel(); }
  double get(int64_t i) const;  // in row-major order
  void set(int64_t i, double value);
  Array& fill(double value);
  Array& random(uint64_t seed, double low = -1, double high = 1);  // integers: in [low, high)
  Array& normal(uint64_t seed);
  bool guards_intact() const;
  const std::vector<char>& bytes() const { return *memory_; }

 private:
  int64_t offset(int64_t i) const;

  std::shared_ptr<std::vector<char>> memory_;
  TensorView view_;
};

constexpr int64_t kNone = -1;  // the place of an absent view

struct Tolerance {
  double relative, absolute;
};
Tolerance tolerance_of(DType t);  // of one rounded result

extern std::string context;  // printed with failures: op, dtype, shape ...

// All elements alike within tolerance (NaN with NaN), guards and gaps untouched.
bool same(const Array& got, const Array& expected, Tolerance tolerance, const char* what);

// A block of scratch memory: poisoned, 256-byte aligned, guarded.
class Scratch {
 public:
  explicit Scratch(size_t bytes);
  void* data() const { return data_; }
  bool intact() const;

 private:
  std::vector<char> memory_;
  char* data_ = nullptr;
  size_t bytes_;
};

// Runs `op` on the shim, on a stream of its own.
template <class Params>
void run_cuda(const Op<Params>& op, const Params& params, const std::vector<TensorView>& views) {
  const size_t bytes = prepare(op, params, views.data());
  const Scratch scratch(bytes);
  cuda::launch(op, params, views.data(), bytes ? scratch.data() : nullptr,
               reinterpret_cast<Stream>(8));
  shim::synchronize();
  if (!scratch.intact())
    fastnn::test::report(false, op.name, 0, cat(context, ": wrote outside its workspace").c_str());
}

std::vector<TensorView> views_of(const std::vector<Array>& arrays);

// Runs both on clones of `arrays` (an empty Array is an absent view) and compares all of them.
template <class Params>
bool compare(const Op<Params>& op, const fastnn::Op<Params>& cpu, const Params& params,
             const std::vector<Array>& arrays, Tolerance tolerance) {
  std::vector<Array> got, expected;
  for (const Array& a : arrays) {
    got.push_back(a.clone());
    expected.push_back(a.clone());
  }
  fastnn::launch(cpu, params, views_of(expected).data());
  run_cuda(op, params, views_of(got));
  bool ok = true;
  for (size_t i = 0; i < arrays.size(); ++i)
    if (arrays[i].view())
      ok = same(got[i], expected[i], tolerance, cat(op.name, " view ", i).c_str()) && ok;
  return ok;
}

}  // namespace fastnn::cuda::test
