// Interpolation: rows are combined down the image into one line, which is then combined along.
// Backward is the same with transposed taps, so that every element of dx is a sum in a fixed order.
#include "cpu/ref/resize.h"

#include "cpu/image.h"
#include "cpu/resize_taps.h"
#include "cpu/row_blocks.h"

namespace fastnn {

namespace {

void make_axes(const ResizeParams& p, const Image& x, const Image& y, ResizeAxis* axis) {
  const int64_t in[3] = {x.d, x.h, x.w}, out[3] = {y.d, y.h, y.w};
  for (int i = 0; i < 3; ++i) {
    const int j = i - (3 - p.dims);
    axis[i] = j < 0 ? ResizeAxis{}
                    : ResizeAxis{p.mode, p.align_corners, p.antialias, p.scale[j], in[i], out[i]};
  }
}

template <class T>
const ResizeTable<T>& kernels() {
  if constexpr (sizeof(T) == 4)
    return active_resize_kernels().f32;
  else
    return active_resize_kernels().f64;
}

constexpr int64_t kMostRows = 64;  // that are combined in one pass

// One call: dst = taps applied to src (x to y, or dy to dx).
template <class T>
struct Resize {
  Image src, dst;
  ResizeAxis axis[3];
  bool transposed;
  bool pixels;

  Resize(const ResizeParams& p, const Image& from, const Image& to, bool backward)
      : src(from), dst(to), transposed(backward) {
    make_axes(p, backward ? to : from, backward ? from : to, axis);
    pixels = src.c > 1 && src.channels_direct<T>() && dst.channels_direct<T>() &&
             src.stride_w == src.c && (src.stride_w != 1 || src.w == 1);
  }

  size_t forward_bytes() const {
    size_t bytes = 0;
    for (const ResizeAxis& a : axis) bytes += taps_bytes<T>(a, false);
    return bytes;
  }
  size_t tap_bytes() const {
    size_t bytes = forward_bytes();
    if (transposed)
      for (const ResizeAxis& a : axis) bytes += taps_bytes<T>(a, true);
    return bytes;
  }
  // Of one worker: the rows that go into a line and their weights, the line, packed planes.
  size_t rows_bytes() const { return aligned_bytes<T*>(kMostRows) + aligned_bytes<T>(kMostRows); }
  size_t line_bytes() const { return aligned_bytes<T>(pixels ? src.w * src.c : src.w); }
  size_t src_bytes() const {
    return pixels || src.rows_direct<T>() ? 0 : aligned_bytes<T>(src.plane_size());
  }
  size_t dst_bytes() const {
    return pixels || dst.rows_direct<T>() ? 0 : aligned_bytes<T>(dst.plane_size());
  }
  size_t worker_bytes() const { return rows_bytes() + line_bytes() + src_bytes() + dst_bytes(); }
  size_t workspace() const {
    return tap_bytes() + worker_bytes() * static_cast<size_t>(max_workers());
  }

  struct Scratch {
    const T** rows;
    T *weights, *line, *src, *dst;
  };
  Scratch scratch_of(char* base, int worker) const {
    char* mine = base + static_cast<size_t>(worker) * worker_bytes();
    char* line = mine + rows_bytes();
    return {reinterpret_cast<const T**>(mine),
            reinterpret_cast<T*>(mine + aligned_bytes<T*>(kMostRows)), reinterpret_cast<T*>(line),
            reinterpret_cast<T*>(line + line_bytes()),
            reinterpret_cast<T*>(line + line_bytes() + src_bytes())};
  }

  void make_all_taps(char* memory, ResizeTaps<T>* taps) const {
    char* at = memory;
    for (int i = 0; i < 3; ++i) {
      taps[i] = make_taps<T>(axis[i], at);
      at += taps_bytes<T>(axis[i], false);
    }
    if (!transposed) return;
    for (int i = 0; i < 3; ++i) {
      taps[i] = make_transposed_taps<T>(axis[i], taps[i], at);
      at += taps_bytes<T>(axis[i], true);
    }
  }

  // The line for row (d, h) of dst: a row of src itself, or a combination of several in scratch;
  // null if no row goes into it.
  const T* combine(const ResizeTaps<T>* taps, const Plane<const T>& from, int64_t d, int64_t h,
                   int64_t length, const Scratch& scratch) const {
    int64_t count = 0;
    for (int64_t i = taps[0].at[d]; i < taps[0].at[d + 1]; ++i)
      for (int64_t j = taps[1].at[h]; j < taps[1].at[h + 1]; ++j, ++count) {
        if (count == kMostRows) {  // go on from what there is
          kernels<T>().down(scratch.rows, scratch.weights, count, length, scratch.line);
          scratch.rows[0] = scratch.line;
          scratch.weights[0] = 1;
          count = 1;
        }
        scratch.rows[count] =
            from.row(taps[0].first[d] + i - taps[0].at[d], taps[1].first[h] + j - taps[1].at[h]);
        scratch.weights[count] = taps[0].weight[i] * taps[1].weight[j];
      }
    if (count == 0) return nullptr;
    if (count == 1 && scratch.weights[0] == 1) return scratch.rows[0];
    kernels<T>().down(scratch.rows, scratch.weights, count, length, scratch.line);
    return scratch.line;
  }

  void run(void* memory) const {
    ResizeTaps<T> taps[3];
    make_all_taps(static_cast<char*>(memory), taps);
    char* base = static_cast<char*>(memory) + tap_bytes();
    if (pixels)
      run_pixels(taps, base);
    else
      run_rows(taps, base);
  }

