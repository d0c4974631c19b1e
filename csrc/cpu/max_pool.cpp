// Maximum pooling: validation, choice of loop, threads.
#include "cpu/kernels/max_pool.h"

#include <cmath>
#include <limits>

#include "cpu/pool_geometry.h"
#include "cpu/ref/max_pool.h"

namespace fastnn {

namespace {

constexpr int64_t kLargestPlace = 256;  // places in a window that uint8 can tell apart

// ---- How one call runs -----------------------------------------------------------------------

struct Plan {
  PoolGeometry geometry;
  bool pixels;   // channels-last kernels
  bool windows;  // kernels with places in uint8; otherwise window by window, with positions in the
                 // plane
};

Plan make_plan(const PoolParams& p, const Image& in, const Image& out, bool direct) {
  const PoolGeometry g(p, in, out);
  const bool small = g.volume() <= kLargestPlace;
  const bool narrow = in.w == 1 && in.h == 1;  // both layouts at once
  const bool pixels = small && direct && in.c > 1 && (in.stride_w != 1 || narrow);
  return {g, pixels, pixels || (small && !g.adaptive && !g.one_window())};
}

template <class T>
const MaxPoolTable<T>& kernels() {
  if constexpr (sizeof(T) == 4)
    return active_max_pool_kernels().f32;
  else
    return active_max_pool_kernels().f64;
}

// ---- Positions in the plane from places in the window ----------------------------------------

void set_position(const Image& index, int64_t at, int64_t value) {
  if (index.dtype == DType::i32)
    reinterpret_cast<int32_t*>(index.data)[at] = static_cast<int32_t>(value);
  else
    reinterpret_cast<int64_t*>(index.data)[at] = value;
}

// offset[place]: from the window's start, in elements of the plane.
void place_offsets(const PoolGeometry& g, const Image& x, int64_t* offset) {
  for (int64_t i = 0; i < g.axis[0].kernel; ++i)
    for (int64_t j = 0; j < g.axis[1].kernel; ++j)
      for (int64_t k = 0; k < g.axis[2].kernel; ++k)
        *offset++ =
            (i * g.axis[0].dilation * x.h + j * g.axis[1].dilation) * x.w + k * g.axis[2].dilation;
}

// Row (od, oh) of one plane: `place` lies `step` apart.
void write_positions(const PoolGeometry& g, const Image& x, const Image& index, int64_t plane,
                     int64_t od, int64_t oh, const uint8_t* place, int64_t step,
                     const int64_t* offset) {
  const auto start_of = [](const PoolAxis& a, int64_t o) {
    return a.adaptive ? a.windows[o].begin : o * a.stride - a.padding;
  };
  const int64_t row = (start_of(g.axis[0], od) * x.h + start_of(g.axis[1], oh)) * x.w;
  int64_t at = index.offset(plane) + od * index.stride_d + oh * index.stride_h;
  for (int64_t o = 0; o < g.axis[2].out; ++o, at += index.stride_w)
    set_position(index, at, row + start_of(g.axis[2], o) + offset[place[o * step]]);
}

// ---- Forward ---------------------------------------------------------------------------------

template <class T>
struct Forward {
  Plan plan;
  Image x, y;
  const Image* index;

  bool positions() const { return index && index->dtype != DType::u8; }
  bool x_direct() const { return x.rows_direct<T>(); }
  bool y_direct() const { return y.rows_direct<T>(); }
  bool index_direct() const { return index && index->rows_direct<uint8_t>(); }

