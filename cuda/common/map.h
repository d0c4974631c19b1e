// The kernels around every elementwise formula, and the macros that define one.
#pragma once

#include "../../csrc/cpu/loops.h"
#include "common/cast.h"
#include "common/fast_div.h"
#include "common/launch.h"
#include "common/math.h"
#include "fastnn/ops/elementwise.h"

namespace fastnn::cuda {

// out and inputs of one dtype, each in one run of memory or a single value.
struct DenseMap {
  void* out;
  const void* in[kMaxMapInputs];
  int step[kMaxMapInputs];  // 1, or 0 for a single value
  uint32_t n;
  double p[kMaxMapParams];
};

// Any strides and dtypes.
struct StridedMap {
  void* data[kMaxOperands];  // out, then the inputs
  DType dtype[kMaxOperands];
  int ndim;
  uint32_t n;
  FastDiv shape[kMaxDims];
  int64_t stride[kMaxOperands][kMaxDims];
  double p[kMaxMapParams];
};

constexpr int kMapThreads = 256;
constexpr int kMapPerThread = 4;  // independent loads in flight

template <class C>
__device__ __forceinline__ C map_param(double p) {
  return convert<C>(p);
}

// F::apply(a, b, c, p0, p1, p2) with as many as there are; tests give bool.
template <class F, class C>
__device__ __forceinline__ auto apply_map(C a, C b, C c, const double* p) {
  return F::apply(a, b, c, map_param<C>(F::params > 0 ? p[0] : 0),
                  map_param<C>(F::params > 1 ? p[1] : 0), map_param<C>(F::params > 2 ? p[2] : 0));
}

// Vectors of 16 bytes; the few elements behind the last whole one go to the last block.
template <class F, class T>
__global__ void __launch_bounds__(kMapThreads) dense_map(DenseMap m) {
  constexpr int N = 16 / sizeof(T);
  using C = decltype(widen_to<float>(T{}));
  using Out = decltype(apply_map<F>(C{}, C{}, C{}, m.p));
  constexpr bool test = sizeof(Out) == 1;
  const uint32_t packs = m.n / N, tail = m.n - packs * N;
  const T* in[kMaxMapInputs];
  C value[kMaxMapInputs] = {};
  FASTNN_UNROLL
  for (int k = 0; k < F::arity; ++k) {
    in[k] = static_cast<const T*>(m.in[k]);
    if (m.step[k] == 0) value[k] = widen_to<C>(in[k][0]);
  }
  const uint32_t step = gridDim.x * kMapThreads;
  for (uint32_t i = blockIdx.x * kMapThreads + threadIdx.x; i < packs; i += step) {
    Pack<T, N> x[kMaxMapInputs];
    FASTNN_UNROLL
    for (int k = 0; k < F::arity; ++k)
      if (m.step[k] != 0) x[k] = load_pack<T, N>(in[k] + size_t{i} * N);
    Pack<T, N> y;
    Pack<uint8_t, N> flags;
    FASTNN_UNROLL
    for (int e = 0; e < N; ++e) {
      C v[kMaxMapInputs] = {};
      FASTNN_UNROLL
      for (int k = 0; k < F::arity; ++k) v[k] = m.step[k] ? widen_to<C>(x[k].v[e]) : value[k];
      const Out r = apply_map<F>(v[0], v[1], v[2], m.p);
      if constexpr (test)
        flags.v[e] = r;
      else
        y.v[e] = narrow_to<T>(r);
    }
    if constexpr (test)
      store_pack(static_cast<uint8_t*>(m.out) + size_t{i} * N, flags);
    else
      store_pack(static_cast<T*>(m.out) + size_t{i} * N, y);
  }
  if (blockIdx.x == gridDim.x - 1 && threadIdx.x < tail) {
    const size_t at = size_t{packs} * N + threadIdx.x;
    C v[kMaxMapInputs] = {};
    for (int k = 0; k < F::arity; ++k) v[k] = m.step[k] ? widen_to<C>(in[k][at]) : value[k];
    const Out r = apply_map<F>(v[0], v[1], v[2], m.p);
    if constexpr (test)
      static_cast<uint8_t*>(m.out)[at] = r;
    else
      static_cast<T*>(m.out)[at] = narrow_to<T>(r);
  }
}

template <class F, class C>
__global__ void __launch_bounds__(kMapThreads) strided_map(StridedMap m) {
  const uint32_t first = blockIdx.x * (kMapThreads * kMapPerThread) + threadIdx.x;
  FASTNN_NO_UNROLL
  for (int e = 0; e < kMapPerThread; ++e) {
    uint32_t i = first + e * kMapThreads;
    if (i >= m.n) return;
    int64_t at[kMaxOperands] = {};
    for (int d = m.ndim - 1; d > 0; --d) {
      const auto index = static_cast<int64_t>(m.shape[d].take(i));
      FASTNN_UNROLL
      for (int k = 0; k <= F::arity; ++k) at[k] += index * m.stride[k][d];
    }
    C v[kMaxMapInputs] = {};
    FASTNN_UNROLL
    for (int k = 0; k <= F::arity; ++k) at[k] += static_cast<int64_t>(i) * m.stride[k][0];
    FASTNN_UNROLL
    for (int k = 0; k < F::arity; ++k) v[k] = load_as<C>(m.data[1 + k], m.dtype[1 + k], at[1 + k]);
    const auto r = apply_map<F>(v[0], v[1], v[2], m.p);
    if constexpr (sizeof(r) == 1)
      static_cast<uint8_t*>(m.data[0])[at[0]] = r;
    else
      store_as<C>(m.data[0], m.dtype[0], at[0], r);
  }
}

// The kernels of one op; null where it has none.
struct MapKernels {
  void (*dense[3])(DenseMap);      // float, bf16, f16
  void (*strided[3])(StridedMap);  // computing in float, double, int64
};

// The groups of ops/map_list.h.
const MapKernels* map_basic_kernels();
const MapKernels* map_math_kernels();
const MapKernels* map_activation_kernels();

#define FASTNN_MAP_FORMULA(name, arity_, params_, ...)                                           \
  struct name##_map {                                                                            \
    static constexpr int arity = arity_, params = params_;                                       \
    template <class T>                                                                           \
    static __device__ __forceinline__ auto apply([[maybe_unused]] T a, [[maybe_unused]] T b,     \
                                                 [[maybe_unused]] T c, [[maybe_unused]] T p0,    \
                                                 [[maybe_unused]] T p1, [[maybe_unused]] T p2) { \
      using namespace math;                                                                      \
      [[maybe_unused]] constexpr T zero = 0;                                                     \
      return __VA_ARGS__;                                                                        \
    }                                                                                            \
  };
