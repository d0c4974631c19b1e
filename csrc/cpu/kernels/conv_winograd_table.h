// Winograd's F(2x2, 3x3): a tile of 2 x 2 output pixels sees 4 x 4 of the image. Image tiles and
// filters are transformed to 16 points; for each point the channels are summed by a matrix product;
// the sums are transformed back. 16 products instead of 36.
#pragma once

#include <stdint.h>

namespace fastnn {

constexpr int kWinogradPoints = 16;

// Where the values of a point lie; negative: they are 0, or nobody needs them.
struct WinogradPlaces {
  int64_t of[kWinogradPoints];
};

// The tiles of one channel's plane: dst[at[point]][tile row][tile].
struct ConvWinogradImage {
  const void* plane;  // rows `width` apart; four vectors behind the last may be read
  int64_t width, tile_rows, tiles;
  void* dst;  // up to a vector behind the last tile may be overwritten
  WinogradPlaces at;
};

// [channel][tap][filter] to dst[at[point]][channel][filter], channels step[point] apart; `tap[i]`:
// which one is tap i of the formula, or negative: 0.
struct ConvWinogradFilter {
  const void* weight;
  int64_t taps, tap[9];
  int64_t channels, filters;  // filters: whole vectors
  void* dst;
  WinogradPlaces at;
  int64_t step[kWinogradPoints];
};

// sum[at[point]][tile row][tile][filter] to the pixels [row][column][filter] of dst; tiles at the
// end may have one pixel only, or none.
struct ConvWinogradPixels {
  const void* sum;
  WinogradPlaces at;
  int64_t filters, rows, columns, tiles;
  void* dst;
  int64_t dst_row, dst_column;
};

struct ConvWinograd {
  void (*image)(const ConvWinogradImage&);
  void (*filter)(const ConvWinogradFilter&);
  bool (*pixels)(const ConvWinogradPixels&);  // whether all of them are finite
};

}  // namespace fastnn
