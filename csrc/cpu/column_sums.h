// Sums for each channel over rows of channels (channels-last data), in double across sub-blocks of
// rows.
#pragma once

#include "cpu/norm_common.h"

namespace fastnn {

constexpr int64_t kSubRows = 64;      // summed in T
constexpr int64_t kColumnTile = 256;  // channels of a task

// Adds up `Sums` sums for up to kColumnTile channels: body(row, rows, sums) adds those of some rows
// to arrays in T.
template <class T, int Sums, class F>
void sum_columns(int64_t begin, int64_t end, int64_t channels, double* const (&out)[Sums], F body) {
  alignas(kAlignment) T part[Sums][kColumnTile];
  for (int s = 0; s < Sums; ++s) std::fill(out[s], out[s] + channels, 0.0);
  for (int64_t r = begin; r < end; r += kSubRows) {
    for (int s = 0; s < Sums; ++s) std::fill(part[s], part[s] + channels, T(0));
    body(r, std::min(kSubRows, end - r), part);
    for (int s = 0; s < Sums; ++s)
      for (int64_t c = 0; c < channels; ++c) out[s][c] += static_cast<double>(part[s][c]);
  }
}

// Rows cut into blocks and channels into tiles: the tasks of an op on channels-last data.
struct ColumnTasks {
  int64_t rows, channels, block, blocks, tiles;

  ColumnTasks(int64_t rows, int64_t channels) : rows(rows), channels(channels) {
    const int64_t width = std::min(channels, kColumnTile);
    block = std::max<int64_t>(kSubRows, 32768 / std::max<int64_t>(width, 1) / kSubRows * kSubRows);
    blocks = (rows + block - 1) / block;
    tiles = (channels + kColumnTile - 1) / kColumnTile;
  }
  int64_t count() const { return blocks * tiles; }

  struct Task {
    int64_t block, first_row, rows, first_channel, channels;
  };
  Task task(int64_t i) const {
    const int64_t b = i / tiles, c = i % tiles * kColumnTile;
    return {b, b * block, std::min(block, rows - b * block), c,
            std::min(kColumnTile, channels - c)};
  }
};

}  // namespace fastnn