  // Scratch of one worker in the row kernels: packed planes of what is not direct.
  size_t x_bytes() const { return x_direct() ? 0 : aligned_bytes<T>(x.plane_size()); }
  size_t y_bytes() const { return y_direct() ? 0 : aligned_bytes<T>(y.plane_size()); }
  size_t index_bytes() const {
    if (plan.pixels) return positions() ? aligned_bytes<uint8_t>(y.w * y.c) : 0;
    return index && !index_direct() ? aligned_bytes<uint8_t>(y.plane_size()) : 0;
  }
  size_t worker_bytes() const {
    if (plan.pixels) return index_bytes();
    return x_bytes() + (plan.windows ? y_bytes() + index_bytes() : 0);
  }
  size_t offsets_bytes() const {
    return positions() && plan.windows ? kLargestPlace * sizeof(int64_t) : 0;
  }
  size_t workspace() const {
    return table_bytes(plan.geometry, plan.pixels || !plan.windows, false) + offsets_bytes() +
           worker_bytes() * static_cast<size_t>(max_workers());
  }

  void run(void* memory) {
    char* scratch = make_tables(plan.geometry, plan.pixels || !plan.windows, false, true, memory);
    auto* offsets = reinterpret_cast<int64_t*>(scratch);
    if (offsets_bytes()) place_offsets(plan.geometry, x, offsets);
    scratch += offsets_bytes();
    if (plan.pixels)
      run_pixels(offsets, scratch);
    else if (plan.windows)
      run_rows(offsets, scratch);
    else
      run_straight(scratch);
  }

  // Windows of 2 x 2 on planes of even height that follow each other in memory: all of them are one
  // high plane. Small planes are cheaper than what it takes to begin one.
  bool joins() const {
    const auto follow = [](const Image& m) { return m.dense_planes() && m.stacked(); };
    return plan.geometry.is_2x2() && x.h == 2 * y.h && x_direct() && y_direct() && follow(x) &&
           follow(y) && (!index || (index_direct() && follow(*index)));
  }
  void run_joined() const {
    const PoolGeometry& g = plan.geometry;
    PoolAxis h = g.axis[1];
    h.in = x.planes() * x.h;
    h.out = y.planes() * y.h;
    const int64_t task = std::max<int64_t>(1, kTaskElements / 4 / std::max<int64_t>(1, x.w));
    parallel_blocks(h.out, task, [&](int64_t first, int64_t last, int) {
      kernels<T>().rows({reinterpret_cast<const T*>(x.data), 0, x.w, g.axis[0], h, g.axis[2], first,
                         last, reinterpret_cast<T*>(y.data),
                         index ? reinterpret_cast<uint8_t*>(index->data) : nullptr, 0, y.w, 0,
                         y.w});
    });
  }

  void run_rows(const int64_t* offsets, char* scratch) const {
    const PoolGeometry& g = plan.geometry;
    if (joins()) return run_joined();
    const bool whole = !x_direct() || !y_direct() || (index && !index_direct());
    const int64_t rows = y.d * y.h, window_rows = g.axis[0].kernel * g.axis[1].kernel;
    for_row_blocks(y.planes(), rows, y.w + x.w * std::min<int64_t>(window_rows, x.d * x.h), whole,
                   [&](int64_t plane, int64_t first, int64_t last, int worker) {
                     char* mine = scratch + static_cast<size_t>(worker) * worker_bytes();
                     const Plane<const T> in = input_plane<T>(x, plane, reinterpret_cast<T*>(mine));
                     const Plane<T> out =
                         output_plane<T>(y, plane, reinterpret_cast<T*>(mine + x_bytes()));
                     Plane<uint8_t> place{nullptr, 0, 0};
                     if (index)
                       place = output_plane(
                           *index, plane, reinterpret_cast<uint8_t*>(mine + x_bytes() + y_bytes()));
                     kernels<T>().rows({in.data, in.stride_d, in.stride_h, g.axis[0], g.axis[1],
                                        g.axis[2], first, last, out.data, place.data, out.stride_d,
                                        out.stride_h, place.stride_d, place.stride_h});
                     if (!y_direct()) unpack_rows(out.data, y, plane, first, last);
                     if (positions())
                       for (int64_t r = first; r < last; ++r)
                         write_positions(g, x, *index, plane, r / y.h, r % y.h,
                                         place.row(r / y.h, r % y.h), 1, offsets);
                     else if (index && !index_direct())
                       unpack_rows(place.data, *index, plane, first, last);
                   });
  }

