// Average pooling: validation, choice of loop, threads.
#include "cpu/kernels/avg_pool.h"

#include "cpu/pool_geometry.h"
#include "cpu/ref/avg_pool.h"

namespace fastnn {

namespace {

template <class T>
const AvgPoolTable<T>& kernels() {
  if constexpr (sizeof(T) == 4)
    return active_avg_pool_kernels().f32;
  else
    return active_avg_pool_kernels().f64;
}

// Channels have stride 1 everywhere, and rows do not.
template <class T>
bool use_pixels(const Image& in, const Image& out) {
  return in.c > 1 && in.channels_direct<T>() && out.channels_direct<T>() &&
         (in.stride_w != 1 || (in.w == 1 && in.h == 1));
}

// The parts that both directions share. `in` is x or dx, `out` is y or dy.
template <class T>
struct Base {
  const PoolParams& params;
  Image in, out;
  PoolGeometry geometry;
  bool pixels;

  Base(const PoolParams& p, const Image& in_image, const Image& out_image)
      : params(p),
        in(in_image),
        out(out_image),
        geometry(p, in_image, out_image),
        pixels(use_pixels<T>(in_image, out_image)) {}

  bool in_direct() const { return in.rows_direct<T>(); }
  bool out_direct() const { return out.rows_direct<T>(); }
  T divisor() const { return static_cast<T>(params.divisor_override); }

  // Scratch of one worker: a line, and packed planes of what is not direct.
  size_t line_bytes() const { return aligned_bytes<T>(avg_line_elements(geometry.axis[2])); }
  size_t in_bytes() const { return in_direct() ? 0 : aligned_bytes<T>(in.plane_size()); }
  size_t out_bytes() const { return out_direct() ? 0 : aligned_bytes<T>(out.plane_size()); }
  size_t worker_bytes() const { return pixels ? 0 : line_bytes() + in_bytes() + out_bytes(); }
  size_t sizes_bytes() const {
    return pixels ? 0 : aligned_bytes<T>(geometry.axis[2].out + kAvgLineSlack);
  }
  size_t workspace(bool backward) const {
    return table_bytes(geometry, pixels, backward) + sizes_bytes() +
           worker_bytes() * static_cast<size_t>(max_workers());
  }

  // What the last axis contributes to the divisors, by output; a few more, which vectors read.
  const T* make_sizes(char* memory, bool inverse) const {
    const PoolAxis& w = geometry.axis[2];
    T* sizes = reinterpret_cast<T*>(memory);
    const auto value = [&](int64_t size) {
      const T divisor = params.divisor_override ? this->divisor() : static_cast<T>(size);
      return inverse ? T{1} / divisor : divisor;
    };
    std::fill(sizes, sizes + w.out + kAvgLineSlack, value(w.kernel));
    const auto set = [&](int64_t o) {
      sizes[o] = value(pool_window(w, o, params.count_include_pad).size);
    };
    if (w.adaptive) {
      for (int64_t o = 0; o < w.out; ++o) set(o);
      return sizes;
    }
    // Only windows that reach over an end differ.
    int64_t o = 0;
    for (; o < w.out && o * w.stride < w.padding; ++o) set(o);
    for (o = w.out - 1; o >= 0 && o * w.stride - w.padding + w.kernel > w.in; --o) set(o);
    return sizes;
  }

  struct Scratch {
    T *line, *in, *out;
  };
  Scratch scratch_of(char* base, int worker) const {
    char* mine = base + static_cast<size_t>(worker) * worker_bytes();
    return {reinterpret_cast<T*>(mine), reinterpret_cast<T*>(mine + line_bytes()),
            reinterpret_cast<T*>(mine + line_bytes() + in_bytes())};
  }
};

constexpr int64_t kSums = 32;

template <class T>
struct Forward : Base<T> {
  using Base<T>::Base, Base<T>::params, Base<T>::in, Base<T>::out, Base<T>::geometry;

  void run(void* memory) {
    char* scratch = make_tables(geometry, this->pixels, false, params.count_include_pad, memory);
    if (this->pixels)
      run_pixels();
    else if (geometry.one_window() && in.dense_planes() && this->in_direct())
      run_sums();
    else
      run_rows(this->make_sizes(scratch, false), scratch + this->sizes_bytes());
  }

