// Filling arrays with random numbers, dropout, permutations: in blocks of the stream.
#include "fastnn/ops/random.h"

#include <algorithm>
#include <cmath>

#include "cpu/kernels/random.h"
#include "cpu/strided.h"

namespace fastnn {

namespace {

constexpr int64_t kBlocksPerTask = 8;

bool wide_draws(RandomKind kind, DType dtype) {
  return kind == RandomKind::integers ||
         (dtype == DType::f64 && (kind == RandomKind::uniform || kind == RandomKind::normal));
}

void check_fill(const RandomParams& p, const TensorView* v) {
  const char* op = "random_fill";
  if ((p.kind == RandomKind::uniform || p.kind == RandomKind::normal) && !is_float(v[0].dtype))
    fail(ErrorKind::dtype, op, ": uniform and normal numbers need a floating-point dtype, got ",
         name_of(v[0].dtype));
  if (p.kind == RandomKind::bernoulli && !(p.a >= 0 && p.a <= 1))
    fail(ErrorKind::value, op, ": the probability must be between 0 and 1, got ", p.a);
  if (p.kind != RandomKind::bernoulli_of) return;
  if (!is_float(v[1].dtype) || !same_shape(v[0], v[1]))
    fail(ErrorKind::shape, op, ": probabilities must be floating-point of shape ",
         v[0].shape_text(), ", got ", name_of(v[1].dtype), " of shape ", v[1].shape_text());
}

void check_probabilities(const RandomParams& p, const TensorView* v) {
  if (p.kind != RandomKind::bernoulli_of) return;
  const char* op = "random_fill";
  Walk at(v[1], 0);
  for (int64_t i = 0, n = v[1].numel(); i < n; ++i, at.next()) {
    double q;
    TensorView one = v[1];
    one.ndim = 0;
    one.data =
        static_cast<char*>(one.data) + at.offset() * static_cast<int64_t>(size_of(one.dtype));
    gather_block(one, 0, 1, &q);
    if (!(q >= 0 && q <= 1))
      fail(ErrorKind::value, op, ": every probability must be between 0 and 1, got ", q,
           " at flat index ", i);
  }
}

// bernoulli: the largest word that counts as 1; `never` when none does.
uint32_t threshold_of(double probability, bool& never) {
  const double limit = std::round(probability * 0x1p32);
  never = limit < 1;
  return never ? 0 : static_cast<uint32_t>(static_cast<uint64_t>(limit) - 1);
}

void scatter_integers(const TensorView& v, int64_t begin, int64_t n, const int64_t* in) {
  Walk at(v, begin);
  for (int64_t i = 0; i < n; ++i, at.next()) {
    const int64_t o = at.offset();
    switch (v.dtype) {
      case DType::i64:
        v.ptr<int64_t>()[o] = in[i];
        break;
      case DType::i32:
        v.ptr<int32_t>()[o] = static_cast<int32_t>(in[i]);
        break;
      case DType::i16:
        v.ptr<int16_t>()[o] = static_cast<int16_t>(in[i]);
        break;
      case DType::b8:
        v.ptr<uint8_t>()[o] = in[i] != 0;
        break;
      default:
        v.ptr<uint8_t>()[o] = static_cast<uint8_t>(in[i]);
    }
  }
}

// Fills blocks of one array; holds a block's words and results.
class Filler {
 public:
  Filler(const RandomParams& p, const TensorView* v)
      : p_(p), v_(v), out_(v[0]), kernels_(active_random_kernels()) {}

  void fill(int64_t begin, int64_t n) {
    const int words_each = wide_draws(p_.kind, out_.dtype) ? 2 : 1;
    // An odd number of normals needs the words of one more.
    kernels_.words(p_.seed, p_.offset + static_cast<uint64_t>(begin * words_each / 4), words_,
                   (n + n % 2) * words_each);
    if (p_.kind == RandomKind::uniform || p_.kind == RandomKind::normal)
      out_.dtype == DType::f64 ? doubles(begin, n) : floats(begin, n);
    else
      integers(begin, n);
  }

 private:
  void doubles(int64_t begin, int64_t n) {
    double block[kRandomWords];
    if (p_.kind == RandomKind::uniform)
      kernels_.uniform_f64(words_, block, n, p_.a, (p_.b - p_.a) * 0x1p-53);
    else
      kernels_.normal_f64(words_, block, n, p_.a, p_.b);
    write(begin, n, block);
  }

