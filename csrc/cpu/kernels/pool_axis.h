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
};

}  // namespace fastnn
