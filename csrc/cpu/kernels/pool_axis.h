// One pooled axis as kernels see it: plain numbers and tables made by the driver.
#pragma once

#include <stdint.h>

namespace fastnn {

// The part of an output's window that lies inside the input: elements first .. first + count of the
// window, at positions begin, begin + dilation, ...
struct PoolWindow {
  int64_t begin, count, first;
  int64_t size;  // what this axis contributes to the divisor of an average
};

// The outputs whose windows span an input position.
struct PoolCover {
  int64_t begin, count;
};

struct PoolAxis {
  int64_t in, out, kernel, stride, padding, dilation;
  bool adaptive;              // windows only from the table
  const PoolWindow* windows;  // by output; null for the last axis of plain windows in planes
  const PoolCover* covers;    // by input, for backward; null likewise

  // Windows of 2 at stride 2 without padding: two inputs to every output.
  bool halves() const {
    return !adaptive && kernel == 2 && stride == 2 && padding == 0 && dilation == 1 &&
           out == in / 2;
  }
};

// As pool_2x2.h takes them.
inline bool is_2x2(const PoolAxis& d, const PoolAxis& h, const PoolAxis& w) {
  return d.kernel == 1 && d.stride == 1 && d.padding == 0 && h.halves() && w.halves();
}

}  // namespace fastnn