  void run_pixels(const int64_t* offsets, char* scratch) const {
    const PoolGeometry& g = plan.geometry;
    const int64_t rows = y.d * y.h;
    for_row_blocks(
        y.n, rows, y.w * y.c * std::min<int64_t>(g.volume(), x.plane_size()), false,
        [&](int64_t n, int64_t first, int64_t last, int worker) {
          auto* place =
              reinterpret_cast<uint8_t*>(scratch + static_cast<size_t>(worker) * worker_bytes());
          for (int64_t r = first; r < last; ++r) {
            const int64_t od = r / y.h, oh = r % y.h;
            MaxPixels<T> a{
                reinterpret_cast<const T*>(x.data) + n * x.stride_n,
                x.stride_d,
                x.stride_h,
                x.stride_w,
                g.axis[0],
                g.axis[1],
                g.axis[2],
                od,
                oh,
                y.c,
                reinterpret_cast<T*>(y.data) + n * y.stride_n + od * y.stride_d + oh * y.stride_h,
                nullptr,
                y.stride_w,
                y.c};
            if (positions()) {
              a.index = place;
            } else if (index) {
              a.index = reinterpret_cast<uint8_t*>(index->data) + n * index->stride_n +
                        od * index->stride_d + oh * index->stride_h;
              a.index_w = index->stride_w;
            }
            kernels<T>().pixels(a);
            if (positions())
              for (int64_t c = 0; c < y.c; ++c)
                write_positions(g, x, *index, n * y.c + c, od, oh, place + c, y.c, offsets);
          }
        });
  }

  // Windows of varying size, or too large for places in uint8, or one for each plane.
  void run_straight(char* scratch) const {
    const int64_t outputs = std::max<int64_t>(1, kTaskElements / x.plane_size());
    parallel_blocks(y.planes(), outputs, [&](int64_t begin, int64_t end, int worker) {
      T* mine = reinterpret_cast<T*>(scratch + static_cast<size_t>(worker) * worker_bytes());
      for (int64_t plane = begin; plane < end; ++plane) {
        const Plane<const T> in = input_plane<T>(x, plane, mine);
        y.for_positions([&](int64_t od, int64_t oh, int64_t ow) {
          int64_t position;
          set_element(y, y.at(plane, od, oh, ow), best_of_window(in, od, oh, ow, &position));
          if (index && index->dtype == DType::u8)  // one window: its place is its position
            index->data[index->at(plane, od, oh, ow)] = static_cast<char>(position);
          else if (index)
            set_position(*index, index->at(plane, od, oh, ow), position);
        });
      }
    });
  }

  T best_of_window(const Plane<const T>& in, int64_t od, int64_t oh, int64_t ow,
                   int64_t* position) const {
    constexpr int64_t kShort = 16, kLong = int64_t{1} << 30;
    const PoolAxis &ad = plan.geometry.axis[0], &ah = plan.geometry.axis[1],
                   &aw = plan.geometry.axis[2];
    const PoolWindow &d = ad.windows[od], &h = ah.windows[oh], &w = aw.windows[ow];
    T best = -std::numeric_limits<T>::infinity();
    *position = (d.begin * x.h + h.begin) * x.w + w.begin;
    const auto see = [&](T value, int64_t at) {
      if (value > best || std::isnan(value)) best = value, *position = at;
    };
    const bool neighbours = aw.dilation == 1;
    // Whole rows that follow each other are one span.
    const bool joined =
        neighbours && w.count == x.w && (h.count == 1 || (in.stride_h == x.w && ah.dilation == 1));
    const int64_t rows = joined ? 1 : h.count, count = joined ? h.count * x.w : w.count;
    for (int64_t i = 0; i < d.count; ++i)
      for (int64_t j = 0; j < rows; ++j) {
        const int64_t row_d = d.begin + i * ad.dilation, row_h = h.begin + j * ah.dilation;
        const T* row = in.row(row_d, row_h) + w.begin;
        const int64_t base = (row_d * x.h + row_h) * x.w + w.begin;
        if (!neighbours || count < kShort) {
          for (int64_t k = 0; k < count; ++k) see(row[k * aw.dilation], base + k * aw.dilation);
          continue;
        }
        for (int64_t k = 0; k < count; k += kLong) {
          int64_t place;
          const T value = kernels<T>().span(row + k, std::min(kLong, count - k), &place);
          see(value, base + k + place);
        }
      }
    return best;
  }
};

// ---- Backward --------------------------------------------------------------------------------

template <class T>
struct Backward {
  Plan plan;
  Image dy, index, dx;

