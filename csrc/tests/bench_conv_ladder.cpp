// From seven loops to the shipped convolution, one idea a rung (docs/convolution.md):
//
//   bench_conv_ladder [N C SIZE]     3x3, stride 1, C filters; 4 images of 64 x 56 x 56 unless
//   given
#include <cstdlib>
#include <cstring>

#include "fastnn/ops/conv.h"
#include "fastnn/ops/gemm.h"
#include "ladder.h"

namespace {

using namespace fastnn;

struct Problem {
  int64_t n, c, size;  // images, channels in and out, height and width
  const float *x, *w;
  float* y;

  int64_t pixels() const { return size * size; }
};

TensorView view(const float* p, std::initializer_list<int64_t> shape) {
  TensorView v;
  v.data = const_cast<float*>(p);
  v.dtype = DType::f32;
  v.ndim = static_cast<int>(shape.size());
  std::copy(shape.begin(), shape.end(), v.shape);
  int64_t step = 1;
  for (int d = v.ndim - 1; d >= 0; --d) {
    v.stride[d] = step;
    step *= v.shape[d];
  }
  return v;
}

// 1. The formula: pixel by pixel, with a look at the border at every tap.
void seven_loops(const Problem& p) {
  for (int64_t n = 0; n < p.n; ++n)
    for (int64_t o = 0; o < p.c; ++o)
      for (int64_t i = 0; i < p.size; ++i)
        for (int64_t j = 0; j < p.size; ++j) {
          float sum = 0;
          for (int64_t c = 0; c < p.c; ++c)
            for (int64_t u = 0; u < 3; ++u)
              for (int64_t v = 0; v < 3; ++v) {
                const int64_t h = i + u - 1, w = j + v - 1;
                if (h >= 0 && h < p.size && w >= 0 && w < p.size)
                  sum += p.x[((n * p.c + c) * p.size + h) * p.size + w] *
                         p.w[((o * p.c + c) * 3 + u) * 3 + v];
              }
          p.y[((n * p.c + o) * p.size + i) * p.size + j] = sum;
        }
}

// 2. Pixels of a row innermost: the compiler makes vectors of them. Each output row is read and
// written 9 C times.
void rows(const Problem& p) {
  std::memset(p.y, 0, static_cast<size_t>(p.n * p.c * p.pixels()) * 4);
  for (int64_t n = 0; n < p.n; ++n)
    for (int64_t o = 0; o < p.c; ++o)
      for (int64_t c = 0; c < p.c; ++c)
        for (int64_t i = 0; i < p.size; ++i)
          for (int64_t u = 0; u < 3; ++u) {
            const int64_t h = i + u - 1;
            if (h < 0 || h >= p.size) continue;
            const float* x = p.x + ((n * p.c + c) * p.size + h) * p.size;
            float* y = p.y + ((n * p.c + o) * p.size + i) * p.size;
            for (int64_t v = 0; v < 3; ++v) {
              const float weight = p.w[((o * p.c + c) * 3 + u) * 3 + v];
              const int64_t begin = std::max<int64_t>(0, 1 - v);
              const int64_t end = std::min(p.size, p.size + 1 - v);
              for (int64_t j = begin; j < end; ++j) y[j] += weight * x[j + v - 1];
            }
          }
}

// Row (c, u, v) of `columns` is what tap (u, v) sees of channel c.
void im2col(const Problem& p, const float* x, float* columns) {
  for (int64_t c = 0; c < p.c; ++c)
    for (int64_t u = 0; u < 3; ++u)
      for (int64_t v = 0; v < 3; ++v)
        for (int64_t i = 0; i < p.size; ++i, columns += p.size) {
          const int64_t h = i + u - 1;
          std::memset(columns, 0, static_cast<size_t>(p.size) * 4);
          if (h < 0 || h >= p.size) continue;
          const int64_t begin = std::max<int64_t>(0, 1 - v);
          const int64_t end = std::min(p.size, p.size + 1 - v);
          std::memcpy(columns + begin, x + (c * p.size + h) * p.size + begin + v - 1,
                      static_cast<size_t>(end - begin) * 4);
        }
}

// 3. The image unfolded in memory, nine times its size, and a matrix product.
void unfolded(const Problem& p, float* columns) {
  const int64_t k = p.c * 9;
  for (int64_t n = 0; n < p.n; ++n) {
    im2col(p, p.x + n * p.c * p.pixels(), columns);
    const TensorView views[4] = {view(p.w, {p.c, k}),
                                 view(columns, {k, p.pixels()}),
                                 view(p.y + n * p.c * p.pixels(), {p.c, p.pixels()}),
                                 {}};
    launch(gemm_forward, GemmParams{}, views);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const bool given = argc > 3;
  const int64_t n = given ? std::atoll(argv[1]) : 4, c = given ? std::atoll(argv[2]) : 64,
                size = given ? std::atoll(argv[3]) : 56;
  const ladder::Floats x(n * c * size * size), w(c * c * 9), y(x.size), right(x.size),
      columns(c * 9 * size * size);
  const Problem p{n, c, size, x.p, w.p, y.p};
  Problem reference = p;
  reference.y = right.p;
  seven_loops(reference);
  std::printf("convolution 3x3, %lld images of %lld x %lld x %lld, %lld filters, float32\n",
              static_cast<long long>(n), static_cast<long long>(c), static_cast<long long>(size),
              static_cast<long long>(size), static_cast<long long>(c));
  ladder::Ladder run(2.0 * static_cast<double>(x.size) * static_cast<double>(c * 9), right, y);
  run.rung("1. seven loops", 1, [&] { seven_loops(p); });
  run.rung("2. rows of pixels: vectors", 1, [&] { rows(p); });
  run.rung("3. unfolded in memory, fastnn's matrix product", 1, [&] { unfolded(p, columns.p); });
  ConvParams params;
  params.padding[0] = params.padding[1] = 1;
  const TensorView views[4] = {
      view(x.p, {n, c, size, size}), view(w.p, {c, c, 3, 3}), {}, view(y.p, {n, c, size, size})};
  const auto shipped = [&] { launch(conv_forward, params, views); };
  run.rung("4. fastnn, one thread", 1, shipped);
  run.rung("5. fastnn, two threads", 2, shipped);
}
