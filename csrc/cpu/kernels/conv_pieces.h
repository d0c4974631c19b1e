// Rows of pixels as vectors of a panel: parts of vectors are read by masks, from pixels that are
// neighbours, or every second one.
#pragma once

#include "cpu/kernels/lanes.h"

namespace fastnn::FASTNN_ISA_NS {

// Pixels of one tap that lie in the image: lanes [lane, lane + count) from `offset` on.
struct Run {
  int lane, count;
  int64_t offset;
};

#ifdef __AVX512F__

// Part of a vector: lane 0 would lie at `offset`.
struct Piece {
  int64_t offset;
  uint32_t mask;
  uint32_t low, high;  // of every second value: the lanes of the two vectors that they lie in
};

// v, whose lanes of `piece` are 0, with them: neighbours in memory (Unit 1), or every second value.
template <class T, int Unit>
FASTNN_INLINE Vec<T> load_piece(Vec<T> v, const Piece& piece, const T* data) {
  const T* p = data + piece.offset;
  if constexpr (Unit == 1) return load_over<T>(v, piece.mask, p);
  const Vec<T> low = load_over<T>(Vec<T>{}, piece.low, p);
  const Vec<T> high = load_over<T>(Vec<T>{}, piece.high, p + kLanes<T>);
  return from_bits(bits(v) | bits(even_lanes<T>(low, high)));
}

// The pieces of vector `index` of a panel.
template <class T, int Unit>
static int find_pieces(const Run* runs, int count, int index, Piece* pieces) {
  constexpr int L = kLanes<T>;
  const auto below = [](uint32_t lane) { return (uint64_t{1} << lane) - 1; };
  int found = 0;
  for (int i = 0; i < count; ++i) {
    const int begin = runs[i].lane - index * L, end = begin + runs[i].count;
    if (end <= 0 || begin >= L) continue;
    const uint32_t from = begin < 0 ? 0 : static_cast<uint32_t>(begin);
    const uint32_t to = end > L ? L : static_cast<uint32_t>(end);
    const uint64_t spread = 0x55555555u & below(2 * to) & ~below(2 * from);
    pieces[found++] = {
        runs[i].offset - begin * Unit, static_cast<uint32_t>(below(to) & ~below(from)),
        static_cast<uint32_t>(spread & below(L)), static_cast<uint32_t>(spread >> L)};
  }
  return found;
}

// f(i, vector) for i in [0, n): the pixels of channel i of the source, which starts at
// data + i * stride_c. What lies `ahead` of the first piece is fetched into the cache.
template <class T, int Unit, class F>
FASTNN_INLINE void for_channels(const T* data, int64_t stride_c, int64_t n, const Piece* pieces,
                                int count, int64_t ahead, F f) {
  // The next panel's pixels are on other pages than its neighbours: too many streams to foresee.
  if (ahead && count > 0)
    for (int64_t i = 0; i < n; ++i)
      __builtin_prefetch(data + i * stride_c + pieces[0].offset + ahead);
  const auto over = [&](Vec<T> v, int p) { return load_piece<T, Unit>(v, pieces[p], data); };
  switch (count) {
    case 0:
      for (int64_t i = 0; i < n; ++i) f(i, Vec<T>{});
      return;
    case 1:
      for (int64_t i = 0; i < n; ++i, data += stride_c) f(i, over(Vec<T>{}, 0));
      return;
    case 2:
      for (int64_t i = 0; i < n; ++i, data += stride_c) f(i, over(over(Vec<T>{}, 0), 1));
      return;
    default:
      for (int64_t i = 0; i < n; ++i, data += stride_c) {
        Vec<T> v{};
        for (int p = 0; p < count; ++p) v = over(v, p);
        f(i, v);
      }
  }
}

// A panel whose pixels are `Unit` values apart.
template <class T, int Unit>
static void pack_pieces(const T* data, int64_t stride_c, int64_t n, const Run* runs, int count,
                        int panel, T* dst, int64_t dst_stride, bool ahead) {
  Piece pieces[kLanes<T>];
  for (int v = 0; v < panel / kLanes<T>; ++v, dst += kLanes<T>) {
    const int found = find_pieces<T, Unit>(runs, count, v, pieces);
    for_channels<T, Unit>(data, stride_c, n, pieces, found, ahead && Unit == 1 ? panel : 0,
                          [=](int64_t i, Vec<T> x) { store(dst + i * dst_stride, x); });
  }
}
#endif

}  // namespace fastnn::FASTNN_ISA_NS
