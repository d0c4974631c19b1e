// The commonest pooling: windows of 2 x 2 at stride 2 without padding, whose elements belong to one
// window each.
#pragma once

#include "cpu/kernels/lanes.h"
#include "cpu/kernels/pool_axis.h"

namespace fastnn::FASTNN_ISA_NS {
namespace {

// Two vectors of consecutive elements; at a row's end only those in the ranges.
template <class T>
struct LanePair {
  LaneRange<T> low, high;
};

template <class T>
FASTNN_INLINE LanePair<T> first_lanes(int64_t count) {
  return {lanes_between<T>(0, at_most(count, kLanes<T>)),
          lanes_between<T>(0, clamp_lane(count - kLanes<T>, kLanes<T>))};
}

// The elements of one vector of windows, by place.
template <class T>
struct Quad {
  Vec<T> at[4];
};

template <class T, bool kTail>
FASTNN_INLINE Quad<T> load_quad(const T* top, const T* bottom, const LanePair<T>& inside) {
  const auto get = [&](const T* p, const LaneRange<T>& r) __attribute__((always_inline)) {
    return kTail ? load_range<T>(p, r, T{0}) : load(p);
  };
  const Vec<T> a = get(top, inside.low), b = get(top + kLanes<T>, inside.high);
  const Vec<T> c = get(bottom, inside.low), d = get(bottom + kLanes<T>, inside.high);
  return {{even_lanes<T>(a, b), odd_lanes<T>(a, b), even_lanes<T>(c, d), odd_lanes<T>(c, d)}};
}

// Elements 2 o, 2 o + 1 of a row of dx, `left` of which there are, from n <= lanes outputs.
template <class T>
FASTNN_INLINE void store_pair(T* dx, Vec<T> even, Vec<T> odd, int64_t left) {
  store_some<T>(dx, zip_low<T>(even, odd), at_most(left, kLanes<T>));
  if (left > kLanes<T>)
    store_some<T>(dx + kLanes<T>, zip_high<T>(even, odd), at_most(left - kLanes<T>, kLanes<T>));
}

// block(o, how many outputs count) for a row, whole vectors first. Where masks cost something, the
// last vector begins early enough to be whole: some outputs are computed twice, alike.
template <class T, class F>
FASTNN_INLINE void for_outputs(int64_t out, F block) {
  constexpr int64_t n = kLanes<T>;
  int64_t o = 0;
  for (; o + n <= out; o += n) block(o, n);
  if (o == out) return;
  if (kMasksAreFree || out < n)
    block(o, out - o);
  else
    block(out - n, n);
}

// body(vector of channels, how many of them count), with that number a constant for whole ones.
template <class T, class F>
FASTNN_INLINE void for_channels(int64_t channels, F body) {
  int64_t c = 0;
  for (; c + kLanes<T> <= channels; c += kLanes<T>) body(c, int64_t{kLanes<T>});
  if (c < channels) body(c, channels - c);
}
template <class T>
FASTNN_INLINE Vec<T> load_channels(const T* p, int64_t n) {
  return n == kLanes<T> ? load(p) : load_n(p, n);
}

// For rows of dx: pair(id, oh) for two that belong to one row of outputs, one(r) for each that is
// not half of a pair, at the ends of the range and of odd planes.
template <class Args, class Pair, class One>
FASTNN_INLINE void for_row_pairs(const Args& a, Pair pair, One one) {
  for (int64_t r = a.first; r < a.last;) {
    const int64_t id = r / a.h.in, ih = r % a.h.in;
    if (ih % 2 == 0 && ih / 2 < a.h.out && r + 1 < a.last) {
      pair(id, ih / 2);
      r += 2;
    } else {
      one(r++);
    }
  }
}

}  // namespace
}  // namespace fastnn::FASTNN_ISA_NS
