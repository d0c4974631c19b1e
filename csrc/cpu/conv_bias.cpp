// The gradient of the bias: sums of every channel over batch and pixels. Sums of runs are kept in
// the type of accumulation, sums of those in double.
#include <algorithm>

#include "cpu/conv_shape.h"
#include "cpu/kernels/conv.h"
#include "cpu/ref/element.h"

namespace fastnn {

namespace {

constexpr const char* kName = "conv_backward_bias";
constexpr int kLanes = 32;          // channels of a panel
constexpr int64_t kRows = 128;      // pixels of a panel
constexpr int64_t kBlock = 131072;  // values of a task, where an image has so many
constexpr int64_t kSegment = 8192;  // pixels of a task that packs panels

void check(const ConvParams& p, const TensorView* v) {
  if (v[0].ndim != p.dims + 2 || p.dims < 1 || p.dims > 3)
    fail(ErrorKind::shape, kName, ": grad_output must have ", p.dims + 2, " dimensions, got shape ",
         v[0].shape_text());
  if (!is_float(v[0].dtype) || v[1].dtype != v[0].dtype)
    fail(ErrorKind::dtype, kName, ": grad_output and the gradient must be alike and floating, got ",
         name_of(v[0].dtype), " and ", name_of(v[1].dtype));
  if (v[1].ndim != 1 || v[1].shape[0] != v[0].shape[1])
    fail(ErrorKind::shape, kName, ": the gradient must have shape (", v[0].shape[1], ",), got ",
         v[1].shape_text());
}

struct Sums {
  TensorView dy;
  int64_t n, c, pixels;
  bool adjacent;  // the pixels of one channel of one image
  int64_t parts;  // that have sums of their own

  Sums(const ConvParams& p, const TensorView& view) : dy(view), n(view.shape[0]), c(view.shape[1]) {
    pixels = 1;
    adjacent = true;
    for (int d = p.dims + 1; d >= 2; --d) {
      adjacent = adjacent && (view.shape[d] == 1 || view.stride[d] == pixels);
      pixels *= view.shape[d];
    }
    parts = adjacent ? n : (n * pixels + kSegment - 1) / kSegment;
  }
  size_t bytes() const {
    const size_t partial = static_cast<size_t>(parts * c) * sizeof(double);
    return (partial + 63) / 64 * 64 +
           (adjacent ? 0 : static_cast<size_t>(max_workers()) * kLanes * kRows * sizeof(double));
  }

  ConvSource source() const {
    ConvSource s{};
    s.data = dy.data;
    s.dtype = dy.dtype;
    s.stride_n = dy.stride[0];
    s.stride_c = dy.stride[1];
    s.channels = c;
    for (int a = 0; a < 3; ++a) {
      const int d = dy.ndim - 3 + a;
      s.size[a] = s.out[a] = d >= 2 ? dy.shape[d] : 1;
      s.stride[a] = d >= 2 ? dy.stride[d] : 0;
      s.taps[a] = s.step[a] = s.tap_step[a] = 1;
    }
    return s;
  }

  void run(double* partial) const {
    const bool wide = dy.dtype == DType::f64;
    const ConvKernels& k = active_conv_kernels();
    const ConvPackers& kernels = wide ? k.f64 : k.f32;
    const auto size = static_cast<int64_t>(size_of(dy.dtype));
    if (adjacent) {
      const int64_t image = std::max<int64_t>(1, c * pixels);
      const int64_t blocks = std::clamp<int64_t>(image / kBlock, 1, std::max<int64_t>(1, c / 4));
      const int64_t grain = std::max<int64_t>(1, kBlock / 2 / image);
      return parallel_blocks(n * blocks, grain, [&](int64_t begin, int64_t end, int) {
        for (int64_t i = begin; i < end; ++i) {
          const int64_t first = i % blocks * c / blocks, last = (i % blocks + 1) * c / blocks;
          const int64_t at = i / blocks * dy.stride[0] + first * dy.stride[1];
          kernels.sum_rows(dy.ptr<char>() + at * size, dy.dtype, dy.stride[1], last - first, pixels,
                           partial + i / blocks * c + first);
        }
      });
    }
    const ConvSource s = source();
    char* scratch = reinterpret_cast<char*>(partial) +
                    (static_cast<size_t>(parts * c) * sizeof(double) + 63) / 64 * 64;
    parallel_for(parts, [&](int64_t task, int worker) {
      char* panel = scratch + static_cast<size_t>(worker) * kLanes * kRows * sizeof(double);
      const int64_t end = std::min(n * pixels, (task + 1) * kSegment);
      for (int64_t lane0 = 0; lane0 < c; lane0 += kLanes) {
        const int width = static_cast<int>(std::min<int64_t>(kLanes, c - lane0));
        double total[kLanes] = {};
        for (int64_t at = task * kSegment; at < end; at += kRows) {
          const int64_t rows = std::min(kRows, end - at);
          kernels.channels(s, 0, {panel, kLanes, width, lane0, at, rows, 0});
          kernels.sum_panel(panel, kLanes, rows, total);
        }
        std::copy(total, total + width, partial + task * c + lane0);
      }
    });
  }
};

size_t workspace(const ConvParams& p, const TensorView* v) { return Sums(p, v[0]).bytes(); }

void run(const ConvParams& p, const TensorView* v, void* memory) {
  const Sums sums(p, v[0]);
  auto* partial = static_cast<double*>(memory);
  sums.run(partial);
  for (int64_t c = 0; c < sums.c; ++c) {
    double total = 0;
    for (int64_t t = 0; t < sums.parts; ++t) total += partial[t * sums.c + c];
    write_element(v[1].data, v[1].dtype, c * v[1].stride[0], total);
  }
}

}  // namespace

const Op<ConvParams> conv_backward_bias{kName, check, workspace, run};

}  // namespace fastnn
