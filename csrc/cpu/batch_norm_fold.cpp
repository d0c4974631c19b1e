// Batch norm folded into the weight and bias of the layer before it, in double: every value is
// rounded once.
#include "cpu/norm_common.h"

namespace fastnn {

namespace {

constexpr const char* kName = "batch_norm_fold";
constexpr int64_t kGrain = 16 << 10;  // weights of a task

void check(const BatchNormFoldParams&, const TensorView* v) {
  const int64_t channels = v[0].shape[0];
  check_norm_arrays(kName, v[0], {&v[6]});
  for (const int i : {1, 2, 3, 4, 5, 7})
    check_norm_vector(kName, "a vector of channels", v[0], v[i], channels);
  if (v[0].ndim != 2 || !v[0].contiguous() || !v[6].contiguous() || !v[4] || !v[5] || !v[7])
    fail(ErrorKind::value, kName, ": expected contiguous weights, and statistics");
}

template <class T>
void fold(const BatchNormFoldParams& p, const TensorView* v) {
  const int64_t channels = v[0].shape[0], taps = v[0].shape[1];
  const T *w = v[0].ptr<const T>(), *b = v[1].ptr<const T>(), *scale = v[2].ptr<const T>(),
          *shift = v[3].ptr<const T>(), *mean = v[4].ptr<const T>(), *var = v[5].ptr<const T>();
  T *w_out = v[6].ptr<T>(), *b_out = v[7].ptr<T>();
  const auto value = [](const T* vector, int64_t c, double absent) {
    return vector ? static_cast<double>(vector[c]) : absent;
  };
  parallel_blocks(
      channels, std::max<int64_t>(1, kGrain / std::max<int64_t>(1, taps)),
      [&](int64_t begin, int64_t end, int) {
        for (int64_t c = begin; c < end; ++c) {
          const double factor = value(scale, c, 1) / std::sqrt(static_cast<double>(var[c]) + p.eps);
          b_out[c] = static_cast<T>((value(b, c, 0) - static_cast<double>(mean[c])) * factor +
                                    value(shift, c, 0));
          for (int64_t k = c * taps; k < (c + 1) * taps; ++k)
            w_out[k] = static_cast<T>(static_cast<double>(w[k]) * factor);
        }
      });
}

void run(const BatchNormFoldParams& p, const TensorView* v, void*) {
  v[0].dtype == DType::f32 ? fold<float>(p, v) : fold<double>(p, v);
}

}  // namespace

const Op<BatchNormFoldParams> batch_norm_fold{kName, check, nullptr, run};

}  // namespace fastnn