  void run_sums() const {
    parallel_blocks(in.planes(), std::max<int64_t>(1, kTaskElements / in.plane_size()),
                    [&](int64_t begin, int64_t end, int) {
                      for (int64_t p = begin; p < end; p += kSums)
                        write_means(p, std::min(p + kSums, end));
                    });
  }

  // Of up to kSums planes: small ones take no longer than a call for each would.
  void write_means(int64_t begin, int64_t end) const {
    const int64_t size = in.plane_size(), together = in.even_planes ? end - begin : 1;
    const T by = params.divisor_override ? this->divisor() : static_cast<T>(size);
    const T* x = reinterpret_cast<const T*>(in.data);
    T mean[kSums];
    for (int64_t p = begin; p < end; p += together)
      kernels<T>().sums(x + in.offset(p), in.stride_c, together, size, mean + (p - begin));
    for (int64_t p = begin; p < end; ++p) {
      const T value = mean[p - begin] / by;
      if (out.template holds<T>())
        reinterpret_cast<T*>(out.data)[out.offset(p)] = value;
      else
        set_element(out, out.offset(p), static_cast<double>(value));
    }
  }

  void run_rows(const T* sizes, char* base) const {
    const PoolGeometry& g = geometry;
    const int64_t window_rows = std::min(g.axis[0].kernel * g.axis[1].kernel, in.d * in.h);
    for_row_blocks(out.planes(), out.d * out.h, out.w + in.w * window_rows,
                   !this->in_direct() || !this->out_direct(),
                   [&](int64_t plane, int64_t first, int64_t last, int worker) {
                     const auto scratch = this->scratch_of(base, worker);
                     const Plane<const T> x = input_plane<T>(in, plane, scratch.in);
                     const Plane<T> y = output_plane<T>(out, plane, scratch.out);
                     kernels<T>().rows({x.data, x.stride_d, x.stride_h, g.axis[0], g.axis[1],
                                        g.axis[2], first, last, sizes, this->divisor(), y.data,
                                        y.stride_d, y.stride_h, scratch.line});
                     if (!this->out_direct()) unpack_rows(y.data, out, plane, first, last);
                   });
  }

  void run_pixels() const {
    const PoolGeometry& g = geometry;
    const int64_t window =
        std::min(g.adaptive ? in.plane_size() / out.plane_size() + 1 : g.volume(), in.plane_size());
    for_row_blocks(out.n, out.d * out.h, out.w * out.c * window, false,
                   [&](int64_t n, int64_t first, int64_t last, int) {
                     for (int64_t r = first; r < last; ++r) {
                       const int64_t od = r / out.h, oh = r % out.h;
                       kernels<T>().pixels({reinterpret_cast<const T*>(in.data) + n * in.stride_n,
                                            in.stride_d, in.stride_h, in.stride_w, g.axis[0],
                                            g.axis[1], g.axis[2], od, oh, out.c, this->divisor(),
                                            reinterpret_cast<T*>(out.data) + n * out.stride_n +
                                                od * out.stride_d + oh * out.stride_h,
                                            out.stride_w});
                     }
                   });
  }
};

template <class T>
struct Backward : Base<T> {
  using Base<T>::Base, Base<T>::params, Base<T>::in, Base<T>::out, Base<T>::geometry;

  void run(void* memory) {
    char* scratch = make_tables(geometry, this->pixels, true, params.count_include_pad, memory);
    if (this->pixels)
      run_pixels();
    else if (geometry.one_window() && in.dense_planes() && this->in_direct())
      run_fill();
    else
      run_rows(this->make_sizes(scratch, true), scratch + this->sizes_bytes());
  }

  // Every element of a plane gets the same share.
  void run_fill() const {
    const int64_t size = in.plane_size();
    const T by = params.divisor_override ? this->divisor() : static_cast<T>(size);
    T* dx = reinterpret_cast<T*>(in.data);
    parallel_blocks(in.planes(), std::max<int64_t>(1, kTaskElements / size),
                    [&](int64_t begin, int64_t end, int) {
                      for (int64_t p = begin; p < end; ++p) {
                        const T share = (out.template holds<T>()
                                             ? reinterpret_cast<const T*>(out.data)[out.offset(p)]
                                             : static_cast<T>(element(out, out.offset(p)))) /
                                        by;
                        std::fill(dx + in.offset(p), dx + in.offset(p) + size, share);
                      }
                    });
  }

