#include "cpu/kernels/random.h"

#include "cpu/kernels/philox.h"
#include "cpu/kernels/vecmath_trig.h"

namespace fastnn::FASTNN_ISA_NS {

namespace {

void words(uint64_t seed, uint64_t counter, uint32_t* out, int64_t n) {
  for (int64_t i = 0; i < n; i += kPhiloxWords, counter += kPhiloxBlocks)
    philox_words(seed, counter, out + i);
}

void uniform_f32(const uint32_t* words, float* out, int64_t n, int shift, float a, float step) {
  for (int64_t i = 0; i < n; ++i)
    out[i] = static_cast<float>(static_cast<int32_t>(words[i] >> shift)) * step + a;
}

FASTNN_INLINE uint64_t pair(const uint32_t* words, int64_t i) {
  return words[2 * i] | uint64_t{words[2 * i + 1]} << 32;
}

void uniform_f64(const uint32_t* words, double* out, int64_t n, double a, double step) {
  for (int64_t i = 0; i < n; ++i)
    out[i] = static_cast<double>(static_cast<int64_t>(pair(words, i) >> 11)) * step + a;
}

// Normals have the same bits at every instruction set level, and may have them on other devices:
// their logarithm, sine and cosine are sums and products rounded one by one, without fused
// operations.
FASTNN_INLINE vf horner(vf, float c) { return splat(c); }
template <class... C>
FASTNN_INLINE vf horner(vf x, float c, C... rest) {
  return horner(x, rest...) * x + c;
}

FASTNN_INLINE vf plain_log(vf u) {  // u in (0, 1]
  vf e, f;
  split(u, e, f);
  const vf f2 = f * f;
  const vf p = horner(f, 0.33333331257f, -0.249999811862f, 0.200006880645f, -0.166691510564f,
                      0.142511559934f, -0.123966987721f, 0.116346590826f, -0.116599423953f,
                      0.0733255377815f);
  const vf tail = f2 * f * p - f2 * 0.5f;
  return e * 0x1.62e4p-1f + (f + (tail + e * 0x1.7f7d1cp-20f));
}

// sin(r + q pi/2), |r| <= pi/4
FASTNN_INLINE vf plain_sin(vf r, vi q) {
  const vf z = r * r;
  const vf s =
      r * z *
          horner(z, -0.166666666639f, 0.00833333187633f, -0.00019840087436f, 2.72500015145e-6f) +
      r;
  const vf c = z * z * horner(z, 0.0416666646642f, -0.00138883036434f, 2.45480405435e-5f) +
               (1.0f - z * 0.5f);
  const vf y = (q & 1) == 0 ? s : c;
  return from_bits(bits(y) ^ ((q & 2) << 30));
}

// Pairs of words to pairs of numbers, a vector of pairs at a time; `out` has room for whole
// vectors.
void normal_f32(const uint32_t* words, float* out, int64_t n, float mean, float std) {
  constexpr int kWide = kLanes<float>;
  for (int64_t i = 0; i < n; i += 2 * kWide) {
    int32_t w[kWide], t[kWide];
    for (int k = 0; k < kWide; ++k) {
      w[k] = static_cast<int32_t>(words[i + 2 * k]);
      t[k] = static_cast<int32_t>(words[i + 2 * k + 1]);
    }
    const vi bits_w = load(w), bits_t = load(t);
    // (w + 1) / 2^32, rounded once: both summands are exact.
    const vf high = to_float((bits_w >> 16) & 0xffff) * 65536.0f,
             low = to_float(bits_w & 0xffff) + 1;
    const vf r = sqrt(plain_log((high + low) * 0x1p-32f) * -2.0f) * std;
    // The top two bits say the quadrant (rounded), the others the angle in it.
    const vf angle =
        to_float((vi)((VecOf<uint32_t>::type)bits_t << 2)) * (0x1p-32f * 1.57079632679489661923f);
    const vi quadrant = ((bits_t >> 29) + 1) >> 1;
    float c[kWide], s[kWide];
    store(c, plain_sin(angle, quadrant + 1) * r + mean);
    store(s, plain_sin(angle, quadrant) * r + mean);
    for (int k = 0; k < kWide; ++k) {
      out[i + 2 * k] = c[k];
      out[i + 2 * k + 1] = s[k];
    }
  }
}

void normal_f64(const uint32_t* words, double* out, int64_t n, double mean, double std) {
  for (int64_t i = 0; i < n; i += 2) {
    const double u = static_cast<double>((pair(words, i) >> 11) + 1) * 0x1p-53;
    const double t =
        static_cast<double>(pair(words, i + 1) >> 11) * (0x1p-52 * 3.14159265358979323846);
    const double r = __builtin_sqrt(-2 * __builtin_log(u)) * std;
    out[i] = mean + r * __builtin_cos(t);
    out[i + 1] = mean + r * __builtin_sin(t);
  }
}

template <class T>
void dropout(const uint32_t* words, const T* x, T* y, int64_t n, uint32_t threshold, T scale) {
#pragma GCC ivdep
  for (int64_t i = 0; i < n; ++i) y[i] = x[i] * (words[i] <= threshold ? scale : T(0));
}

constexpr RandomKernels kTable = {words,      uniform_f32,    uniform_f64,    normal_f32,
                                  normal_f64, dropout<float>, dropout<double>};

}  // namespace

const RandomKernels* random_kernels() { return &kTable; }

}  // namespace fastnn::FASTNN_ISA_NS
