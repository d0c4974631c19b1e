#include "cpu/ref/max_pool.h"

#include <cmath>
#include <limits>

namespace fastnn {

namespace {

int64_t get_index(const Image& m, int64_t at) {
  if (m.dtype == DType::u8) return reinterpret_cast<const uint8_t*>(m.data)[at];
  if (m.dtype == DType::i32) return reinterpret_cast<const int32_t*>(m.data)[at];
  return reinterpret_cast<const int64_t*>(m.data)[at];
}

void set_index(const Image& m, int64_t at, int64_t value) {
  if (m.dtype == DType::u8)
    reinterpret_cast<uint8_t*>(m.data)[at] = static_cast<uint8_t>(value);
  else if (m.dtype == DType::i32)
    reinterpret_cast<int32_t*>(m.data)[at] = static_cast<int32_t>(value);
  else
    reinterpret_cast<int64_t*>(m.data)[at] = value;
}

}  // namespace

void max_pool_forward_ref(const PoolGeometry& g, const Image& x, const Image& y,
                          const Image* index) {
  const PoolAxis &ad = g.axis[0], &ah = g.axis[1], &aw = g.axis[2];
  const bool local = index && index->dtype == DType::u8;
  parallel_for(x.planes(), [&](int64_t plane, int) {
    y.for_positions([&](int64_t od, int64_t oh, int64_t ow) {
      const PoolWindow d = pool_window(ad, od, true), h = pool_window(ah, oh, true),
                       w = pool_window(aw, ow, true);
      double best = -std::numeric_limits<double>::infinity();
      int64_t bi = 0, bj = 0, bk = 0;
      for (int64_t i = 0; i < d.count; ++i)
        for (int64_t j = 0; j < h.count; ++j)
          for (int64_t k = 0; k < w.count; ++k) {
            const double v = element(x, x.at(plane, d.begin + i * ad.dilation,
                                             h.begin + j * ah.dilation, w.begin + k * aw.dilation));
            if (v > best || std::isnan(v)) best = v, bi = i, bj = j, bk = k;
          }
      set_element(y, y.at(plane, od, oh, ow), best);
      if (!index) return;
      const int64_t place =
          local ? ((d.first + bi) * ah.kernel + h.first + bj) * aw.kernel + w.first + bk
                : ((d.begin + bi * ad.dilation) * x.h + h.begin + bj * ah.dilation) * x.w +
                      w.begin + bk * aw.dilation;
      set_index(*index, index->at(plane, od, oh, ow), place);
    });
  });
}

void max_pool_backward_ref(const PoolGeometry& g, const Image& dy, const Image& index,
                           const Image& dx, double* scratch) {
  const PoolAxis &ad = g.axis[0], &ah = g.axis[1], &aw = g.axis[2];
  parallel_for(dx.planes(), [&](int64_t plane, int worker) {
    double* sums = scratch + worker * dx.plane_size();
    std::fill(sums, sums + dx.plane_size(), 0.0);
    dy.for_positions([&](int64_t od, int64_t oh, int64_t ow) {
      const int64_t place = get_index(index, index.at(plane, od, oh, ow));
      int64_t d = place / (dx.h * dx.w), h = place / dx.w % dx.h, w = place % dx.w;
      if (index.dtype == DType::u8) {
        d = od * ad.stride - ad.padding + place / (ah.kernel * aw.kernel) * ad.dilation;
        h = oh * ah.stride - ah.padding + place / aw.kernel % ah.kernel * ah.dilation;
        w = ow * aw.stride - aw.padding + place % aw.kernel * aw.dilation;
      }
      // An index that no forward made: it hits nothing.
      if (d < 0 || d >= dx.d || h < 0 || h >= dx.h || w < 0 || w >= dx.w) return;
      sums[(d * dx.h + h) * dx.w + w] += element(dy, dy.at(plane, od, oh, ow));
    });
    unpack_rows(sums, dx, plane, 0, dx.d * dx.h);
  });
}

}  // namespace fastnn