  void run_rows(const T* sizes, char* base) const {
    const PoolGeometry& g = geometry;
    for_row_blocks(
        in.planes(), in.d * in.h, 2 * in.w, !this->in_direct() || !this->out_direct(),
        [&](int64_t plane, int64_t first, int64_t last, int worker) {
          const auto scratch = this->scratch_of(base, worker);
          const Plane<const T> dy = input_plane<T>(out, plane, scratch.out);
          const Plane<T> dx = output_plane<T>(in, plane, scratch.in);
          kernels<T>().rows_backward({dy.data, dy.stride_d, dy.stride_h, g.axis[0], g.axis[1],
                                      g.axis[2], first, last, sizes, this->divisor(), dx.data,
                                      dx.stride_d, dx.stride_h, scratch.line});
          if (!this->in_direct()) unpack_rows(dx.data, in, plane, first, last);
        });
  }

  void run_pixels() const {
    const PoolGeometry& g = geometry;
    for_row_blocks(
        in.n, in.d * in.h, 2 * in.w * in.c, false,
        [&](int64_t n, int64_t first, int64_t last, int) {
          for (int64_t r = first; r < last; ++r) {
            const int64_t id = r / in.h, ih = r % in.h;
            kernels<T>().pixels_backward({reinterpret_cast<const T*>(out.data) + n * out.stride_n,
                                          out.stride_d, out.stride_h, out.stride_w, g.axis[0],
                                          g.axis[1], g.axis[2], id, ih, in.c, this->divisor(),
                                          reinterpret_cast<T*>(in.data) + n * in.stride_n +
                                              id * in.stride_d + ih * in.stride_h,
                                          in.stride_w});
          }
        });
  }
};

// ---- The ops ---------------------------------------------------------------------------------

void check_forward(const PoolParams& p, const TensorView* v) {
  check_pool("avg_pool", p, v[0], "input", v[1], "output", true);
}

void check_backward(const PoolParams& p, const TensorView* v) {
  check_pool("avg_pool", p, v[1], "the gradient of the input", v[0], "grad_output", true);
}

template <template <class> class Direction, class F>
void with_type(const PoolParams& p, const TensorView& in, const TensorView& out, F&& f) {
  if (in.dtype == DType::f64)
    f(Direction<double>(p, Image(in, p.dims), Image(out, p.dims)));
  else
    f(Direction<float>(p, Image(in, p.dims), Image(out, p.dims)));
}

size_t forward_workspace(const PoolParams& p, const TensorView* v) {
  size_t bytes = 0;
  with_type<Forward>(p, v[0], v[1], [&](const auto& op) { bytes = op.workspace(false); });
  return bytes;
}

void forward(const PoolParams& p, const TensorView* v, void* workspace) {
  with_type<Forward>(p, v[0], v[1], [&](auto&& op) {
    if (active_isa() == Isa::reference)
      avg_pool_forward_ref(op.geometry, p, op.in, op.out);
    else
      op.run(workspace);
  });
}

size_t backward_workspace(const PoolParams& p, const TensorView* v) {
  if (active_isa() == Isa::reference)
    return static_cast<size_t>(Image(v[1], p.dims).plane_size()) * sizeof(double) *
           static_cast<size_t>(max_workers());
  size_t bytes = 0;
  with_type<Backward>(p, v[1], v[0], [&](const auto& op) { bytes = op.workspace(true); });
  return bytes;
}

void backward(const PoolParams& p, const TensorView* v, void* workspace) {
  with_type<Backward>(p, v[1], v[0], [&](auto&& op) {
    if (active_isa() == Isa::reference)
      avg_pool_backward_ref(op.geometry, p, op.out, op.in, static_cast<double*>(workspace));
    else
      op.run(workspace);
  });
}

}  // namespace

const Op<PoolParams> avg_pool_forward = {"avg_pool", check_forward, forward_workspace, forward};
const Op<PoolParams> avg_pool_backward = {"avg_pool_backward", check_backward, backward_workspace,
                                          backward};

}  // namespace fastnn
