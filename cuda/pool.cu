// Maximum and average pooling. Forward: a thread for every output. Backward: a thread for every
// input, which gathers from the windows that cover it, so that no two threads write one place and
// the order of every sum is fixed.
#include <algorithm>

#include "../csrc/cpu/image.h"
#include "common/cast.h"
#include "common/dtypes.h"
#include "common/fast_div.h"
#include "common/launch.h"
#include "common/math.h"
#include "fastnn/ops/pool.h"
#include "ops.h"

namespace fastnn::cuda {

namespace {

constexpr int kThreads = 256;

struct Axis {
  int in, out, kernel, stride, padding, dilation;
  bool adaptive;
};

// Strides of an image: n, c, d, h, w.
struct Strides {
  int64_t n, c, d, h, w;
  __device__ __forceinline__ int64_t at(int64_t in, int64_t ic, int64_t id, int64_t ih,
                                        int64_t iw) const {
    return in * n + ic * c + id * d + ih * h + iw * w;
  }
};

struct PoolArgs {
  Axis axis[3];
  FastDiv channels, walk[3];  // of what the threads go over: outputs, or inputs in backward
  bool channels_last;         // neighbouring threads have neighbouring channels
  uint32_t count;
  const void* from;  // x, or dy
  void* to;          // y, or dx
  void* index;
  DType index_dtype;
  Strides from_stride, to_stride, index_stride;
  bool include_pad;
  int64_t divisor;
};

struct Place {
  uint32_t n, c, q[3];
};

__device__ __forceinline__ Place place_of(const PoolArgs& a, uint32_t i) {
  Place p;
  if (a.channels_last) p.c = a.channels.take(i);
  FASTNN_UNROLL
  for (int d = 2; d >= 0; --d) p.q[d] = a.walk[d].take(i);
  if (!a.channels_last) p.c = a.channels.take(i);
  p.n = i;
  return p;
}

// Elements first .. first + count of the window, at begin, begin + dilation ...; `size` is what the
// axis contributes to the divisor of an average.
struct Window {
  int begin, count, first, size;
};

__device__ __forceinline__ int least(int a, int b) { return a < b ? a : b; }

__device__ __forceinline__ Window window_of(const Axis& a, int o, bool include_pad) {
  if (a.adaptive) {
    const auto begin = static_cast<int>(int64_t{o} * a.in / a.out);
    const auto end = static_cast<int>(((int64_t{o} + 1) * a.in + a.out - 1) / a.out);
    return {begin, end - begin, 0, end - begin};
  }
  const int start = o * a.stride - a.padding;
  const int first = start < 0 ? (-start + a.dilation - 1) / a.dilation : 0;
  const int stop = least(a.kernel, (a.in - start + a.dilation - 1) / a.dilation);
  const int with_pad = least(start + a.kernel, a.in + a.padding) - start;
  return {start + first * a.dilation, stop - first, first, include_pad ? with_pad : stop - first};
}

// The outputs begin .. end whose windows span input i.
struct Cover {
  int begin, end;
};
__device__ __forceinline__ Cover cover_of(const Axis& a, int i) {
  if (a.adaptive)
    return {static_cast<int>(int64_t{i} * a.out / a.in),
            static_cast<int>(((int64_t{i} + 1) * a.out + a.in - 1) / a.in)};
  const int reach = i + a.padding - (a.kernel - 1) * a.dilation;
  return {reach > 0 ? (reach + a.stride - 1) / a.stride : 0,
          least(a.out - 1, (i + a.padding) / a.stride) + 1};
}

// Which element of output o's window input i is; -1 when dilation steps over it.
__device__ __forceinline__ int tap_of(const Axis& a, int o, int i) {
  const int distance = i + a.padding - o * a.stride;
  return distance % a.dilation ? -1 : distance / a.dilation;
}

template <class T>
__global__ void __launch_bounds__(kThreads, 1) max_pool(PoolArgs a) {
  using C = Wide<T>;
  const uint32_t i = blockIdx.x * kThreads + threadIdx.x;
  if (i >= a.count) return;
  const Place p = place_of(a, i);
  const Axis &ad = a.axis[0], &ah = a.axis[1], &aw = a.axis[2];
  const Window d = window_of(ad, p.q[0], true), h = window_of(ah, p.q[1], true),
               w = window_of(aw, p.q[2], true);
  const T* x =
      static_cast<const T*>(a.from) + a.from_stride.at(p.n, p.c, d.begin, h.begin, w.begin);
  C best = -math::infinity<C>();
  int bi = 0, bj = 0, bk = 0;
  for (int u = 0; u < d.count; ++u)
    for (int v = 0; v < h.count; ++v)
      for (int t = 0; t < w.count; ++t) {
        const C value = widen_to<C>(x[int64_t{u * ad.dilation} * a.from_stride.d +
                                      int64_t{v * ah.dilation} * a.from_stride.h +
                                      int64_t{t * aw.dilation} * a.from_stride.w]);
        if (value > best || value != value) best = value, bi = u, bj = v, bk = t;
      }
  static_cast<T*>(a.to)[a.to_stride.at(p.n, p.c, p.q[0], p.q[1], p.q[2])] = narrow_to<T>(best);
  if (!a.index) return;
  const int64_t found =
      a.index_dtype == DType::u8
          ? (int64_t{d.first + bi} * ah.kernel + h.first + bj) * aw.kernel + w.first + bk
          : (int64_t{d.begin + bi * ad.dilation} * ah.in + h.begin + bj * ah.dilation) * aw.in +
                w.begin + bk * aw.dilation;
  store_as<int64_t>(a.index, a.index_dtype, a.index_stride.at(p.n, p.c, p.q[0], p.q[1], p.q[2]),
                    found);
}

template <class T>
__global__ void __launch_bounds__(kThreads, 1) max_pool_backward_kernel(PoolArgs a) {
  using C = Wide<T>;
  const uint32_t i = blockIdx.x * kThreads + threadIdx.x;
  if (i >= a.count) return;
  const Place p = place_of(a, i);
  const Axis &ad = a.axis[0], &ah = a.axis[1], &aw = a.axis[2];
  const Cover d = cover_of(ad, p.q[0]), h = cover_of(ah, p.q[1]), w = cover_of(aw, p.q[2]);
  const bool local = a.index_dtype == DType::u8;
  const int64_t position = (int64_t{p.q[0]} * ah.in + p.q[1]) * aw.in + p.q[2];
  const T* dy = static_cast<const T*>(a.from);
  C sum = 0;
  for (int u = d.begin; u < d.end; ++u)
    for (int v = h.begin; v < h.end; ++v)
      for (int t = w.begin; t < w.end; ++t) {
        int64_t mine = position;
        if (local) {
          const int64_t td = tap_of(ad, u, p.q[0]), th = tap_of(ah, v, p.q[1]),
                        tw = tap_of(aw, t, p.q[2]);
          if (td < 0 || th < 0 || tw < 0) continue;
          mine = (td * ah.kernel + th) * aw.kernel + tw;
        }
        const int64_t found =
            load_as<int64_t>(a.index, a.index_dtype, a.index_stride.at(p.n, p.c, u, v, t));
        if (found == mine) sum += widen_to<C>(dy[a.from_stride.at(p.n, p.c, u, v, t)]);
      }
  static_cast<T*>(a.to)[a.to_stride.at(p.n, p.c, p.q[0], p.q[1], p.q[2])] = narrow_to<T>(sum);
}

template <class C>
__device__ __forceinline__ C divisor_of(const PoolArgs& a, const Window& d, const Window& h,
                                        const Window& w) {
  return a.divisor ? static_cast<C>(a.divisor)
                   : static_cast<C>(d.size) * static_cast<C>(h.size) * static_cast<C>(w.size);
}

template <class T>
__global__ void __launch_bounds__(kThreads, 1) avg_pool(PoolArgs a) {
  using C = Wide<T>;
  const uint32_t i = blockIdx.x * kThreads + threadIdx.x;
  if (i >= a.count) return;
  const Place p = place_of(a, i);
  const Window d = window_of(a.axis[0], p.q[0], a.include_pad),
               h = window_of(a.axis[1], p.q[1], a.include_pad),
               w = window_of(a.axis[2], p.q[2], a.include_pad);
  const T* x =
      static_cast<const T*>(a.from) + a.from_stride.at(p.n, p.c, d.begin, h.begin, w.begin);
  C sum = 0;
  for (int u = 0; u < d.count; ++u)
    for (int v = 0; v < h.count; ++v)
      for (int t = 0; t < w.count; ++t)
        sum += widen_to<C>(x[u * a.from_stride.d + v * a.from_stride.h + t * a.from_stride.w]);
  static_cast<T*>(a.to)[a.to_stride.at(p.n, p.c, p.q[0], p.q[1], p.q[2])] =
      narrow_to<T>(sum / divisor_of<C>(a, d, h, w));
}

template <class T>
__global__ void __launch_bounds__(kThreads, 1) avg_pool_backward_kernel(PoolArgs a) {
  using C = Wide<T>;
  const uint32_t i = blockIdx.x * kThreads + threadIdx.x;
  if (i >= a.count) return;
  const Place p = place_of(a, i);
  const Cover d = cover_of(a.axis[0], p.q[0]), h = cover_of(a.axis[1], p.q[1]),
              w = cover_of(a.axis[2], p.q[2]);
  const T* dy = static_cast<const T*>(a.from);
  C sum = 0;
  for (int u = d.begin; u < d.end; ++u)
    for (int v = h.begin; v < h.end; ++v)
      for (int t = w.begin; t < w.end; ++t)
        sum += widen_to<C>(dy[a.from_stride.at(p.n, p.c, u, v, t)]) /
               divisor_of<C>(a, window_of(a.axis[0], u, a.include_pad),
                             window_of(a.axis[1], v, a.include_pad),
                             window_of(a.axis[2], t, a.include_pad));
  static_cast<T*>(a.to)[a.to_stride.at(p.n, p.c, p.q[0], p.q[1], p.q[2])] = narrow_to<T>(sum);
}

// ---- Drivers ----------------------------------------------------------------------------------

Strides strides_of(const Image& m) {
  return {m.stride_n, m.stride_c, m.stride_d, m.stride_h, m.stride_w};
}

// Pooled axis j of the params; below 0: an axis that is not pooled.
Axis axis_of(const PoolParams& p, int j, int64_t in, int64_t out) {
  Axis a{static_cast<int>(in), static_cast<int>(out), 1, 1, 0, 1, false};
  if (j < 0) return a;
  if (!p.adaptive) {
    a.kernel = static_cast<int>(p.kernel[j]);
    a.stride = static_cast<int>(p.stride[j]);
    a.padding = static_cast<int>(p.padding[j]);
    a.dilation = static_cast<int>(p.dilation[j]);
  } else if (out > 0 && in % out == 0) {  // windows of equal size
    a.kernel = a.stride = static_cast<int>(in / out);
  } else {
    a.adaptive = true;
  }
  return a;
}

// `in` and `out` are the large and the small image; threads go over `walked`.
PoolArgs make_args(const PoolParams& p, const Image& in, const Image& out, const Image& from,
                   const Image& to) {
  PoolArgs a{};
  const int64_t large[3] = {in.d, in.h, in.w}, small[3] = {out.d, out.h, out.w};
  for (int i = 0; i < 3; ++i) a.axis[i] = axis_of(p, i - (3 - p.dims), large[i], small[i]);
  a.channels = FastDiv(std::max<int64_t>(1, to.c));
  const int64_t sizes[3] = {to.d, to.h, to.w};
  for (int i = 0; i < 3; ++i) a.walk[i] = FastDiv(std::max<int64_t>(1, sizes[i]));
  a.channels_last = to.c > 1 && to.stride_c == 1 && to.stride_w != 1;
  a.count = static_cast<uint32_t>(to.planes() * to.plane_size());
  a.from = from.data;
  a.to = to.data;
  a.from_stride = strides_of(from);
  a.to_stride = strides_of(to);
  a.include_pad = p.count_include_pad;
  a.divisor = p.divisor_override;
  return a;
}

void set_index(PoolArgs& a, const TensorView& index, int dims) {
  if (!index) return;
  a.index = index.data;
  a.index_dtype = index.dtype;
  a.index_stride = strides_of(Image(index, dims));
}

template <class Pick>
void launch_pool(const char* name, const PoolArgs& a, DType t, Stream stream, Pick pick) {
  if (a.count == 0) return;
  with_float_type(t, [&](auto tag) {
    cuda::launch({name, stream, static_cast<unsigned>(ceil_div(a.count, kThreads)), kThreads},
                 pick(tag), a);
  });
}

void check_size(const PoolParams& p, const TensorView& large, const TensorView& small) {
  bool fits = large.numel() <= INT32_MAX && small.numel() <= INT32_MAX;
  for (int i = 0; i < p.dims; ++i)
    fits = fits && large.shape[2 + i] + 2 * p.padding[i] + p.kernel[i] * p.dilation[i] < INT32_MAX;
  if (!fits)
    fail(ErrorKind::unsupported, "pooling: more than 2^31 - 1 elements on CUDA, got ",
         large.shape_text(), "; cut the batch into parts");
}

void check_max_forward(const PoolParams& p, const TensorView* v) { check_size(p, v[0], v[1]); }
void check_max_backward(const PoolParams& p, const TensorView* v) { check_size(p, v[2], v[0]); }
void check_avg_forward(const PoolParams& p, const TensorView* v) { check_size(p, v[0], v[1]); }
void check_avg_backward(const PoolParams& p, const TensorView* v) { check_size(p, v[1], v[0]); }

void run_max_forward(const PoolParams& p, const TensorView* v, void*, Stream stream) {
  const Image x(v[0], p.dims), y(v[1], p.dims);
  PoolArgs a = make_args(p, x, y, x, y);
  set_index(a, v[2], p.dims);
  launch_pool("max_pool", a, v[0].dtype, stream, [](auto tag) { return max_pool<decltype(tag)>; });
}
void run_max_backward(const PoolParams& p, const TensorView* v, void*, Stream stream) {
  const Image dy(v[0], p.dims), dx(v[2], p.dims);
  PoolArgs a = make_args(p, dx, dy, dy, dx);
  set_index(a, v[1], p.dims);
  launch_pool("max_pool_backward", a, v[0].dtype, stream,
              [](auto tag) { return max_pool_backward_kernel<decltype(tag)>; });
}
void run_avg_forward(const PoolParams& p, const TensorView* v, void*, Stream stream) {
  const Image x(v[0], p.dims), y(v[1], p.dims);
  launch_pool("avg_pool", make_args(p, x, y, x, y), v[0].dtype, stream,
              [](auto tag) { return avg_pool<decltype(tag)>; });
}
void run_avg_backward(const PoolParams& p, const TensorView* v, void*, Stream stream) {
  const Image dy(v[0], p.dims), dx(v[1], p.dims);
  launch_pool("avg_pool_backward", make_args(p, dx, dy, dy, dx), v[0].dtype, stream,
              [](auto tag) { return avg_pool_backward_kernel<decltype(tag)>; });
}

}  // namespace

const Op<PoolParams> max_pool_forward{"max_pool", check_max_forward, nullptr, run_max_forward};
const Op<PoolParams> max_pool_backward{"max_pool_backward", check_max_backward, nullptr,
                                       run_max_backward};
const Op<PoolParams> avg_pool_forward{"avg_pool", check_avg_forward, nullptr, run_avg_forward};
const Op<PoolParams> avg_pool_backward{"avg_pool_backward", check_avg_backward, nullptr,
                                       run_avg_backward};

}  // namespace fastnn::cuda
