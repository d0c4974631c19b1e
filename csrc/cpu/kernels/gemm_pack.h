// Packing of panels, and the last step for outputs that tiles cannot be written to directly.
#pragma once

#include "cpu/kernels/gemm.h"
#include "cpu/kernels/gemm_vec.h"
#include "cpu/kernels/lanes.h"
#include "cpu/kernels/vecmath.h"

namespace fastnn::FASTNN_ISA_NS {

// ---- Transposition of a square of vectors, in log2(lanes) rounds of two-operand shuffles
// ----------------------------

// Exchanges the blocks of H x H off the diagonal of every block of 2H x 2H.
template <class T, int H>
FASTNN_INLINE void transpose_round(Vec<T>* v) {
  constexpr int L = kLanes<T>;
  decltype(Vec<T>{} < Vec<T>{}) low{}, high{};  // integers as wide as T
#pragma GCC unroll 16
  for (int i = 0; i < L; ++i) {
    low[i] = i & H ? i - H + L : i;
    high[i] = i & H ? i + L : i + H;
  }
#pragma GCC unroll 16
  for (int i = 0; i < L; ++i) {
    if (i & H) continue;
    const Vec<T> a = v[i], b = v[i + H];
    v[i] = __builtin_shuffle(a, b, low);
    v[i + H] = __builtin_shuffle(a, b, high);
  }
}

template <class T>
FASTNN_INLINE void transpose(Vec<T> (&v)[kLanes<T>]) {
  if constexpr (kLanes<T> >= 16) transpose_round<T, 8>(v);
  if constexpr (kLanes<T> >= 8) transpose_round<T, 4>(v);
  if constexpr (kLanes<T> >= 4) transpose_round<T, 2>(v);
  transpose_round<T, 1>(v);
}

// ---- Panels
// ---------------------------------------------------------------------------------------------------------

// Lanes adjacent in memory: rows are copied.
template <class T, class Src>
static void pack_rows(const GemmPack& p) {
  constexpr int L = kLanes<T>;
  T* dst = static_cast<T*>(p.dst);
  const Src* src = static_cast<const Src*>(p.src);
  const int whole = p.width / L * L;
  for (int64_t k = 0; k < p.k; ++k, dst += p.panel, src += p.k_stride) {
    int i = 0;
    for (; i < whole; i += L) store(dst + i, load_wide(src + i));
    if (i == p.panel) continue;
    store(dst + i, load_wide_n(src + i, p.width - i));
    for (i += L; i < p.panel; i += L) store(dst + i, Vec<T>{});
  }
}

// A square of `lanes` x `count` values (Whole: as many as a vector has), transposed; the rest of
// its rows become 0.
template <class T, bool WholeLanes, bool WholeCount, class Src>
FASTNN_INLINE void pack_square(const Src* src, int64_t lane_stride, int lanes, int count, T* dst,
                               int panel) {
  constexpr int L = kLanes<T>;
  Vec<T> v[L];
#pragma GCC unroll 16
  for (int i = 0; i < L; ++i) {
    const Src* lane = src + i * lane_stride;
    v[i] = Vec<T>{};
    if (WholeLanes || i < lanes) v[i] = WholeCount ? load_wide(lane) : load_wide_n(lane, count);
  }
  transpose<T>(v);
#pragma GCC unroll 16
  for (int i = 0; i < L; ++i)
    if (WholeCount || i < count) store(dst + i * panel, v[i]);
}

// All k of a vector of lanes.
template <class T, bool WholeLanes, class Src>
static void pack_lanes(const Src* src, int64_t lane_stride, int lanes, int64_t k, T* dst,
                       int panel) {
  constexpr int L = kLanes<T>;
  for (; k >= L; k -= L, src += L, dst += L * panel)
    pack_square<T, WholeLanes, true>(src, lane_stride, lanes, L, dst, panel);
  if (k > 0)
    pack_square<T, WholeLanes, false>(src, lane_stride, lanes, static_cast<int>(k), dst, panel);
}

// k adjacent in memory: squares are transposed.
template <class T, class Src>
static void pack_columns(const GemmPack& p) {
  constexpr int L = kLanes<T>;
  const Src* src = static_cast<const Src*>(p.src);
  T* dst = static_cast<T*>(p.dst);
  for (int i = 0; i < p.panel; i += L, src += L * p.lane_stride, dst += L) {
    const int lanes = p.width - i;
    if (lanes >= L)
      pack_lanes<T, true>(src, p.lane_stride, L, p.k, dst, p.panel);
    else if (lanes > 0)
      pack_lanes<T, false>(src, p.lane_stride, lanes, p.k, dst, p.panel);
    else
      for (int64_t k = 0; k < p.k; ++k) store(dst + k * p.panel, Vec<T>{});
  }
}

// Any strides, any panel width.
template <class T, class Src>
static void pack_any(const GemmPack& p) {
  T* dst = static_cast<T*>(p.dst);
  const Src* src = static_cast<const Src*>(p.src);
  for (int64_t k = 0; k < p.k; ++k, dst += p.panel, src += p.k_stride) {
    for (int i = 0; i < p.width; ++i) dst[i] = widen(src[i * p.lane_stride]);
    for (int i = p.width; i < p.panel; ++i) dst[i] = 0;
  }
}

template <class T, class Src>
static void pack_from(const GemmPack& p) {
  if (p.panel % kLanes<T> != 0)
    pack_any<T, Src>(p);
  else if (p.lane_stride == 1)
    pack_rows<T, Src>(p);
  else if (p.k_stride == 1)
    pack_columns<T, Src>(p);
  else
    pack_any<T, Src>(p);
}

template <class T>
static void pack(const GemmPack& p) {
  if constexpr (sizeof(T) == 8) {
    pack_from<T, double>(p);
  } else {
    switch (p.dtype) {
      case DType::bf16:
        return pack_from<T, bf16>(p);
      case DType::f16:
        return pack_from<T, f16>(p);
      default:
        return pack_from<T, float>(p);
    }
  }
}

// ---- Activations: a new one is its name in activation.h and its case here ----

template <class T, class F>
FASTNN_INLINE void map_row(T* row, int n, F f) {
  int i = 0;
  for (; i + kLanes<T> <= n; i += kLanes<T>) store(row + i, f(load(row + i)));
  if (i < n) store_n(row + i, f(load_n(row + i, n - i)), n - i);
}

// ---- Outputs
// --------------------------------------------------------------------------------------------------------

template <class T, class Out>
FASTNN_INLINE void store_row(const T* row, int n, Out* out) {
  for (int j = 0; j < n; ++j) narrow(row[j], out[j]);
}
FASTNN_INLINE void store_row(const float* row, int n, bf16* out) {
  constexpr int L = kLanes<float>;
  int j = 0;
  for (; j + L <= n; j += L) {
    const vh h = narrow_bf16(load(row + j));
    memcpy(out + j, &h, sizeof h);
  }
  for (; j < n; ++j) out[j] = to_bf16(row[j]);
}

// Columns are adjacent in the output: squares of the tile are transposed.
template <class T>
static void store_turned(const GemmFinish& f) {
  constexpr int L = kLanes<T>;
  for (int j = 0; j < f.n; j += L)
    for (int i = 0; i < f.m; i += L) {
      const T* from = static_cast<const T*>(f.tile) + i * f.tile_row + j;
      const int rows = f.m - i < L ? f.m - i : L, columns = f.n - j < L ? f.n - j : L;
      Vec<T> v[L];
#pragma GCC unroll 16
      for (int r = 0; r < L; ++r)
        v[r] = r < rows ? load_n(from + r * f.tile_row, columns) : Vec<T>{};
      transpose<T>(v);
      T* to = static_cast<T*>(f.out) + i + j * f.out_col;
#pragma GCC unroll 16
      for (int c = 0; c < L; ++c)
        if (c < columns) store_some(to + c * f.out_col, v[c], rows);
    }
}

// Every second column of the output: a part of the gradient of a convolution with stride 2.
template <class T>
static void store_row_apart(const T* row, int n, T* out) {
  constexpr int L = kLanes<T>;
  for (int j = 0; j < n; j += L) {
    const int lanes = n - j < L ? n - j : L;
    store_every_other<T>(out + 2 * j, load_n(row + j, lanes), lanes);
  }
}

template <class T, class Out>
static void store_tile(const GemmFinish& f) {
  const T* tile = static_cast<const T*>(f.tile);
  Out* out = static_cast<Out*>(f.out);
  if (f.out_col == 1) {
    for (int i = 0; i < f.m; ++i) store_row(tile + i * f.tile_row, f.n, out + i * f.out_row);
    return;
  }
  if constexpr (sizeof(T) == sizeof(Out)) {
    if (f.out_row == 1) return store_turned<T>(f);
    if (f.out_col == 2) {
      for (int i = 0; i < f.m; ++i)
        store_row_apart(tile + i * f.tile_row, f.n, out + i * f.out_row);
      return;
    }
  }
  for (int j = 0; j < f.n; ++j)
    for (int i = 0; i < f.m; ++i)
      narrow(tile[i * f.tile_row + j], out[i * f.out_row + j * f.out_col]);
}

template <class T>
static void activate(Activation activation, T* row, int n) {
  switch (activation) {
    case Activation::none:
      return;
    case Activation::relu:
    case Activation::relu6:
      return map_row(row, n, [r = rectifier_of(activation)](Vec<T> x) { return rectified(r, x); });
    case Activation::sigmoid:
      return map_row(row, n, [](Vec<T> x) { return sigmoid(x); });
    case Activation::tanh:
      return map_row(row, n, [](Vec<T> x) { return tanh(x); });
    case Activation::gelu:
      return map_row(row, n, [](Vec<T> x) { return times_normal_cdf(x); });
    case Activation::gelu_tanh:
      return map_row(row, n, [](Vec<T> x) {
        const Vec<T> inner = T(0.79788456080286535588) * (x + T(0.044715) * x * x * x);
        return T(0.5) * x * (1 + tanh(inner));
      });
    case Activation::silu:
      return map_row(row, n, [](Vec<T> x) { return x * sigmoid(x); });
  }
}

template <class T>
static void finish(const GemmFinish& f) {
  if (f.activation != Activation::none)
    for (int i = 0; i < f.m; ++i)
      activate(f.activation, static_cast<T*>(f.tile) + i * f.tile_row, f.n);
  if constexpr (sizeof(T) == 8) {
    store_tile<T, double>(f);
  } else {
    switch (f.dtype) {
      case DType::bf16:
        return store_tile<T, bf16>(f);
      case DType::f16:
        return store_tile<T, f16>(f);
      default:
        return store_tile<T, float>(f);
    }
  }
}

template <class T>
static void sum(const GemmSum& s) {
  constexpr int L = kLanes<T>;
  T* dst = static_cast<T*>(s.dst);
  const T* partial = static_cast<const T*>(s.partial);
  int64_t i = 0;
  for (; i + L <= s.n; i += L) {
    Vec<T> total = load(partial + i);
    for (int64_t p = 1; p < s.count; ++p) total += load(partial + p * s.stride + i);
    store(dst + i, total);
  }
  for (; i < s.n; ++i) {
    T total = partial[i];
    for (int64_t p = 1; p < s.count; ++p) total += partial[p * s.stride + i];
    dst[i] = total;
  }
}

}  // namespace fastnn::FASTNN_ISA_NS
