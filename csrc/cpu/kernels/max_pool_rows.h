// Maximum pooling along rows (NCHW).
#pragma once

#include "cpu/kernels/max_pool_2x2.h"

namespace fastnn::FASTNN_ISA_NS {
namespace {

// A block of columns: where its windows begin, and, at the row's ends, which lanes each load may
// touch. Passed by value, like what says where rows lie: places are written as bytes, which may
// alias everything that has an address.
template <class T, int kKernel>
struct Columns {
  int64_t o, start;
  LaneRange<T> inside[(kKernel ? kKernel : kMostTaps) + 1];
};

// One row of the window: elements start + k * dilation + lane * stride. kStride and kKernel are 0
// where they are not known when compiling. kEdge: some elements lie outside of the row.
template <class T, int kStride, int kKernel, bool kIndex, bool kEdge>
FASTNN_INLINE void see_row(Running<T, kIndex>& run, const T* row, const Columns<T, kKernel>& at,
                           const PoolAxis& w, int64_t base) {
  constexpr int64_t n = kLanes<T>;
  const int64_t kernel = kKernel ? kKernel : w.kernel;
  const T outside = static_cast<T>(kFloatLowest);
  const auto get = [&](int64_t offset, int64_t which) __attribute__((always_inline)) {
    if constexpr (kEdge) return load_range<T>(row + at.start + offset, at.inside[which], outside);
    return load(row + at.start + offset);
  };
  if constexpr (kStride == 1) {
    for (int64_t k = 0; k < kernel; ++k) run.see(get(k * w.dilation, k), base + k);
  } else if constexpr (kStride == 2) {  // dilation 1: neighbours share loads
    for (int64_t k = 0; k < kernel; k += 2) {
      const Vec<T> a = get(k, k), b = get(k + n, k + 1);
      run.see(even_lanes<T>(a, b), base + k);
      if (k + 1 < kernel) run.see(odd_lanes<T>(a, b), base + k + 1);
    }
  } else {
    for (int64_t k = 0; k < kernel; ++k) {
      T lane[n];
      for (int64_t i = 0; i < n; ++i) {
        const int64_t x = at.start + k * w.dilation + i * w.stride;
        lane[i] = !kEdge || (x >= 0 && x < w.in) ? row[x] : outside;
      }
      run.see(load(lane), base + k);
    }
  }
}

// Windows whose elements are all -inf or outside never had a winner: their first element inside
// wins.
template <class T>
__attribute__((noinline)) IntVec<T> settle(IntVec<T> place, PoolAxis w, int64_t o, int64_t base) {
  for (int64_t i = 0; i < kLanes<T>; ++i) {
    if (place[i] >= 0) continue;
    const int64_t start = (o + i) * w.stride - w.padding;
    place[i] =
        static_cast<LaneInt<T>>(base + (start < 0 ? (-start + w.dilation - 1) / w.dilation : 0));
  }
  return place;
}

template <class T, int kStride, int kKernel, bool kIndex, bool kEdge>
FASTNN_INLINE void row_block(const MaxRows<T>& a, int64_t od, int64_t oh,
                             const Columns<T, kKernel>& at) {
  const PoolWindow &wd = a.d.windows[od], &wh = a.h.windows[oh];
  const int64_t kernel_w = kKernel ? kKernel : a.w.kernel;
  const int64_t first = (wd.first * a.h.kernel + wh.first) * kernel_w;
  Running<T, kIndex> run;
  run.start(kEdge ? -1 : first);
  for (int64_t i = 0; i < wd.count; ++i) {
    const T* row = a.x + (wd.begin + i * a.d.dilation) * a.x_d + wh.begin * a.x_h;
    int64_t base = ((wd.first + i) * a.h.kernel + wh.first) * kernel_w;
    for (int64_t j = 0; j < wh.count; ++j) {
      see_row<T, kStride, kKernel, kIndex, kEdge>(run, row, at, a.w, base);
      row += a.h.dilation * a.x_h;
      base += kernel_w;
    }
  }
  const int64_t n = at_most(a.w.out - at.o, kLanes<T>);
  store_some<T>(a.y + od * a.y_d + oh * a.y_h + at.o, run.value, n);
  if constexpr (kIndex) {
    if (kEdge && any_negative(run.place)) run.place = settle<T>(run.place, a.w, at.o, first);
    store_bytes<T>(a.index + od * a.index_d + oh * a.index_h + at.o, run.place, n);
  }
}

// The blocks of columns from at.o to `end` in rows first .. last.
template <class T, int kStride, int kKernel, bool kIndex, bool kEdge>
FASTNN_INLINE void group_block(const MaxRows<T> a, int64_t first, int64_t last,
                               Columns<T, kKernel> at, int64_t end) {
  const int64_t n = kLanes<T>, stride = kStride ? kStride : a.w.stride, begin = at.o;
  int64_t od = first / a.h.out, oh = first % a.h.out;
  for (int64_t r = first; r < last; ++r) {
    for (at.o = begin; at.o < end; at.o += n) {
      at.start = at.o * stride - a.w.padding;
      row_block<T, kStride, kKernel, kIndex, kEdge>(a, od, oh, at);
    }
    if (++oh == a.h.out) oh = 0, ++od;
  }
}

// A block at a row's end: the ranges are the same for all rows.
template <class T, int kStride, int kKernel, bool kIndex>
FASTNN_INLINE void edge_block(const MaxRows<T>& a, int64_t first, int64_t last,
                              Columns<T, kKernel> at) {
  const int64_t n = kLanes<T>, kernel = kKernel ? kKernel : a.w.kernel;
  const int64_t start = at.o * (kStride ? kStride : a.w.stride) - a.w.padding;
  if constexpr (kStride == 1) {
    for (int64_t k = 0; k < kernel; ++k)
      at.inside[k] = lanes_inside<T>(start + k * a.w.dilation, a.w.in);
  } else if constexpr (kStride == 2) {
    for (int64_t k = 0; k < kernel; k += 2) {
      at.inside[k] = lanes_inside<T>(start + k, a.w.in);
      at.inside[k + 1] = lanes_inside<T>(start + k + n, a.w.in);
    }
  }
  group_block<T, kStride, kKernel, kIndex, true>(a, first, last, at, at.o + 1);
}

template <class T, int kStride, int kKernel, bool kIndex>
void rows_of(const MaxRows<T>& a) {
  const int64_t n = kLanes<T>, stride = kStride ? kStride : a.w.stride;
  const int64_t kernel = kKernel ? kKernel : a.w.kernel;
  // What a block reads beyond its first column, and the blocks in the middle, which read only what
  // is there.
  const int64_t reach = (kernel - 1) * a.w.dilation + (kStride == 2 ? 2 * n : (n - 1) * stride + 1);
  const int64_t low = (a.w.padding + stride * n - 1) / (stride * n) * n;
  const int64_t room = a.w.in + a.w.padding - reach;
  const int64_t high = room < 0 ? 0 : at_most(room / (stride * n) * n + n, a.w.out);
  Columns<T, kKernel> at;
  for (int64_t r = a.first; r < a.last; r += kRowGroup) {
    const int64_t stop = at_most(r + kRowGroup, a.last);
    at.o = low;
    group_block<T, kStride, kKernel, kIndex, false>(a, r, stop, at, high);
    for (int64_t o = 0; o < a.w.out; o += n) {
      if (o >= low && o < high) o = (high + n - 1) / n * n;
      if (o >= a.w.out) break;
      at.o = o;
      edge_block<T, kStride, kKernel, kIndex>(a, r, stop, at);
    }
  }
}

// ---- Windows of 3 x 3 -------------------------------------------------------------------------

// Outputs o, o + 1, ... of one row. `inside`: which elements of each load there are.
template <class T, int kStride, bool kIndex, bool kEdge>
FASTNN_INLINE void forward_3x3_block(const MaxRows<T>& a, int64_t od, int64_t oh,
                                     const Columns<T, 3>& at) {
  constexpr int64_t n = kLanes<T>;
  const T outside = static_cast<T>(kFloatLowest);
  const PoolWindow& h = a.h.windows[oh];
  const T* row = a.x + od * a.x_d + (h.begin - h.first) * a.x_h + at.start;
  Running<T, kIndex> run;
  run.start(-1);
#pragma GCC unroll 3
  for (int64_t kh = 0; kh < 3; ++kh, row += a.x_h) {
    if (kh < h.first || kh >= h.first + h.count) continue;
    const auto get = [&](int64_t i) __attribute__((always_inline)) {
      const int64_t offset = kStride == 1 ? i : i / 2 * 2 + i % 2 * n;
      return kEdge ? load_range<T>(row + offset, at.inside[i], outside) : load(row + offset);
    };
    if constexpr (kStride == 1) {
#pragma GCC unroll 3
      for (int64_t k = 0; k < 3; ++k) run.see(get(k), kh * 3 + k);
    } else {
      const Vec<T> low = get(0), high = get(1);
      run.see(even_lanes<T>(low, high), kh * 3);
      run.see(odd_lanes<T>(low, high), kh * 3 + 1);
      run.see(even_lanes<T>(get(2), get(3)), kh * 3 + 2);
    }
  }
  const int64_t left = at_most(a.w.out - at.o, n);
  store_some<T>(a.y + od * a.y_d + oh * a.y_h + at.o, run.value, left);
  if constexpr (kIndex) {
    if (any_negative(run.place)) run.place = settle<T>(run.place, a.w, at.o, h.first * 3);
    store_bytes<T>(a.index + od * a.index_d + oh * a.index_h + at.o, run.place, left);
  }
}

// Inlined into the choice of kernels, it would not keep its masks in registers.
template <class T, int kStride, bool kIndex>
__attribute__((noinline)) void rows_3x3(const MaxRows<T>& args) {
  constexpr int64_t n = kLanes<T>;
  const MaxRows<T> a = args;
  for (int64_t r = a.first; r < a.last; r += kRowGroup) {
    const int64_t stop = at_most(r + kRowGroup, a.last);
    for (int64_t o = 0; o < a.w.out; o += n) {
      Columns<T, 3> at;
      at.o = o;
      at.start = o * kStride - a.w.padding;
      for (int64_t i = 0; i < 4; ++i)
        at.inside[i] =
            lanes_inside<T>(at.start + (kStride == 1 ? i : i / 2 * 2 + i % 2 * n), a.w.in);
      bool whole = !kMasksAreFree;
      for (int64_t i = 0; i < 4; ++i) whole &= all_lanes<T>(at.inside[i]);
      int64_t od = r / a.h.out, oh = r % a.h.out;
      for (int64_t k = r; k < stop; ++k) {
        if (whole)
          forward_3x3_block<T, kStride, kIndex, false>(a, od, oh, at);
        else
          forward_3x3_block<T, kStride, kIndex, true>(a, od, oh, at);
        if (++oh == a.h.out) oh = 0, ++od;
      }
    }
  }
}

template <class T, bool kIndex>
void rows_indexed(const MaxRows<T>& a) {
  if (is_2x2(a.d, a.h, a.w)) return rows_2x2<T, kIndex>(a);
  if (is_3x3(a.d, a.h, a.w))
    return a.w.stride == 1 ? rows_3x3<T, 1, kIndex>(a) : rows_3x3<T, 2, kIndex>(a);
  const PoolAxis& w = a.w;
  const int64_t kernel = w.dilation == 1 ? w.kernel : 0;
  if (w.stride == 1) return rows_of<T, 1, 0, kIndex>(a);
  if (w.stride == 2 && kernel == 2) return rows_of<T, 2, 2, kIndex>(a);
  if (w.stride == 2 && kernel == 3) return rows_of<T, 2, 3, kIndex>(a);
  rows_of<T, 0, 0, kIndex>(a);
}

template <class T>
void rows(const MaxRows<T>& a) {
  if (a.index)
    rows_indexed<T, true>(a);
  else
    rows_indexed<T, false>(a);
}

template <class T>
T span(const T* p, int64_t n, int64_t* place) {
  constexpr int64_t lanes = kLanes<T>;
  Running<T, true> run;
  run.start(-1);  // the place is the number of the vector
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) run.see(load(p + i), i / lanes);
  if (i < n) {
    const LaneRange<T> rest = lanes_between<T>(0, n - i);
    run.see(load_range<T>(p + i, rest, static_cast<T>(kFloatLowest)), i / lanes);
  }
  T value[lanes], best = static_cast<T>(kFloatLowest);
  LaneInt<T> vector[lanes];
  store(value, run.value);
  store(vector, run.place);
  *place = 0;
  bool found = false;
  for (int64_t lane = 0; lane < lanes; ++lane) {
    if (vector[lane] < 0) continue;  // nothing but -inf
    const int64_t at = vector[lane] * lanes + lane;
    const bool nan = value[lane] != value[lane], best_nan = best != best;
    const bool wins =
        nan ? !best_nan || at > *place
            : !best_nan && (value[lane] > best || (value[lane] == best && at < *place));
    if (found && !wins) continue;
    best = value[lane];
    *place = at;
    found = true;
  }
  return best;
}

}  // namespace
}  // namespace fastnn::FASTNN_ISA_NS