// Formulas of T; the result must be a T. A test gives bool.
#define MAP(name, arity, params, ...) \
  FASTNN_MAP_FORMULA(name, arity, params, static_cast<T>(__VA_ARGS__))
#define MAP_TEST(name, arity, ...) \
  FASTNN_MAP_FORMULA(name, arity, 0, static_cast<bool>(__VA_ARGS__))

#define FASTNN_DENSE(name) \
  {dense_map<name##_map, float>, dense_map<name##_map, bf16>, dense_map<name##_map, f16>}
#define REAL(name)                                                             \
  {                                                                            \
    FASTNN_DENSE(name), {                                                      \
      strided_map<name##_map, float>, strided_map<name##_map, double>, nullptr \
    }                                                                          \
  }
#define BOTH(name)                                                     \
  {                                                                    \
    FASTNN_DENSE(name), {                                              \
      strided_map<name##_map, float>, strided_map<name##_map, double>, \
          strided_map<name##_map, int64_t>                             \
    }                                                                  \
  }

// A table must have one row for each op of its list.
#define FASTNN_COUNT(name, arity, kind, params) +1
#define FASTNN_CHECK_TABLE(entries, LIST) \
  static_assert(sizeof(entries) / sizeof(entries[0]) == 0 LIST(FASTNN_COUNT))

}  // namespace fastnn::cuda
