// How ops that work row by row of planes are cut into tasks, and sizes of their scratch memory.
#pragma once

#include <algorithm>

#include "fastnn/parallel.h"

namespace fastnn {

inline int64_t div_up(int64_t a, int64_t b) { return a >= 0 ? (a + b - 1) / b : -(-a / b); }

// Bytes of so many elements, rounded up so that what follows is aligned.
template <class T>
size_t aligned_bytes(int64_t elements) {
  return (static_cast<size_t>(elements) * sizeof(T) + 63) / 64 * 64;
}

// Rows of planes cut into tasks of about this many elements read; by shape alone.
constexpr int64_t kTaskElements = 32 << 10;

// f(plane, first row, last row, worker). `whole`: planes are not cut, because each needs packing.
template <class F>
void for_row_blocks(int64_t planes, int64_t rows, int64_t elements_per_row, bool whole, F&& f) {
  const int64_t per_row = std::max<int64_t>(1, elements_per_row);
  const int64_t block =
      whole ? rows : std::clamp<int64_t>(kTaskElements / per_row, 1, std::max<int64_t>(1, rows));
  if (rows <= 0) return;
  const int64_t blocks = div_up(rows, block);
  const int64_t grain = std::max<int64_t>(1, kTaskElements / (block * per_row));
  parallel_blocks(planes * blocks, grain, [&](int64_t begin, int64_t end, int worker) {
    for (int64_t item = begin; item < end; ++item) {
      const int64_t first = item % blocks * block;
      f(item / blocks, first, std::min(first + block, rows), worker);
    }
  });
}

}  // namespace fastnn
