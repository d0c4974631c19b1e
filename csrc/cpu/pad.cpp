// Padding is a table per axis: the input that each output position copies, or none. Backward adds
// along the same tables, one plane a task, in a fixed order.
#include "fastnn/ops/pad.h"

#include <cmath>

#include "cpu/image.h"
#include "cpu/row_blocks.h"

namespace fastnn {

namespace {

constexpr int64_t kNone = -1;

int64_t cropped(int64_t padding) { return std::max<int64_t>(-padding, 0); }

// The input position that output `o` of an axis of size `in` copies.
int64_t source(PadMode mode, int64_t in, int64_t before, int64_t after, int64_t o) {
  int64_t i = o - before;
  switch (mode) {
    case PadMode::constant:
      return i >= 0 && i < in ? i : kNone;
    case PadMode::reflect:
      i = i < 0 ? -i : i;
      return i >= in ? 2 * (in - 1) - i : i;
    case PadMode::replicate:
      return std::clamp(i, int64_t{0}, in - 1);
    case PadMode::circular: {  // around what cropping leaves
      const int64_t low = cropped(before), left = in - low - cropped(after);
      return i < low ? i + left : i >= low + left ? i - left : i;
    }
  }
  return kNone;
}

struct Tables {
  const int64_t* axis[3];
};

size_t table_bytes(const Image& y) { return aligned_bytes<int64_t>(y.d + y.h + y.w); }

Tables make_tables(const PadParams& p, const Image& x, const Image& y, void* memory) {
  const int64_t in[3] = {x.d, x.h, x.w}, out[3] = {y.d, y.h, y.w};
  auto* at = static_cast<int64_t*>(memory);
  Tables t;
  for (int i = 0; i < 3; ++i) {
    const int j = i - (3 - p.dims);
    t.axis[i] = at;
    for (int64_t o = 0; o < out[i]; ++o)
      *at++ = j < 0 ? o : source(p.mode, in[i], p.before[j], p.after[j], o);
  }
  return t;
}

// [begin, end): outputs of the last axis that copy consecutive inputs, as most do.
void straight_run(const PadParams& p, const Image& x, const Image& y, int64_t* begin,
                  int64_t* end) {
  const int64_t before = p.before[p.dims - 1], after = p.after[p.dims - 1];
  *begin = std::clamp<int64_t>(before, 0, y.w);
  *end = std::clamp<int64_t>(before + x.w - cropped(after), *begin, y.w);
}

// f with an unsigned integer of the size of the dtype's elements.
template <class F>
void with_bits(DType t, F&& f) {
  switch (size_of(t)) {
    case 8:
      return f(uint64_t{});
    case 4:
      return f(uint32_t{});
    case 2:
      return f(uint16_t{});
    default:
      return f(uint8_t{});
  }
}

template <class Bits, class Value>
Bits bits_of(Value v) {
  Bits b;
  static_assert(sizeof b == sizeof v);
  memcpy(&b, &v, sizeof b);
  return b;
}

uint64_t value_bits(DType t, double value) {
  switch (t) {
    case DType::f64:
      return bits_of<uint64_t>(value);
    case DType::f32:
      return bits_of<uint32_t>(static_cast<float>(value));
    case DType::bf16:
      return to_bf16(static_cast<float>(value)).bits;
    case DType::f16:
      return to_f16(static_cast<float>(value)).bits;
    case DType::b8:
      return value != 0;
    default:  // the low bits of a whole number are the same in every width
      return static_cast<uint64_t>(static_cast<int64_t>(value));
  }
}

// ---- Forward ---------------------------------------------------------------------------------

template <class Bits>
void pad_row(const Bits* in, int64_t in_step, Bits* out, int64_t out_step, const int64_t* from,
             int64_t n, int64_t begin, int64_t end, Bits value) {
  const auto edge = [&](int64_t o) {
    out[o * out_step] = from[o] == kNone ? value : in[from[o] * in_step];
  };
  for (int64_t o = 0; o < begin; ++o) edge(o);
  if (begin < end) {
    const Bits* run = in + from[begin] * in_step;
    if (in_step == 1 && out_step == 1)
      memcpy(out + begin, run, static_cast<size_t>(end - begin) * sizeof(Bits));
    else
      for (int64_t o = begin; o < end; ++o) out[o * out_step] = run[(o - begin) * in_step];
  }
  for (int64_t o = end; o < n; ++o) edge(o);
}

template <class Bits>
void forward_rows(const PadParams& p, const Image& x, const Image& y, const Tables& t) {
  const auto value = static_cast<Bits>(value_bits(x.dtype, p.value));
  int64_t begin, end;
  straight_run(p, x, y, &begin, &end);
  for_row_blocks(y.planes(), y.d * y.h, 2 * y.w, false,
                 [&](int64_t plane, int64_t first, int64_t last, int) {
                   const Bits* in = reinterpret_cast<const Bits*>(x.data);
                   Bits* out = reinterpret_cast<Bits*>(y.data);
                   for (int64_t r = first; r < last; ++r) {
                     const int64_t d = t.axis[0][r / y.h], h = t.axis[1][r % y.h];
                     Bits* row = out + y.at(plane, r / y.h, r % y.h, 0);
                     if (d == kNone || h == kNone)
                       for (int64_t o = 0; o < y.w; ++o) row[o * y.stride_w] = value;
                     else
                       pad_row(in + x.at(plane, d, h, 0), x.stride_w, row, y.stride_w, t.axis[2],
                               y.w, begin, end, value);
                   }
                 });
}

// Channels-last: whole pixels are copied.
template <class Bits>
void forward_pixels(const PadParams& p, const Image& x, const Image& y, const Tables& t) {
  const auto value = static_cast<Bits>(value_bits(x.dtype, p.value));
  for_row_blocks(y.n, y.d * y.h, 2 * y.w * y.c, false,
                 [&](int64_t n, int64_t first, int64_t last, int) {
                   const Bits* in = reinterpret_cast<const Bits*>(x.data) + n * x.stride_n;
                   Bits* out = reinterpret_cast<Bits*>(y.data) + n * y.stride_n;
                   for (int64_t r = first; r < last; ++r) {
                     const int64_t d = t.axis[0][r / y.h], h = t.axis[1][r % y.h];
                     Bits* pixel = out + r / y.h * y.stride_d + r % y.h * y.stride_h;
                     for (int64_t o = 0; o < y.w; ++o, pixel += y.stride_w) {
                       const int64_t w = t.axis[2][o];
                       if (d == kNone || h == kNone || w == kNone)
                         std::fill(pixel, pixel + y.c, value);
                       else
                         memcpy(pixel, in + d * x.stride_d + h * x.stride_h + w * x.stride_w,
                                static_cast<size_t>(y.c) * sizeof(Bits));
                     }
                   }
                 });
}

// Whether the channels of a pixel are neighbours in both.
bool by_pixels(const Image& x, const Image& y) {
  return x.c > 1 && x.stride_c == 1 && y.stride_c == 1 && x.stride_w != 1;
}

void forward(const PadParams& p, const TensorView* v, void* memory) {
  const Image x(v[0], p.dims), y(v[1], p.dims);
  const Tables t = make_tables(p, x, y, memory);
  const bool pixels = by_pixels(x, y);
  with_bits(x.dtype, [&](auto tag) {
    if (pixels)
      forward_pixels<decltype(tag)>(p, x, y, t);
    else
      forward_rows<decltype(tag)>(p, x, y, t);
  });
}

size_t forward_workspace(const PadParams& p, const TensorView* v) {
  return table_bytes(Image(v[1], p.dims));
}

// ---- Backward --------------------------------------------------------------------------------

// Sums one plane in T, then converts where dx is not made of such planes. T is double for float64
// and float else.
template <class T>
void backward_planes(const PadParams& p, const Image& dy, const Image& dx, const Tables& t,
                     T* scratch) {
  int64_t begin, end;
  straight_run(p, dx, dy, &begin, &end);
  const int64_t size = dx.plane_size() + dy.w;
  const bool read_in_place = dy.rows_direct<T>();
  const bool sum_in_place = dx.rows_direct<T>() && dx.dense_planes();
  parallel_blocks(dx.planes(), std::max<int64_t>(1, kTaskElements / size),
                  [&](int64_t from, int64_t to, int worker) {
                    T* const room = scratch + worker * size;
                    for (int64_t plane = from; plane < to; ++plane) {
                      T* sums =
                          sum_in_place ? reinterpret_cast<T*>(dx.data) + dx.offset(plane) : room;
                      std::fill(sums, sums + dx.plane_size(), T{0});
                      for (int64_t r = 0; r < dy.d * dy.h; ++r) {
                        const int64_t d = t.axis[0][r / dy.h], h = t.axis[1][r % dy.h];
                        if (d == kNone || h == kNone) continue;
                        const T* line = room + dx.plane_size();
                        if (read_in_place)
                          line = reinterpret_cast<const T*>(dy.data) + dy.offset(plane) +
                                 r / dy.h * dy.stride_d + r % dy.h * dy.stride_h;
                        else
                          pack_rows(dy, plane, r, r + 1, room + dx.plane_size());
                        T* row = sums + (d * dx.h + h) * dx.w;
                        const auto edge = [&](int64_t o) {
                          if (t.axis[2][o] != kNone) row[t.axis[2][o]] += line[o];
                        };
                        for (int64_t o = 0; o < begin; ++o) edge(o);
                        T* const run = begin < end ? row + t.axis[2][begin] : row;
                        for (int64_t o = begin; o < end; ++o) run[o - begin] += line[o];
                        for (int64_t o = end; o < dy.w; ++o) edge(o);
                      }
                      if (!sum_in_place) unpack_rows(sums, dx, plane, 0, dx.d * dx.h);
                    }
                  });
}

// Channels-last: whole pixels are added, in place. A task has some channels of an image.
template <class T>
void backward_pixels(const Image& dy, const Image& dx, const Tables& t) {
  constexpr int64_t kChannels = 256;
  const int64_t parts = (dx.c + kChannels - 1) / kChannels;
  parallel_blocks(dx.n * parts, 1, [&](int64_t from, int64_t to, int) {
    for (int64_t task = from; task < to; ++task) {
      const int64_t n = task / parts, first = task % parts * kChannels;
      const int64_t count = std::min(kChannels, dx.c - first);
      const T* in = reinterpret_cast<const T*>(dy.data) + n * dy.stride_n + first;
      T* out = reinterpret_cast<T*>(dx.data) + n * dx.stride_n + first;
      const auto to_pixel = [&](int64_t d, int64_t h, int64_t w) {
        return out + d * dx.stride_d + h * dx.stride_h + w * dx.stride_w;
      };
      for (int64_t r = 0; r < dx.d * dx.h; ++r)
        for (int64_t w = 0; w < dx.w; ++w)
          std::fill_n(to_pixel(r / dx.h, r % dx.h, w), count, T{0});
      for (int64_t r = 0; r < dy.d * dy.h; ++r) {
        const int64_t d = t.axis[0][r / dy.h], h = t.axis[1][r % dy.h];
        if (d == kNone || h == kNone) continue;
        const T* pixel = in + r / dy.h * dy.stride_d + r % dy.h * dy.stride_h;
        for (int64_t o = 0; o < dy.w; ++o, pixel += dy.stride_w) {
          if (t.axis[2][o] == kNone) continue;
          T* __restrict sum = to_pixel(d, h, t.axis[2][o]);
          for (int64_t c = 0; c < count; ++c) sum[c] += pixel[c];
        }
      }
    }
  });
}

void backward(const PadParams& p, const TensorView* v, void* memory) {
  const Image dy(v[0], p.dims), dx(v[1], p.dims);
  const Tables t = make_tables(p, dx, dy, memory);
  void* scratch = static_cast<char*>(memory) + table_bytes(dy);
  const bool pixels = by_pixels(dx, dy);
  if (pixels && dy.dtype == DType::f32) return backward_pixels<float>(dy, dx, t);
  if (pixels && dy.dtype == DType::f64) return backward_pixels<double>(dy, dx, t);
  if (dy.dtype == DType::f64)
    backward_planes(p, dy, dx, t, static_cast<double*>(scratch));
  else
    backward_planes(p, dy, dx, t, static_cast<float*>(scratch));
}

size_t backward_workspace(const PadParams& p, const TensorView* v) {
  const Image dy(v[0], p.dims), dx(v[1], p.dims);
  const size_t each =
      static_cast<size_t>(dx.plane_size() + dy.w) * (dy.dtype == DType::f64 ? 8 : 4);
  return table_bytes(dy) + each * static_cast<size_t>(max_workers());
}

// ---- Checks ----------------------------------------------------------------------------------

void check(const PadParams& p, const TensorView& x, const char* x_name, const TensorView& y,
           const char* y_name) {
  const char* op = "pad";
  if (p.dims < 1 || p.dims > 3)
    fail(ErrorKind::value, op, ": 1 to 3 padded axes are supported, got ", p.dims);
  if (x.ndim != p.dims + 2 || y.ndim != x.ndim || y.dtype != x.dtype || y.shape[0] != x.shape[0] ||
      y.shape[1] != x.shape[1])
    fail(ErrorKind::shape, op, ": ", y_name, " is ", name_of(y.dtype), " of shape ", y.shape_text(),
         ", which does ", "not fit ", x_name, ", ", name_of(x.dtype), " of shape ", x.shape_text());
  for (int i = 0; i < p.dims; ++i) {
    const int64_t in = x.shape[2 + i], before = p.before[i], after = p.after[i];
    const int64_t out = checked_add(checked_add(in, before, op), after, op);
    if (out < 0 || y.shape[2 + i] != out)
      fail(ErrorKind::shape, op, ": padding (", before, ", ", after, ") of an axis of size ", in,
           " gives size ", out,
           out < 0 ? "; expected at least 0" : cat("; ", y_name, " has size ", y.shape[2 + i]));
    const int64_t most =
        p.mode == PadMode::reflect ? in - 1 : in - cropped(before) - cropped(after);
    if ((p.mode == PadMode::reflect || p.mode == PadMode::circular) &&
        (before > most || after > most))
      fail(ErrorKind::shape, op, ": padding (", before, ", ", after, ") is too large for ",
           p.mode == PadMode::reflect ? "reflect" : "circular", " padding of an axis of size ", in,
           "; expected at most ", most);
    if (p.mode != PadMode::constant && in < 1 && out > 0)
      fail(ErrorKind::shape, op, ": ", x_name, " of shape ", x.shape_text(),
           " has nothing to copy into the padding");
  }
}

void check_forward(const PadParams& p, const TensorView* v) {
  check(p, v[0], "input", v[1], "the output");
  const DType t = v[0].dtype;
  if (p.mode == PadMode::constant && !is_float(t) && t != DType::b8 &&
      (!(std::fabs(p.value) < 0x1p63) || p.value != std::floor(p.value)))
    fail(ErrorKind::value, "pad: value ", p.value, " is not a whole number that ", name_of(t),
         " can hold");
}

void check_backward(const PadParams& p, const TensorView* v) {
  check(p, v[1], "the gradient of the input", v[0], "grad_output");
  if (!is_float(v[0].dtype))
    fail(ErrorKind::dtype, "pad: gradients are floating, got ", name_of(v[0].dtype));
}

}  // namespace

const Op<PadParams> pad_forward = {"pad", check_forward, forward_workspace, forward};
const Op<PadParams> pad_backward = {"pad_backward", check_backward, backward_workspace, backward};

}  // namespace fastnn
