// Maximum pooling across channels (channels-last).
#pragma once

#include "cpu/kernels/max_pool_2x2.h"

namespace fastnn::FASTNN_ISA_NS {
namespace {

// kVectors vectors of channels of one output pixel; kTail: only n < lanes channels.
template <class T, int kVectors, bool kTail, bool kIndex>
FASTNN_INLINE void pixel_block(const MaxPixels<T>& a, const PoolWindow* const w[3], int64_t c,
                               int64_t n, T* y, uint8_t* index) {
  Running<T, kIndex> run[kVectors];
  for (auto& r : run) r.start((w[0]->first * a.h.kernel + w[1]->first) * a.w.kernel + w[2]->first);
  for (int64_t i = 0; i < w[0]->count; ++i)
    for (int64_t j = 0; j < w[1]->count; ++j) {
      const T* p = a.x + (w[0]->begin + i * a.d.dilation) * a.x_d +
                   (w[1]->begin + j * a.h.dilation) * a.x_h + w[2]->begin * a.x_w + c;
      int64_t place = ((w[0]->first + i) * a.h.kernel + w[1]->first + j) * a.w.kernel + w[2]->first;
      for (int64_t k = 0; k < w[2]->count; ++k, ++place, p += a.w.dilation * a.x_w)
        for (int v = 0; v < kVectors; ++v)
          run[v].see(kTail ? load_n(p, n) : load(p + v * kLanes<T>), place);
    }
  for (int v = 0; v < kVectors; ++v) {
    if (kTail)
      store_n(y + c, run[v].value, n);
    else
      store(y + c + v * kLanes<T>, run[v].value);
    if constexpr (kIndex)
      store_bytes<T>(index + c + v * kLanes<T>, run[v].place, kTail ? n : kLanes<T>);
  }
}

template <class T, bool kIndex>
void pixels_indexed(const MaxPixels<T>& a) {
  if (is_2x2(a.d, a.h, a.w)) return pixels_2x2<T, kIndex>(a);
  constexpr int64_t n = kLanes<T>;
  for (int64_t o = 0; o < a.w.out; ++o) {
    const PoolWindow* const w[3] = {a.d.windows + a.od, a.h.windows + a.oh, a.w.windows + o};
    T* y = a.y + o * a.y_w;
    uint8_t* index = kIndex ? a.index + o * a.index_w : nullptr;
    int64_t c = 0;
    for (; c + 4 * n <= a.channels; c += 4 * n)
      pixel_block<T, 4, false, kIndex>(a, w, c, n, y, index);
    for (; c + n <= a.channels; c += n) pixel_block<T, 1, false, kIndex>(a, w, c, n, y, index);
    if (c < a.channels) pixel_block<T, 1, true, kIndex>(a, w, c, a.channels - c, y, index);
  }
}

template <class T>
void pixels(const MaxPixels<T>& a) {
  if (a.index)
    pixels_indexed<T, true>(a);
  else
    pixels_indexed<T, false>(a);
}

}  // namespace
}  // namespace fastnn::FASTNN_ISA_NS
