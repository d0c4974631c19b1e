// The gradient of maximum pooling: validation, choice of loop, threads.
#include "cpu/max_pool_plan.h"
#include "cpu/ref/max_pool.h"

namespace fastnn {

namespace {

template <class T>
struct Backward {
  MaxPoolPlan plan;
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
          max_pool_kernels_of<T>().rows_backward(
              {from.data, place.data, from.stride_d, from.stride_h, place.stride_d, place.stride_h,
               g.axis[0], g.axis[1], g.axis[2], first, last, to.data, to.stride_d, to.stride_h});
          if (!dx_direct()) unpack_rows(to.data, dx, plane, first, last);
        });
  }

  void run_pixels() const {
    const PoolGeometry& g = plan.geometry;
    for_row_blocks(dx.n, dx.d * dx.h, 2 * dx.w * dx.c, false,
                   [&](int64_t n, int64_t first, int64_t last, int) {
                     for (int64_t r = first; r < last; ++r) {
                       const int64_t id = r / dx.h, ih = r % dx.h;
                       max_pool_kernels_of<T>().pixels_backward(
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

// ---- The op ----------------------------------------------------------------------------------

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

void check_backward(const PoolParams& p, const TensorView* v) {
  check_pool("max_pool", p, v[2], "the gradient of the input", v[0], "grad_output", false);
  check_index(p, v[1], v[0], plane_size_of(v[2]));
}

void check_backward_values(const PoolParams& p, const TensorView* v) {
  if (v[1].dtype == DType::i32) check_positions<int32_t>(Image(v[1], p.dims), plane_size_of(v[2]));
  if (v[1].dtype == DType::i64) check_positions<int64_t>(Image(v[1], p.dims), plane_size_of(v[2]));
}

// f(Backward<T>), with T the type to compute in.
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

const Op<PoolParams> max_pool_backward = {"max_pool_backward", check_backward, backward_workspace,
                                          backward, check_backward_values};

}  // namespace fastnn
