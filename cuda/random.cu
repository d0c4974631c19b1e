// Random numbers and dropout with the CPU's bits: a thread makes one block of the stream, which is
// four elements, or two where draws have 64 bits.
#include <cmath>

#include "common/cast.h"
#include "common/dtypes.h"
#include "common/launch.h"
#include "common/math.h"
#include "common/philox.h"
#include "common/row_major.h"
#include "fastnn/ops/random.h"
#include "ops.h"

namespace fastnn::cuda {

namespace {

constexpr int kThreads = 256;

struct FillArgs {
  RandomKind kind;
  uint64_t seed, offset;
  uint32_t n;
  void* out;
  DType dtype;
  RowMajor at;
  const void* odds;  // bernoulli_of
  DType odds_dtype;
  RowMajor odds_at;
  double a, b;  // uniform: low, step; normal: mean, std
  int shift;    // uniform: bits of a word that are not used
  int64_t low;
  uint64_t range;
  uint32_t threshold;
  bool never;
};

// 32-bit draws.
__global__ void __launch_bounds__(kThreads) fill_narrow(FillArgs a) {
  const uint32_t block = blockIdx.x * kThreads + threadIdx.x;
  if (block * 4ull >= a.n) return;
  const PhiloxWords words = philox(a.seed, a.offset + block);
  float value[4] = {};
  if (a.kind == RandomKind::normal) {
    FASTNN_UNROLL
    for (int e = 0; e < 4; e += 2) {
      const NormalPair p =
          normal_pair(words.w[e], words.w[e + 1], static_cast<float>(a.a), static_cast<float>(a.b));
      value[e] = p.cos;
      value[e + 1] = p.sin;
    }
  }
  FASTNN_UNROLL
  for (int e = 0; e < 4; ++e) {
    const uint32_t i = block * 4 + e;
    if (i >= a.n) return;
    const int64_t at = a.at.offset(i);
    const uint32_t w = words.w[e];
    if (a.kind == RandomKind::uniform)
      value[e] = times_plus(static_cast<float>(static_cast<int>(w >> a.shift)),
                            static_cast<float>(a.b), static_cast<float>(a.a));
    if (a.kind == RandomKind::bernoulli) value[e] = !a.never && w <= a.threshold;
    if (a.kind == RandomKind::bernoulli_of)
      value[e] = static_cast<double>(w >> 8) * 0x1p-24 <
                 load_as<double>(a.odds, a.odds_dtype, a.odds_at.offset(i));
    store_as<float>(a.out, a.dtype, at, value[e]);
  }
}

__device__ __forceinline__ uint64_t draw64(const PhiloxWords& p, int e) {
  return p.w[2 * e] | uint64_t{p.w[2 * e + 1]} << 32;
}

// 64-bit draws.
__global__ void __launch_bounds__(kThreads) fill_wide(FillArgs a) {
  const uint32_t block = blockIdx.x * kThreads + threadIdx.x;
  if (block * 2ull >= a.n) return;
  const PhiloxWords words = philox(a.seed, a.offset + block);
  double value[2] = {};
  if (a.kind == RandomKind::normal) {
    const double u = static_cast<double>((draw64(words, 0) >> 11) + 1) * 0x1p-53;
    const double t =
        static_cast<double>(draw64(words, 1) >> 11) * (0x1p-52 * 3.14159265358979323846);
    const double r = math::sqrt(-2 * math::log(u)) * a.b;
    value[0] = a.a + r * math::cos(t);
    value[1] = a.a + r * math::sin(t);
  }
  FASTNN_UNROLL
  for (int e = 0; e < 2; ++e) {
    const uint32_t i = block * 2 + e;
    if (i >= a.n) return;
    const int64_t at = a.at.offset(i);
    const uint64_t w = draw64(words, e);
    if (a.kind == RandomKind::integers) {
      const uint64_t drawn = a.range ? __umul64hi(w, a.range) : w;
      store_as<int64_t>(a.out, a.dtype, at,
                        static_cast<int64_t>(static_cast<uint64_t>(a.low) + drawn));
      continue;
    }
    if (a.kind == RandomKind::uniform)
      value[e] = __dadd_rn(__dmul_rn(static_cast<double>(static_cast<int64_t>(w >> 11)), a.b), a.a);
    store_as<double>(a.out, a.dtype, at, value[e]);
  }
}

struct DropoutArgs {
  uint64_t seed, offset;
  uint32_t n;
  const void* x;
  void* y;
  RowMajor x_at, y_at;
  uint32_t threshold;
  double scale;
};

template <class T>
__global__ void __launch_bounds__(kThreads) dropout_blocks(DropoutArgs a) {
  using C = Wide<T>;
  const uint32_t block = blockIdx.x * kThreads + threadIdx.x;
  if (block * 4ull >= a.n) return;
  const PhiloxWords words = philox(a.seed, a.offset + block);
  FASTNN_UNROLL
  for (int e = 0; e < 4; ++e) {
    const uint32_t i = block * 4 + e;
    if (i >= a.n) return;
    const C x = widen_to<C>(static_cast<const T*>(a.x)[a.x_at.offset(i)]);
    const C m = words.w[e] <= a.threshold ? static_cast<C>(a.scale) : C(0);
    static_cast<T*>(a.y)[a.y_at.offset(i)] = narrow_to<T>(x * m);
  }
}

// ---- Drivers ----------------------------------------------------------------------------------

void check_size(const char* op, const TensorView& v) {
  if (v.numel() > INT32_MAX)
    fail(ErrorKind::unsupported, op, ": more than 2^31 - 1 elements on CUDA, got ", v.shape_text());
}

// The largest word that counts as 1; `never` when none does.
uint32_t threshold_of(double probability, bool& never) {
  const double limit = std::round(probability * 0x1p32);
  never = limit < 1;
  return never ? 0 : static_cast<uint32_t>(static_cast<uint64_t>(limit) - 1);
}

bool wide_draws(const RandomParams& p, DType t) {
  return p.kind == RandomKind::integers ||
         (t == DType::f64 && (p.kind == RandomKind::uniform || p.kind == RandomKind::normal));
}

void check_fill(const RandomParams&, const TensorView* v) { check_size("random_fill", v[0]); }

void run_fill(const RandomParams& p, const TensorView* v, void*, Stream stream) {
  if (v[0].numel() == 0) return;
  FillArgs a{};
  a.kind = p.kind;
  a.seed = p.seed;
  a.offset = p.offset;
  a.n = static_cast<uint32_t>(v[0].numel());
  a.out = v[0].data;
  a.dtype = v[0].dtype;
  a.at = RowMajor(v[0]);
  if (p.kind == RandomKind::bernoulli_of) {
    a.odds = v[1].data;
    a.odds_dtype = v[1].dtype;
    a.odds_at = RowMajor(v[1]);
  }
  a.a = p.a;
  a.b = p.b;
  const int bits = a.dtype == DType::f64   ? 53
                   : a.dtype == DType::f32 ? 24
                   : a.dtype == DType::f16 ? 11
                                           : 8;
  a.shift = 32 - bits;
  if (p.kind == RandomKind::uniform) a.b = std::ldexp(p.b - p.a, -bits);
  a.low = p.low;
  a.range = p.range;
  if (p.kind == RandomKind::bernoulli) a.threshold = threshold_of(p.a, a.never);
  const bool wide = wide_draws(p, a.dtype);
  const int64_t blocks = ceil_div(a.n, wide ? 2 : 4);
  cuda::launch({"random_fill", stream, static_cast<unsigned>(ceil_div(blocks, kThreads)), kThreads},
               wide ? fill_wide : fill_narrow, a);
}

void check_dropout(const DropoutParams&, const TensorView* v) { check_size("dropout", v[0]); }

void run_dropout(const DropoutParams& p, const TensorView* v, void*, Stream stream) {
  if (v[0].numel() == 0) return;
  DropoutArgs a{};
  a.seed = p.seed;
  a.offset = p.offset;
  a.n = static_cast<uint32_t>(v[0].numel());
  a.x = v[0].data;
  a.y = v[1].data;
  a.x_at = RowMajor(v[0]);
  a.y_at = RowMajor(v[1]);
  bool never;
  a.threshold = threshold_of(1 - p.p, never);
  a.scale = never ? 0 : 1 / (1 - p.p);
  with_float_type(v[0].dtype, [&](auto tag) {
    cuda::launch({"dropout", stream, static_cast<unsigned>(ceil_div(a.n, 4 * kThreads)), kThreads},
                 dropout_blocks<decltype(tag)>, a);
  });
}

}  // namespace

const Op<RandomParams> random_fill{"random_fill", check_fill, nullptr, run_fill};
const Op<DropoutParams> dropout_apply{"dropout", check_dropout, nullptr, run_dropout};

}  // namespace fastnn::cuda