  void run_rows(const ResizeTaps<T>* taps, char* base) const {
    for_row_blocks(
        dst.planes(), dst.d * dst.h, 2 * (src.w + dst.w),
        !src.rows_direct<T>() || !dst.rows_direct<T>(),
        [&](int64_t plane, int64_t first, int64_t last, int worker) {
          const Scratch scratch = scratch_of(base, worker);
          const Plane<const T> from = input_plane<T>(src, plane, scratch.src);
          const Plane<T> to = output_plane<T>(dst, plane, scratch.dst);
          for (int64_t r = first; r < last; ++r) {
            T* y = to.row(r / dst.h, r % dst.h);
            if (const T* line = combine(taps, from, r / dst.h, r % dst.h, src.w, scratch))
              kernels<T>().along(line, taps[2], dst.w, y);
            else
              std::fill(y, y + dst.w, T{0});
          }
          if (!dst.rows_direct<T>()) unpack_rows(to.data, dst, plane, first, last);
        });
  }

  void run_pixels(const ResizeTaps<T>* taps, char* base) const {
    for_row_blocks(dst.n, dst.d * dst.h, 2 * (src.w + dst.w) * src.c, false,
                   [&](int64_t n, int64_t first, int64_t last, int worker) {
                     const Scratch scratch = scratch_of(base, worker);
                     const Plane<const T> from{
                         reinterpret_cast<const T*>(src.data) + n * src.stride_n, src.stride_d,
                         src.stride_h};
                     for (int64_t r = first; r < last; ++r) {
                       const int64_t d = r / dst.h, h = r % dst.h;
                       T* y = reinterpret_cast<T*>(dst.data) + n * dst.stride_n + d * dst.stride_d +
                              h * dst.stride_h;
                       if (const T* line = combine(taps, from, d, h, src.w * src.c, scratch))
                         kernels<T>().along_pixels(line, taps[2], dst.w, dst.c, y, dst.stride_w);
                       else
                         for (int64_t w = 0; w < dst.w; ++w)
                           std::fill(y + w * dst.stride_w, y + w * dst.stride_w + dst.c, T{0});
                     }
                   });
  }
};

// ---- The ops ---------------------------------------------------------------------------------

void check(const ResizeParams& p, const TensorView& x, const char* x_name, const TensorView& y,
           const char* y_name) {
  const char* op = "interpolate";
  if (p.dims < 1 || p.dims > 3)
    fail(ErrorKind::value, op, ": 1 to 3 spatial axes are supported, got ", p.dims);
  if (x.ndim != p.dims + 2)
    fail(ErrorKind::shape, op, ": ", x_name, " must have ", p.dims + 2, " dimensions, got shape ",
         x.shape_text());
  if (!is_float(x.dtype))
    fail(ErrorKind::dtype, op, ": ", x_name, " must be float32, float64, bfloat16 or float16, got ",
         name_of(x.dtype));
  if (y.ndim != x.ndim || y.dtype != x.dtype || y.shape[0] != x.shape[0] ||
      y.shape[1] != x.shape[1])
    fail(ErrorKind::shape, op, ": ", y_name, " is ", name_of(y.dtype), " of shape ", y.shape_text(),
         "; expected ", name_of(x.dtype), " with batch and channels of ", x.shape_text());
  for (int d = 1; d < x.ndim; ++d)
    if (x.shape[d] < 1 || y.shape[d] < 1)
      fail(ErrorKind::shape, op, ": sizes must be at least 1 but for the batch, got ", x_name, " ",
           x.shape_text(), " and ", y_name, " ", y.shape_text());
  for (int d = 0; d < p.dims; ++d)
    if (p.scale[d] != 0 && !(p.scale[d] > 0 && p.scale[d] < 1e300))
      fail(ErrorKind::value, op, ": scale_factor must be positive and finite, got ", p.scale[d]);
}

void check_forward(const ResizeParams& p, const TensorView* v) {
  check(p, v[0], "input", v[1], "the output");
}
void check_backward(const ResizeParams& p, const TensorView* v) {
  check(p, v[1], "the gradient of the input", v[0], "grad_output");
}

template <bool kBackward, class F>
void with_type(const ResizeParams& p, const TensorView* v, F&& f) {
  const Image src(v[0], p.dims), dst(v[1], p.dims);
  if (v[0].dtype == DType::f64)
    f(Resize<double>(p, src, dst, kBackward));
  else
    f(Resize<float>(p, src, dst, kBackward));
}

template <bool kBackward>
size_t workspace(const ResizeParams& p, const TensorView* v) {
  size_t bytes = 0;
  if (active_isa() == Isa::reference)
    return aligned_bytes<double>(Image(v[1], p.dims).plane_size()) *
           static_cast<size_t>(max_workers());
  with_type<kBackward>(p, v, [&](const auto& op) { bytes = op.workspace(); });
  return bytes;
}

template <bool kBackward>
void run(const ResizeParams& p, const TensorView* v, void* memory) {
  with_type<kBackward>(p, v, [&](const auto& op) {
    if (active_isa() != Isa::reference)
      op.run(memory);
    else if (kBackward)
      resize_backward_ref(op.axis, op.src, op.dst, static_cast<double*>(memory));
    else
      resize_forward_ref(op.axis, op.src, op.dst);
  });
}

}  // namespace

const Op<ResizeParams> resize_forward = {"interpolate", check_forward, workspace<false>,
                                         run<false>};
const Op<ResizeParams> resize_backward = {"interpolate_backward", check_backward, workspace<true>,
                                          run<true>};

}  // namespace fastnn