  bool dy_direct() const { return dy.rows_direct<T>(); }
  bool dx_direct() const { return dx.rows_direct<T>(); }
  bool index_direct() const { return index.rows_direct<uint8_t>(); }
  size_t dy_bytes() const { return dy_direct() ? 0 : aligned_bytes<T>(dy.plane_size()); }
  size_t index_bytes() const {
    return index_direct() ? 0 : aligned_bytes<uint8_t>(dy.plane_size());
  }
  size_t dx_bytes() const { return dx_direct() ? 0 : aligned_bytes<T>(dx.plane_size()); }
  // Places are positions where one window is all of the plane.
  bool positions() const { return index.dtype != DType::u8 || plan.geometry.one_window(); }
  size_t worker_bytes() const {
    if (plan.pixels && !positions()) return 0;
    if (positions()) return aligned_bytes<T>(dx.plane_size());
    return dy_bytes() + index_bytes() + dx_bytes();
  }
  size_t workspace() const {
    return table_bytes(plan.geometry, plan.pixels, true) +
           worker_bytes() * static_cast<size_t>(max_workers());
  }

  void run(void* memory) {
    char* scratch = make_tables(plan.geometry, plan.pixels, true, true, memory);
    if (positions())
      run_positions(scratch);
    else if (plan.pixels)
      run_pixels();
    else
      run_rows(scratch);
  }

  void run_rows(char* scratch) const {
    const PoolGeometry& g = plan.geometry;
    const bool whole = !dy_direct() || !dx_direct() || !index_direct();
    for_row_blocks(
        dx.planes(), dx.d * dx.h, 2 * dx.w, whole,
        [&](int64_t plane, int64_t first, int64_t last, int worker) {
          char* mine = scratch + static_cast<size_t>(worker) * worker_bytes();
          const Plane<const T> from = input_plane<T>(dy, plane, reinterpret_cast<T*>(mine));
          const auto place =
              input_plane<uint8_t>(index, plane, reinterpret_cast<uint8_t*>(mine + dy_bytes()));
          const Plane<T> to =
              output_plane<T>(dx, plane, reinterpret_cast<T*>(mine + dy_bytes() + index_bytes()));
          kernels<T>().rows_backward({from.data, place.data, from.stride_d, from.stride_h,
                                      place.stride_d, place.stride_h, g.axis[0], g.axis[1],
                                      g.axis[2], first, last, to.data, to.stride_d, to.stride_h});
          if (!dx_direct()) unpack_rows(to.data, dx, plane, first, last);
        });
  }

  void run_pixels() const {
    const PoolGeometry& g = plan.geometry;
    for_row_blocks(dx.n, dx.d * dx.h, 2 * dx.w * dx.c, false,
                   [&](int64_t n, int64_t first, int64_t last, int) {
                     for (int64_t r = first; r < last; ++r) {
                       const int64_t id = r / dx.h, ih = r % dx.h;
                       kernels<T>().pixels_backward(
                           {reinterpret_cast<const T*>(dy.data) + n * dy.stride_n,
                            reinterpret_cast<const uint8_t*>(index.data) + n * index.stride_n,
                            dy.stride_d, dy.stride_h, dy.stride_w, index.stride_d, index.stride_h,
                            index.stride_w, g.axis[0], g.axis[1], g.axis[2], id, ih, dx.c,
                            reinterpret_cast<T*>(dx.data) + n * dx.stride_n + id * dx.stride_d +
                                ih * dx.stride_h,
                            dx.stride_w});
                     }
                   });
  }