  void floats(int64_t begin, int64_t n) {
    float block[kRandomWords];
    const int bits = out_.dtype == DType::f32 ? 24 : out_.dtype == DType::f16 ? 11 : 8;
    if (p_.kind == RandomKind::uniform)
      kernels_.uniform_f32(words_, block, n, 32 - bits, static_cast<float>(p_.a),
                           static_cast<float>(std::ldexp(p_.b - p_.a, -bits)));
    else
      kernels_.normal_f32(words_, block, n, static_cast<float>(p_.a), static_cast<float>(p_.b));
    write(begin, n, block);
  }

  void integers(int64_t begin, int64_t n) {
    int64_t block[kRandomWords];
    if (p_.kind == RandomKind::integers) {
      for (int64_t i = 0; i < n; ++i) {
        const uint64_t w = words_[2 * i] | uint64_t{words_[2 * i + 1]} << 32;
        const uint64_t drawn =
            p_.range ? static_cast<uint64_t>((static_cast<unsigned __int128>(w) * p_.range) >> 64)
                     : w;
        block[i] = static_cast<int64_t>(static_cast<uint64_t>(p_.low) + drawn);
      }
    } else if (p_.kind == RandomKind::bernoulli) {
      bool never;
      const uint32_t threshold = threshold_of(p_.a, never);
      for (int64_t i = 0; i < n; ++i) block[i] = !never && words_[i] <= threshold;
    } else {
      double q[kStridedBlock];
      for (int64_t at = 0; at < n; at += kStridedBlock) {
        const int64_t count = std::min(n - at, kStridedBlock);
        gather_block(v_[1], begin + at, count, q);
        for (int64_t i = 0; i < count; ++i) block[at + i] = (words_[at + i] >> 8) * 0x1p-24 < q[i];
      }
    }
    if (is_float(out_.dtype))
      write(begin, n, block);
    else if (out_.dtype == DType::i64)
      write(begin, n, block);
    else
      scatter_integers(out_, begin, n, block);
  }

  template <class T>
  void write(int64_t begin, int64_t n, const T* block) {
    constexpr DType same = std::is_same_v<T, float>    ? DType::f32
                           : std::is_same_v<T, double> ? DType::f64
                                                       : DType::i64;
    if (out_.dtype == same && out_.contiguous())
      std::copy(block, block + n, out_.ptr<T>() + begin);
    else if (out_.dtype == DType::i64)
      scatter_integers(out_, begin, n, reinterpret_cast<const int64_t*>(block));
    else
      scatter_block(out_, begin, n, block);
  }

  const RandomParams& p_;
  const TensorView* v_;
  const TensorView& out_;
  const RandomKernels& kernels_;
  alignas(kAlignment) uint32_t words_[kRandomWords + 64];
};

void run_fill(const RandomParams& p, const TensorView* v, void*) {
  const int64_t n = v[0].numel(),
                block = wide_draws(p.kind, v[0].dtype) ? kRandomWords / 2 : kRandomWords;
  parallel_blocks(n, block * kBlocksPerTask, [&](int64_t begin, int64_t end, int) {
    Filler filler(p, v);
    for (int64_t at = begin; at < end; at += block) filler.fill(at, std::min(block, end - at));
  });
}

// ---- Dropout
// --------------------------------------------------------------------------------------------------------

void check_dropout(const DropoutParams& p, const TensorView* v) {
  if (!(p.p >= 0 && p.p <= 1))
    fail(ErrorKind::value, "dropout: p must be between 0 and 1, got ", p.p);
  if (!is_float(v[0].dtype))
    fail(ErrorKind::dtype, "dropout: input must be floating-point, got ", name_of(v[0].dtype));
  if (!same_shape(v[0], v[1]) || v[0].dtype != v[1].dtype)
    fail(ErrorKind::shape, "dropout: the output must have the input's dtype and shape ",
         v[0].shape_text());
}

struct Mask {
  uint32_t threshold;
  double scale;

