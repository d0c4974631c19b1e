// Elementwise maps: the driver, and arithmetic, comparisons, rounding and selection.
#include <cstring>

#include "../csrc/cpu/overlap.h"
#include "common/map.h"
#include "ops.h"

namespace fastnn::cuda {

namespace {

// ---- Formulas ---------------------------------------------------------------------------------

template <class T>
__device__ T remainder_of(T a, T b) {
  const T m = math::fmod(a, b);
  return m != 0 && (b < 0) != (m < 0) ? m + b : m;
}

template <class T>
__device__ T floor_divide_of(T a, T b) {
  if (b == 0) return a / b;
  const T m = math::fmod(a, b);
  T quotient = (a - m) / b;
  if (m != 0 && (b < 0) != (m < 0)) quotient -= 1;
  if (quotient == 0) return math::copysign(T(0), a / b);
  const T whole = math::floor(quotient);
  return quotient - whole > T(0.5) ? whole + 1 : whole;
}

// Integers: division by zero gives 0 (the GPU cannot raise); INT64_MIN / -1 wraps.
__device__ int64_t trunc_divide_of(int64_t a, int64_t b) {
  return b == -1 ? static_cast<int64_t>(-static_cast<uint64_t>(a)) : b == 0 ? 0 : a / b;
}
__device__ int64_t fmod_of(int64_t a, int64_t b) { return b == -1 || b == 0 ? 0 : a % b; }
__device__ int64_t remainder_of(int64_t a, int64_t b) {
  const int64_t m = fmod_of(a, b);
  return m != 0 && (b < 0) != (m < 0) ? m + b : m;
}
__device__ int64_t floor_divide_of(int64_t a, int64_t b) {
  const int64_t m = fmod_of(a, b);
  return trunc_divide_of(a, b) - (m != 0 && (b < 0) != (m < 0));
}

// Integers wrap.
template <class T>
struct Arithmetic {
  static __device__ __forceinline__ T add(T a, T b) { return a + b; }
  static __device__ __forceinline__ T sub(T a, T b) { return a - b; }
  static __device__ __forceinline__ T mul(T a, T b) { return a * b; }
  static __device__ __forceinline__ T scaled(T a, T b, T factor) { return a + b * factor; }
};
template <>
struct Arithmetic<int64_t> {
  using U = uint64_t;
  static __device__ __forceinline__ U u(int64_t v) { return static_cast<U>(v); }
  static __device__ __forceinline__ int64_t add(int64_t a, int64_t b) {
    return static_cast<int64_t>(u(a) + u(b));
  }
  static __device__ __forceinline__ int64_t sub(int64_t a, int64_t b) {
    return static_cast<int64_t>(u(a) - u(b));
  }
  static __device__ __forceinline__ int64_t mul(int64_t a, int64_t b) {
    return static_cast<int64_t>(u(a) * u(b));
  }
  static __device__ __forceinline__ int64_t scaled(int64_t a, int64_t b, int64_t factor) {
    return add(a, mul(b, factor));
  }
};

template <class T>
__device__ __forceinline__ bool sign_bit(T x) {
  return x < 0 || (x == 0 && math::copysign(T(1), x) < 0) ||
         (x != x && math::copysign(T(1), x) < 0);
}
__device__ __forceinline__ bool sign_bit(int64_t x) { return x < 0; }

template <class T>
__device__ __forceinline__ bool is_inf(T x) {
  return math::abs(x) == math::infinity<T>();
}

#define MAP_INT(name, arity, ...) FASTNN_MAP_FORMULA(name##_int, arity, 0, __VA_ARGS__)

MAP(add, 2, 0, Arithmetic<T>::add(a, b))
MAP(add_scaled, 2, 1, Arithmetic<T>::scaled(a, b, p0))
MAP(sub, 2, 0, Arithmetic<T>::sub(a, b))
MAP(sub_scaled, 2, 1, Arithmetic<T>::scaled(a, b, Arithmetic<T>::sub(0, p0)))
MAP(mul, 2, 0, Arithmetic<T>::mul(a, b))
MAP(div, 2, 0, a / b)
MAP(floor_divide, 2, 0, floor_divide_of(a, b))
MAP(trunc_divide, 2, 0, trunc(a / b))
MAP_INT(trunc_divide, 2, trunc_divide_of(a, b))
MAP(fmod, 2, 0, math::fmod(a, b))
MAP_INT(fmod, 2, fmod_of(a, b))
MAP(remainder, 2, 0, remainder_of(a, b))
MAP(maximum, 2, 0, math::max(a, b))
MAP(minimum, 2, 0, math::min(a, b))
MAP(fmax, 2, 0, b != b ? a : (a < b ? b : (a != a ? b : a)))
MAP(fmin, 2, 0, b != b ? a : (a > b ? b : (a != a ? b : a)))

MAP_TEST(eq, 2, a == b)
MAP_TEST(ne, 2, a != b)
MAP_TEST(lt, 2, a < b)
MAP_TEST(le, 2, a <= b)
MAP_TEST(gt, 2, a > b)
MAP_TEST(ge, 2, a >= b)
MAP_TEST(logical_and, 2, a != 0 && b != 0)
MAP_TEST(logical_or, 2, a != 0 || b != 0)
MAP_TEST(logical_xor, 2, (a != 0) != (b != 0))
MAP_TEST(logical_not, 1, a == 0)
MAP_TEST(isnan, 1, a != a)
MAP_TEST(isinf, 1, is_inf(a))
MAP_TEST(isfinite, 1, math::abs(a) < infinity<T>())
MAP_TEST(signbit, 1, sign_bit(a))

MAP(bitwise_and, 2, 0, a& b)
MAP(bitwise_or, 2, 0, a | b)
MAP(bitwise_xor, 2, 0, a ^ b)
MAP(bitwise_not, 1, 0, ~a)

MAP(copy, 1, 0, a)
MAP(neg, 1, 0, -a)
MAP_INT(neg, 1, Arithmetic<T>::sub(0, a))
MAP(abs, 1, 0, math::abs(a))
MAP(sign, 1, 0, a > 0 ? T(1) : (a < 0 ? T(-1) : (a != a ? a : zero)))
MAP(square, 1, 0, Arithmetic<T>::mul(a, a))
MAP(floor, 1, 0, math::floor(a))
MAP(ceil, 1, 0, math::ceil(a))
MAP(round, 1, 0, math::rint(a))
MAP(trunc, 1, 0, math::trunc(a))
MAP(frac, 1, 0, a - math::trunc(a))
MAP(sqrt, 1, 0, math::sqrt(a))
MAP(rsqrt, 1, 0, 1 / math::sqrt(a))
MAP(reciprocal, 1, 0, 1 / a)
// Parameters: what NaN, infinity and minus infinity become.
MAP(nan_to_num, 1, 3, a != a ? p0 : (is_inf(a) ? (a > 0 ? p1 : p2) : a))
MAP(where, 3, 0, a != 0 ? b : c)
MAP(addcmul, 3, 1, Arithmetic<T>::add(a, Arithmetic<T>::mul(p0, Arithmetic<T>::mul(b, c))))
MAP(addcdiv, 3, 1, a + p0 * (b / c))
// From the end that is nearer, so that weights of 0 and 1 give the ends exactly.
MAP(lerp, 3, 0, math::abs(c) < T(0.5) ? a + c * (b - a) : b - (b - a) * (1 - c))
MAP(clamp, 3, 0, math::min(math::max(a, b), c))

#define INTEGER(name)                                                                   \
  {                                                                                     \
    {nullptr, nullptr, nullptr}, { nullptr, nullptr, strided_map<name##_map, int64_t> } \
  }
#define SPLIT(name)                                                    \
  {                                                                    \
    FASTNN_DENSE(name), {                                              \
      strided_map<name##_map, float>, strided_map<name##_map, double>, \
          strided_map<name##_int_map, int64_t>                         \
    }                                                                  \
  }
// Rounding leaves integers as they are.
#define ROUNDING(name)                                                 \
  {                                                                    \
    FASTNN_DENSE(name), {                                              \
      strided_map<name##_map, float>, strided_map<name##_map, double>, \
          strided_map<copy_map, int64_t>                               \
    }                                                                  \
  }
MAP(frac_int, 1, 0, zero)

const MapKernels entries[] = {
    BOTH(add),
    BOTH(add_scaled),
    BOTH(sub),
    BOTH(sub_scaled),
    BOTH(mul),
    REAL(div),
    BOTH(floor_divide),
    SPLIT(trunc_divide),
    SPLIT(fmod),
    BOTH(remainder),
    BOTH(maximum),
    BOTH(minimum),
    BOTH(fmax),
    BOTH(fmin),
    BOTH(eq),
    BOTH(ne),
    BOTH(lt),
    BOTH(le),
    BOTH(gt),
    BOTH(ge),
    BOTH(logical_and),
    BOTH(logical_or),
    BOTH(logical_xor),
    BOTH(logical_not),
    REAL(isnan),
    REAL(isinf),
    REAL(isfinite),
    BOTH(signbit),
    INTEGER(bitwise_and),
    INTEGER(bitwise_or),
    INTEGER(bitwise_xor),
    INTEGER(bitwise_not),
    BOTH(copy),
    SPLIT(neg),
    BOTH(abs),
    BOTH(sign),
    BOTH(square),
    ROUNDING(floor),
    ROUNDING(ceil),
    ROUNDING(round),
    ROUNDING(trunc),
    SPLIT(frac),
    REAL(sqrt),
    REAL(rsqrt),
    REAL(reciprocal),
    REAL(nan_to_num),
    BOTH(where),
    BOTH(addcmul),
    REAL(addcdiv),
    REAL(lerp),
    BOTH(clamp),
};

FASTNN_CHECK_TABLE(entries, FASTNN_MAP_BASIC);

// ---- Driver -----------------------------------------------------------------------------------

constexpr int64_t kMostElements = int64_t{1} << 30;  // of one launch: indices fit in 32 bits
constexpr int64_t kMostBlocks = 132 * 16;            // of the dense kernel, which loops

const MapKernels& kernels_of(MapOp op) {
  constexpr int basic = 0 FASTNN_MAP_BASIC(FASTNN_COUNT),
                math = basic FASTNN_MAP_MATH(FASTNN_COUNT);
  const int i = static_cast<int>(op);
  if (i < basic) return map_basic_kernels()[i];
  if (i < math) return map_math_kernels()[i - basic];
  return map_activation_kernels()[i - math];
}

const MapInfo& info_of(const ElementwiseParams& p) { return kMapInfo[static_cast<int>(p.op)]; }

size_t copy_bytes(const TensorView& v) {
  return (static_cast<size_t>(v.numel()) * size_of(v.dtype) + 255) / 256 * 256;
}

// Numbers beside arrays lie on the host: they travel as a kernel argument.
struct HostScalars {
  void* to[kMaxMapInputs];
  uint64_t bits[kMaxMapInputs];
  int count;
};
__global__ void put_scalars(HostScalars s) {
  for (int k = 0; k < s.count; ++k) *static_cast<uint64_t*>(s.to[k]) = s.bits[k];
}
constexpr size_t kScalarBytes = 256;

bool on_host(const TensorView* views, int k) { return views[k].device != views[0].device; }

// Inputs that out would overwrite before they are read are copied first.
size_t workspace(const ElementwiseParams& p, const TensorView* views) {
  size_t bytes = 0;
  for (int k = 1; k <= info_of(p).arity; ++k)
    if (on_host(views, k))
      bytes += kScalarBytes;
    else if (clobbers(views[0], views[k]))
      bytes += copy_bytes(views[k]);
  return bytes;
}

int dense_index(DType t) {
  return t == DType::f32 ? 0 : t == DType::bf16 ? 1 : t == DType::f16 ? 2 : -1;
}
bool aligned16(const void* p) { return reinterpret_cast<uintptr_t>(p) % 16 == 0; }

// One run of memory for out, one run or one value for every input, all of one dtype.
bool run_dense(const ElementwiseParams& p, const TensorView* views, const Loops& l, Stream stream) {
  const MapInfo& info = info_of(p);
  const TensorView& out = views[0];
  const bool test = info.kind == MapKind::test;
  const DType in_type = views[1].dtype;
  const int kind = dense_index(in_type);
  if (kind < 0 || l.ndim != 1 || l.cols() > kMostElements || p.compute != DType::f32) return false;
  if (l.col_stride(0) != 1 || (!test && out.dtype != in_type) || !aligned16(out.data)) return false;
  DenseMap m{out.data, {}, {}, static_cast<uint32_t>(l.cols()), {p.p[0], p.p[1], p.p[2]}};
  for (int k = 0; k < info.arity; ++k) {
    const TensorView& v = views[1 + k];
    const int64_t step = l.col_stride(1 + k);
    if (v.dtype != in_type || (step != 0 && (step != 1 || !aligned16(v.data)))) return false;
    m.in[k] = v.data;
    m.step[k] = static_cast<int>(step);
  }
  const auto kernel = kernels_of(p.op).dense[kind];
  if (!kernel) return false;
  const int64_t per_block = kMapThreads * static_cast<int64_t>(16 / size_of(in_type));
  const int64_t blocks = ceil_div(l.cols(), per_block);
  cuda::launch({info.name, stream,
                static_cast<unsigned>(blocks < kMostBlocks ? blocks : kMostBlocks), kMapThreads},
               kernel, m);
  return true;
}

void run_strided(const ElementwiseParams& p, StridedMap m, Loops l, Stream stream) {
  int64_t n = 1;
  for (int d = 0; d < l.ndim; ++d) n *= l.shape[d];
  if (n > kMostElements) {  // halves along the outermost axis that has any
    int axis = 0;
    while (l.shape[axis] == 1) ++axis;
    const int64_t half = l.shape[axis] / 2;
    Loops rest = l;
    rest.shape[axis] -= half;
    l.shape[axis] = half;
    run_strided(p, m, l, stream);
    for (int k = 0; k < l.operands; ++k)
      m.data[k] = static_cast<char*>(m.data[k]) +
                  half * l.stride[k][axis] * static_cast<int64_t>(size_of(m.dtype[k]));
    return run_strided(p, m, rest, stream);
  }
  m.ndim = l.ndim;
  m.n = static_cast<uint32_t>(n);
  for (int d = 0; d < l.ndim; ++d) {
    m.shape[d] = FastDiv(l.shape[d]);
    for (int k = 0; k < l.operands; ++k) m.stride[k][d] = l.stride[k][d];
  }
  const int compute = p.compute == DType::f32 ? 0 : p.compute == DType::f64 ? 1 : 2;
  cuda::launch({info_of(p).name, stream,
                static_cast<unsigned>(ceil_div(n, kMapThreads * kMapPerThread)), kMapThreads},
               kernels_of(p.op).strided[compute], m);
}

void run_map(const ElementwiseParams& p, const TensorView* views, Stream stream) {
  if (views[0].numel() == 0) return;
  const Loops l = build_loops(views, 1 + info_of(p).arity);
  if (run_dense(p, views, l, stream)) return;
  StridedMap m{};
  for (int k = 0; k < l.operands; ++k) {
    m.data[k] = views[k].data;
    m.dtype[k] = views[k].dtype;
  }
  for (int i = 0; i < kMaxMapParams; ++i) m.p[i] = p.p[i];
  run_strided(p, m, l, stream);
}

void run(const ElementwiseParams& p, const TensorView* views, void* scratch, Stream stream) {
  TensorView own[kMaxOperands];
  own[0] = views[0];
  char* room = static_cast<char*>(scratch);
  HostScalars scalars{};
  for (int k = 1; k <= info_of(p).arity; ++k) {
    own[k] = views[k];
    if (on_host(views, k)) {
      const int i = scalars.count++;
      std::memcpy(&scalars.bits[i], views[k].data, size_of(views[k].dtype));
      own[k].data = scalars.to[i] = room;
      room += kScalarBytes;
      continue;
    }
    if (!room || !clobbers(views[0], views[k])) continue;
    own[k].data = room;
    int64_t step = 1;
    for (int d = own[k].ndim - 1; d >= 0; --d) {
      own[k].stride[d] = step;
      step *= own[k].shape[d];
    }
    const TensorView pair[] = {own[k], views[k]};
    run_map({MapOp::copy, compute_type(own[k].dtype), {}}, pair, stream);
    room += copy_bytes(own[k]);
  }
  if (scalars.count) cuda::launch({"put_scalars", stream, 1, 1}, put_scalars, scalars);
  run_map(p, own, stream);
}

}  // namespace

const MapKernels* map_basic_kernels() { return entries; }

const Op<ElementwiseParams> elementwise{"elementwise", nullptr, workspace, run};

}  // namespace fastnn::cuda