  template <class I>
  void add_at_positions(int64_t plane, T* sums) const {
    std::fill(sums, sums + dx.plane_size(), T{0});
    const I* at = reinterpret_cast<const I*>(index.data) + index.offset(plane);
    with_element_type(dy.dtype, [&](auto tag) {
      const auto* g = reinterpret_cast<const decltype(tag)*>(dy.data) + dy.offset(plane);
      for (int64_t d = 0; d < dy.d; ++d)
        for (int64_t h = 0; h < dy.h; ++h)
          for (int64_t w = 0; w < dy.w; ++w)
            sums[at[d * index.stride_d + h * index.stride_h + w * index.stride_w]] +=
                convert_to<T>(g[d * dy.stride_d + h * dy.stride_h + w * dy.stride_w]);
    });
  }

  void run_positions(char* scratch) const {
    const bool dense = dx_direct() && dx.dense_planes();
    const int64_t grain = std::max<int64_t>(1, kTaskElements / dx.plane_size());
    parallel_blocks(dx.planes(), grain, [&](int64_t begin, int64_t end, int worker) {
      T* mine = reinterpret_cast<T*>(scratch + static_cast<size_t>(worker) * worker_bytes());
      for (int64_t plane = begin; plane < end; ++plane) {
        T* sums = dense ? reinterpret_cast<T*>(dx.data) + dx.offset(plane) : mine;
        if (index.dtype == DType::u8)
          add_at_positions<uint8_t>(plane, sums);
        else if (index.dtype == DType::i32)
          add_at_positions<int32_t>(plane, sums);
        else
          add_at_positions<int64_t>(plane, sums);
        if (!dense) unpack_rows(sums, dx, plane, 0, dx.d * dx.h);
      }
    });
  }
};

// ---- The ops ---------------------------------------------------------------------------------

bool same_shape(const TensorView& a, const TensorView& b) {
  return a.ndim == b.ndim && std::equal(a.shape, a.shape + a.ndim, b.shape);
}

void check_index(const PoolParams& p, const TensorView& index, const TensorView& y,
                 int64_t plane_size) {
  const char* op = "max_pool";
  if (!same_shape(index, y))
    fail(ErrorKind::shape, op, ": indices have shape ", index.shape_text(), "; expected ",
         y.shape_text());
  if (index.dtype != DType::u8 && index.dtype != DType::i32 && index.dtype != DType::i64)
    fail(ErrorKind::dtype, op, ": indices must be uint8, int32 or int64, got ",
         name_of(index.dtype));
  if (index.dtype == DType::u8 && (p.adaptive || pool_window_volume(p) > kLargestPlace))
    fail(ErrorKind::dtype, op, ": uint8 indices are for plain windows of at most ", kLargestPlace,
         " elements");
  if (index.dtype == DType::i32 && plane_size > INT32_MAX)
    fail(ErrorKind::dtype, op, ": int32 indices cannot address planes of ", plane_size,
         " elements");
}

int64_t plane_size_of(const TensorView& v) {
  int64_t n = 1;
  for (int d = 2; d < v.ndim; ++d) n *= v.shape[d];
  return n;
}

size_t reference_workspace(const TensorView& dx) {
  return static_cast<size_t>(plane_size_of(dx)) * sizeof(double) *
         static_cast<size_t>(max_workers());
}

template <class I>
void check_positions(const Image& index, int64_t plane_size) {
  for (int64_t plane = 0; plane < index.planes(); ++plane)
    for (int64_t r = 0; r < index.d * index.h; ++r) {
      const I* row = reinterpret_cast<const I*>(index.data) + index.offset(plane) +
                     r / index.h * index.stride_d + r % index.h * index.stride_h;
      for (int64_t w = 0; w < index.w; ++w)
        if (row[w * index.stride_w] < 0 || row[w * index.stride_w] >= plane_size)
          fail(ErrorKind::index, "max_pool backward: index ", row[w * index.stride_w],
               " lies outside of a plane of ", plane_size, " elements");
    }
}

void check_forward(const PoolParams& p, const TensorView* v) {
  check_pool("max_pool", p, v[0], "input", v[1], "output", false);
  if (v[2]) check_index(p, v[2], v[1], plane_size_of(v[0]));
}

void check_backward(const PoolParams& p, const TensorView* v) {
  check_pool("max_pool", p, v[2], "the gradient of the input", v[0], "grad_output", false);
  check_index(p, v[1], v[0], plane_size_of(v[2]));
}

void check_backward_values(const PoolParams& p, const TensorView* v) {
  if (v[1].dtype == DType::i32) check_positions<int32_t>(Image(v[1], p.dims), plane_size_of(v[2]));
  if (v[1].dtype == DType::i64) check_positions<int64_t>(Image(v[1], p.dims), plane_size_of(v[2]));
}

// f(Forward<T>) or f(Backward<T>), with T the type to compute in.
template <class F>
void with_forward(const PoolParams& p, const TensorView* v, F&& f) {
  const Image x(v[0], p.dims), y(v[1], p.dims), index(v[2] ? v[2] : v[1], p.dims);
  const Image* wanted = v[2] ? &index : nullptr;
  const bool byte_index = v[2] && v[2].dtype == DType::u8;
  const auto build = [&](auto tag) {
    using T = decltype(tag);
    const bool direct =
        x.channels_direct<T>() && y.channels_direct<T>() && (!byte_index || index.stride_c == 1);
    f(Forward<T>{make_plan(p, x, y, direct), x, y, wanted});
  };
  if (v[0].dtype == DType::f64)
    build(double{});
  else
    build(float{});
}

template <class F>
void with_backward(const PoolParams& p, const TensorView* v, F&& f) {
  const Image dy(v[0], p.dims), index(v[1], p.dims), dx(v[2], p.dims);
  const auto build = [&](auto tag) {
    using T = decltype(tag);
    const bool direct =
        dy.channels_direct<T>() && dx.channels_direct<T>() && index.channels_direct<uint8_t>();
    f(Backward<T>{make_plan(p, dx, dy, direct), dy, index, dx});
  };
  if (v[0].dtype == DType::f64)
    build(double{});
  else
    build(float{});
}

size_t forward_workspace(const PoolParams& p, const TensorView* v) {
  size_t bytes = 0;
  with_forward(p, v, [&](const auto& op) { bytes = op.workspace(); });
  return bytes;
}

void forward(const PoolParams& p, const TensorView* v, void* workspace) {
  with_forward(p, v, [&](auto&& op) {
    if (active_isa() == Isa::reference)
      max_pool_forward_ref(op.plan.geometry, op.x, op.y, op.index);
    else
      op.run(workspace);
  });
}

size_t backward_workspace(const PoolParams& p, const TensorView* v) {
  if (active_isa() == Isa::reference) return reference_workspace(v[2]);
  size_t bytes = 0;
  with_backward(p, v, [&](const auto& op) { bytes = op.workspace(); });
  return bytes;
}

void backward(const PoolParams& p, const TensorView* v, void* workspace) {
  with_backward(p, v, [&](auto&& op) {
    if (active_isa() == Isa::reference)
      max_pool_backward_ref(op.plan.geometry, op.dy, op.index, op.dx,
                            static_cast<double*>(workspace));
    else
      op.run(workspace);
  });
}

}  // namespace

const Op<PoolParams> max_pool_forward = {"max_pool", check_forward, forward_workspace, forward};
const Op<PoolParams> max_pool_backward = {"max_pool_backward", check_backward, backward_workspace,
                                          backward, check_backward_values};

}  // namespace fastnn