  explicit Mask(double p) {
    bool never;
    threshold = threshold_of(1 - p, never);
    scale = never ? 0 : 1 / (1 - p);
  }
};

template <class T, class Kernel>
void dropout_block(Kernel kernel, const Mask& mask, const uint32_t* words, const TensorView& x,
                   const TensorView& y, int64_t begin, int64_t n) {
  constexpr DType type = sizeof(T) == 8 ? DType::f64 : DType::f32;
  if (x.dtype == type && x.contiguous() && y.contiguous())
    return kernel(words, x.ptr<const T>() + begin, y.ptr<T>() + begin, n, mask.threshold,
                  static_cast<T>(mask.scale));
  T block[kStridedBlock];
  for (int64_t at = 0; at < n; at += kStridedBlock) {
    const int64_t count = std::min(n - at, kStridedBlock);
    gather_block(x, begin + at, count, block);
    kernel(words + at, block, block, count, mask.threshold, static_cast<T>(mask.scale));
    scatter_block(y, begin + at, count, block);
  }
}

void run_dropout(const DropoutParams& p, const TensorView* v, void*) {
  const RandomKernels& kernels = active_random_kernels();
  const Mask mask(p.p);
  parallel_blocks(v[0].numel(), kRandomWords * kBlocksPerTask,
                  [&](int64_t begin, int64_t end, int) {
                    alignas(kAlignment) uint32_t words[kRandomWords + 64];
                    for (int64_t at = begin; at < end; at += kRandomWords) {
                      const int64_t n = std::min(kRandomWords, end - at);
                      kernels.words(p.seed, p.offset + static_cast<uint64_t>(at / 4), words, n);
                      if (v[0].dtype == DType::f64)
                        dropout_block<double>(kernels.dropout_f64, mask, words, v[0], v[1], at, n);
                      else
                        dropout_block<float>(kernels.dropout_f32, mask, words, v[0], v[1], at, n);
                    }
                  });
}

// ---- Permutations
// ---------------------------------------------------------------------------------------------------

struct Keyed {
  uint64_t key;
  int64_t number;
};

constexpr int kDigitBits = 11, kDigits = 4;

void check_permutation(const PermutationParams&, const TensorView* v) {
  if (v[0].dtype != DType::i64 || v[0].ndim != 1 || !v[0].contiguous())
    fail(ErrorKind::shape, "random_permutation: out must be a contiguous int64 vector, got ",
         name_of(v[0].dtype), " ", v[0].shape_text());
}

size_t permutation_workspace(const PermutationParams&, const TensorView* v) {
  return 2 * static_cast<size_t>(v[0].numel()) * sizeof(Keyed);
}

// Radix sort, least significant digit first: stable, so that equal keys stay in the order of their
// numbers.
void run_permutation(const PermutationParams& p, const TensorView* v, void* memory) {
  const int64_t n = v[0].numel();
  auto *from = static_cast<Keyed*>(memory), *to = from + n;
  const RandomKernels& kernels = active_random_kernels();
  alignas(kAlignment) uint32_t words[kRandomWords + 64];
  for (int64_t at = 0; at < n; at += kRandomWords / 2) {
    const int64_t count = std::min(n - at, kRandomWords / 2);
    kernels.words(p.seed, p.offset + static_cast<uint64_t>(at / 2), words, 2 * count);
    for (int64_t i = 0; i < count; ++i)
      from[at + i] = {
          (words[2 * i] | uint64_t{words[2 * i + 1]} << 32) >> (64 - kDigits * kDigitBits), at + i};
  }
  for (int digit = 0; digit < kDigits; ++digit) {
    constexpr int64_t kBuckets = int64_t{1} << kDigitBits;
    int64_t start[kBuckets + 1] = {};
    const auto bucket = [=](const Keyed& k) {
      return (k.key >> (digit * kDigitBits)) & (kBuckets - 1);
    };
    for (int64_t i = 0; i < n; ++i) ++start[bucket(from[i]) + 1];
    for (int64_t b = 0; b < kBuckets; ++b) start[b + 1] += start[b];
    for (int64_t i = 0; i < n; ++i) to[start[bucket(from[i])]++] = from[i];
    std::swap(from, to);
  }
  auto* out = v[0].ptr<int64_t>();
  for (int64_t i = 0; i < n; ++i) out[i] = from[i].number;
}

}  // namespace

int64_t random_blocks(RandomKind kind, DType dtype, int64_t n) {
  return wide_draws(kind, dtype) ? n / 2 + n % 2 : n / 4 + (n % 4 > 0);
}

const Op<RandomParams> random_fill{"random_fill", check_fill, nullptr, run_fill,
                                   check_probabilities};
const Op<DropoutParams> dropout_apply{"dropout", check_dropout, nullptr, run_dropout};
const Op<PermutationParams> random_permutation{"random_permutation", check_permutation,
                                               permutation_workspace, run_permutation};

}  // namespace fastnn
