#include "fastnn/ops/fold.h"

#include "cpu/image.h"
#include "cpu/row_blocks.h"

namespace fastnn {

namespace {

// Block positions o in [begin, end) whose element k lies inside an axis of `size`.
struct Span {
  int64_t begin, end, first;  // `first`: the element's place at position `begin`
};

Span span_of(const FoldParams& p, int axis, int64_t k, int64_t size, int64_t positions) {
  const int64_t shift = k * p.dilation[axis] - p.padding[axis], stride = p.stride[axis];
  const int64_t begin = std::min(positions, shift < 0 ? div_up(-shift, stride) : 0);
  const int64_t end = size > shift ? std::min(positions, div_up(size - shift, stride)) : 0;
  return {begin, std::max(begin, end), shift + begin * stride};
}

struct Geometry {
  Image image;
  char* columns;
  DType dtype;
  int64_t column_n, column_row, column_l;  // strides
  int64_t rows, cols;                      // block positions

  Geometry(const FoldParams& p, const TensorView& im, const TensorView& col)
      : image(im, 2),
        columns(col.ptr<char>()),
        dtype(col.dtype),
        column_n(col.stride[0]),
        column_row(col.stride[1]),
        column_l(col.stride[2]),
        rows(fold_positions(p, 0, im.shape[2], "fold")),
        cols(fold_positions(p, 1, im.shape[3], "fold")) {}
};

// f(offset of column row, offset of its place in L, row of the image, span of columns) for one
// channel.
template <class F>
void for_lines(const FoldParams& p, const Geometry& g, int64_t n, int64_t c, F f) {
  for (int64_t i = 0; i < p.kernel[0]; ++i) {
    const Span h = span_of(p, 0, i, g.image.h, g.rows);
    for (int64_t j = 0; j < p.kernel[1]; ++j) {
      const Span w = span_of(p, 1, j, g.image.w, g.cols);
      const int64_t line =
          n * g.column_n + ((c * p.kernel[0] + i) * p.kernel[1] + j) * g.column_row;
      for (int64_t oh = 0; oh < g.rows; ++oh) {
        const bool inside = oh >= h.begin && oh < h.end;
        f(line + oh * g.cols * g.column_l, inside ? h.first + (oh - h.begin) * p.stride[0] : -1, w);
      }
    }
  }
}

template <class T>
void unfold_channel(const FoldParams& p, const Geometry& g, int64_t n, int64_t c) {
  const Image& m = g.image;
  const T* in = reinterpret_cast<const T*>(m.data);
  T* out = reinterpret_cast<T*>(g.columns);
  const int64_t step = p.stride[1] * m.stride_w;
  for_lines(p, g, n, c, [&](int64_t to, int64_t ih, const Span& w) {
    T* y = out + to;
    const int64_t begin = ih < 0 ? g.cols : w.begin, end = ih < 0 ? g.cols : w.end;
    for (int64_t o = 0; o < begin; ++o) y[o * g.column_l] = T{};
    if (begin < end) {
      const T* x = in + m.at(n * m.c + c, 0, ih, w.first);
      if (step == 1 && g.column_l == 1)
        memcpy(y + begin, x, static_cast<size_t>(end - begin) * sizeof(T));
      else
        for (int64_t o = begin; o < end; ++o) y[o * g.column_l] = x[(o - begin) * step];
    }
    for (int64_t o = end; o < g.cols; ++o) y[o * g.column_l] = T{};
  });
}

template <class T, class S>
void fold_channel(const FoldParams& p, const Geometry& g, int64_t n, int64_t c, T* sums) {
  const Image& m = g.image;
  std::fill(sums, sums + m.h * m.w, T{0});
  const S* in = reinterpret_cast<const S*>(g.columns);
  for_lines(p, g, n, c, [&](int64_t from, int64_t ih, const Span& w) {
    if (ih < 0) return;
    T* y = sums + ih * m.w + w.first;
    for (int64_t o = w.begin; o < w.end; ++o, y += p.stride[1])
      *y += convert_to<T>(in[from + o * g.column_l]);
  });
  unpack_rows(sums, m, n * m.c + c, 0, m.h);
}

void run_unfold(const FoldParams& p, const TensorView* v, void*) {
  const Geometry g(p, v[0], v[1]);
  parallel_for(g.image.planes(), [&](int64_t plane, int) {
    with_element_type(g.dtype, [&](auto tag) {
      unfold_channel<decltype(tag)>(p, g, plane / g.image.c, plane % g.image.c);
    });
  });
}

size_t fold_workspace(const FoldParams&, const TensorView* v) {
  const size_t each =
      aligned_bytes<char>(v[1].shape[2] * v[1].shape[3] * (v[1].dtype == DType::f64 ? 8 : 4));
  return each * static_cast<size_t>(max_workers());
}

void run_fold(const FoldParams& p, const TensorView* v, void* memory) {
  const Geometry g(p, v[1], v[0]);
  const int64_t each = static_cast<int64_t>(fold_workspace(p, v)) / max_workers();
  parallel_for(g.image.planes(), [&](int64_t plane, int worker) {
    void* mine = static_cast<char*>(memory) + worker * each;
    with_element_type(g.dtype, [&](auto tag) {
      using S = decltype(tag);
      using T = std::conditional_t<std::is_same_v<S, double>, double, float>;
      fold_channel<T, S>(p, g, plane / g.image.c, plane % g.image.c, static_cast<T*>(mine));
    });
  });
}

void check(const char* op, const FoldParams& p, const TensorView& image,
           const TensorView& columns) {
  if (image.ndim != 4 || columns.ndim != 3)
    fail(ErrorKind::shape, op,
         ": expected an image (N, C, H, W) and columns (N, C*KH*KW, L), got shapes ",
         image.shape_text(), " and ", columns.shape_text());
  if (!is_float(image.dtype) || columns.dtype != image.dtype)
    fail(ErrorKind::dtype, op, ": expected one floating dtype, got ", name_of(image.dtype), " and ",
         name_of(columns.dtype));
  const int64_t positions = checked_mul(fold_positions(p, 0, image.shape[2], op),
                                        fold_positions(p, 1, image.shape[3], op), op);
  const int64_t rows = checked_mul(checked_mul(image.shape[1], p.kernel[0], op), p.kernel[1], op);
  if (columns.shape[0] != image.shape[0] || columns.shape[1] != rows ||
      columns.shape[2] != positions)
    fail(ErrorKind::shape, op, ": columns have shape ", columns.shape_text(), "; expected (",
         image.shape[0], ", ", rows, ", ", positions, ") for an image of shape ",
         image.shape_text());
}

void check_unfold(const FoldParams& p, const TensorView* v) { check("unfold", p, v[0], v[1]); }
void check_fold(const FoldParams& p, const TensorView* v) { check("fold", p, v[1], v[0]); }

}  // namespace

int64_t fold_positions(const FoldParams& p, int axis, int64_t size, const char* op) {
  constexpr int64_t kLargest = INT32_MAX;
  const int64_t k = p.kernel[axis], d = p.dilation[axis], pad = p.padding[axis], s = p.stride[axis];
  const auto refuse = [&](const char* name, int64_t least, int64_t got) {
    if (got < least || got > kLargest)
      fail(ErrorKind::value, op, ": ", name, " must be between ", least, " and ", kLargest,
           ", got ", got);
  };
  refuse("kernel_size", 1, k);
  refuse("dilation", 1, d);
  refuse("padding", 0, pad);
  refuse("stride", 1, s);
  const int64_t room = size + 2 * pad - d * (k - 1) - 1;
  if (size < 1 || room < 0)
    fail(ErrorKind::shape, op, ": blocks of kernel_size ", k, " with dilation ", d, " and padding ",
         pad, " do not fit into an axis of size ", size);
  return room / s + 1;
}

const Op<FoldParams> unfold_forward = {"unfold", check_unfold, nullptr, run_unfold};
const Op<FoldParams> fold_forward = {"fold", check_fold, fold_workspace, run_fold};

}  // namespace fastnn
