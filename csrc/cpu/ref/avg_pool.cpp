#include "cpu/ref/avg_pool.h"

namespace fastnn {

namespace {

double divisor(const PoolParams& p, const PoolWindow& d, const PoolWindow& h, const PoolWindow& w) {
  if (p.divisor_override) return static_cast<double>(p.divisor_override);
  return static_cast<double>(d.size) * static_cast<double>(h.size) * static_cast<double>(w.size);
}

// f(od, oh, ow, window of each axis) for all outputs.
template <class F>
void for_windows(const PoolGeometry& g, const PoolParams& p, const Image& out, F f) {
  out.for_positions([&](int64_t od, int64_t oh, int64_t ow) {
    f(od, oh, ow, pool_window(g.axis[0], od, p.count_include_pad),
      pool_window(g.axis[1], oh, p.count_include_pad),
      pool_window(g.axis[2], ow, p.count_include_pad));
  });
}

template <class F>
void for_elements(const PoolWindow& d, const PoolWindow& h, const PoolWindow& w, F f) {
  for (int64_t i = d.begin; i < d.begin + d.count; ++i)
    for (int64_t j = h.begin; j < h.begin + h.count; ++j)
      for (int64_t k = w.begin; k < w.begin + w.count; ++k) f(i, j, k);
}

}  // namespace

void avg_pool_forward_ref(const PoolGeometry& g, const PoolParams& p, const Image& x,
                          const Image& y) {
  parallel_for(x.planes(), [&](int64_t plane, int) {
    for_windows(g, p, y,
                [&](int64_t od, int64_t oh, int64_t ow, const PoolWindow& d, const PoolWindow& h,
                    const PoolWindow& w) {
                  double sum = 0;
                  for_elements(d, h, w, [&](int64_t i, int64_t j, int64_t k) {
                    sum += element(x, x.at(plane, i, j, k));
                  });
                  set_element(y, y.at(plane, od, oh, ow), sum / divisor(p, d, h, w));
                });
  });
}

void avg_pool_backward_ref(const PoolGeometry& g, const PoolParams& p, const Image& dy,
                           const Image& dx, double* scratch) {
  parallel_for(dx.planes(), [&](int64_t plane, int worker) {
    double* sums = scratch + worker * dx.plane_size();
    std::fill(sums, sums + dx.plane_size(), 0.0);
    for_windows(g, p, dy,
                [&](int64_t od, int64_t oh, int64_t ow, const PoolWindow& d, const PoolWindow& h,
                    const PoolWindow& w) {
                  const double share = element(dy, dy.at(plane, od, oh, ow)) / divisor(p, d, h, w);
                  for_elements(d, h, w, [&](int64_t i, int64_t j, int64_t k) {
                    sums[(i * dx.h + j) * dx.w + k] += share;
                  });
                });
    unpack_rows(sums, dx, plane, 0, dx.d * dx.h);
  });
}

}  // namespace fastnn
