// Maximum pooling: validation, choice of loop, threads. Its gradient: max_pool_backward.cpp.
#include "cpu/ref/max_pool.h"

#include <cmath>
#include <limits>

#include "cpu/max_pool_plan.h"

namespace fastnn {

namespace {

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
  MaxPoolPlan plan;
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
  // high plane. To begin a small plane costs more than to pool it.
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
    // A row of the result is a quarter of what is read for it.
    const int64_t task = std::max<int64_t>(1, kTaskElements / 4 / std::max<int64_t>(1, x.w));
    parallel_blocks(h.out, task, [&](int64_t first, int64_t last, int) {
      max_pool_kernels_of<T>().rows({reinterpret_cast<const T*>(x.data), 0, x.w, g.axis[0], h,
                                     g.axis[2], first, last, reinterpret_cast<T*>(y.data),
                                     index ? reinterpret_cast<uint8_t*>(index->data) : nullptr, 0,
                                     y.w, 0, y.w});
    });
  }

  void run_rows(const int64_t* offsets, char* scratch) const {
    const PoolGeometry& g = plan.geometry;
    if (joins()) return run_joined();
    const bool whole = !x_direct() || !y_direct() || (index && !index_direct());
    const int64_t rows = y.d * y.h, window_rows = g.axis[0].kernel * g.axis[1].kernel;
    for_row_blocks(
        y.planes(), rows, y.w + x.w * std::min<int64_t>(window_rows, x.d * x.h), whole,
        [&](int64_t plane, int64_t first, int64_t last, int worker) {
          char* mine = scratch + static_cast<size_t>(worker) * worker_bytes();
          const Plane<const T> in = input_plane<T>(x, plane, reinterpret_cast<T*>(mine));
          const Plane<T> out = output_plane<T>(y, plane, reinterpret_cast<T*>(mine + x_bytes()));
          Plane<uint8_t> place{nullptr, 0, 0};
          if (index)
            place = output_plane(*index, plane,
                                 reinterpret_cast<uint8_t*>(mine + x_bytes() + y_bytes()));
          max_pool_kernels_of<T>().rows({in.data, in.stride_d, in.stride_h, g.axis[0], g.axis[1],
                                         g.axis[2], first, last, out.data, place.data, out.stride_d,
                                         out.stride_h, place.stride_d, place.stride_h});
          if (!y_direct()) unpack_rows(out.data, y, plane, first, last);
          if (positions())
            for (int64_t r = first; r < last; ++r)
              write_positions(g, x, *index, plane, r / y.h, r % y.h, place.row(r / y.h, r % y.h), 1,
                              offsets);
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
            max_pool_kernels_of<T>().pixels(a);
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
          const T value =
              max_pool_kernels_of<T>().span(row + k, std::min(kLong, count - k), &place);
          see(value, base + k + place);
        }
      }
    return best;
  }
};

// ---- The op ----------------------------------------------------------------------------------

void check_forward(const PoolParams& p, const TensorView* v) {
  check_pool("max_pool", p, v[0], "input", v[1], "output", false);
  if (v[2]) check_index(p, v[2], v[1], plane_size_of(v[0]));
}

// f(Forward<T>), with T the type to compute in.
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

}  // namespace

const Op<PoolParams> max_pool_forward = {"max_pool", check_forward, forward_workspace, forward};

}  // namespace fastnn
