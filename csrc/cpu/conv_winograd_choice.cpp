// Whether Winograd's method pays (see conv_winograd.cpp).
#include <algorithm>

#include "cpu/conv_direct.h"
#include "cpu/conv_winograd_axis.h"
#include "cpu/gemm_plan.h"
#include "cpu/kernels/conv.h"
#include "fastnn/isa.h"

namespace fastnn {

namespace {

constexpr int64_t kPoints = kWinogradPoints, kElem = 4;
constexpr int64_t kWorthIt = 49;          // tiles: the filters must be transformed first
constexpr int64_t kWorthItPrepared = 12;  // tiles, where they were

// Transformed filters take more room than filters: few tiles are worth that in the cache only.
// Where few channels or filters share a transform, it takes more tiles, and where a tile saves
// fewer products than with 3x3 taps.
int64_t least_tiles(const Correlation& c, int64_t products) {
  constexpr int64_t kSaved = 4 * 9 - kPoints;
  const int64_t in = c.in * c.axis[0].taps, saved = 4 * c.axis[1].taps * c.axis[2].taps - products;
  const bool near = c.groups * in * c.out * products * kElem <= cache_sizes().l2 / 2;
  const bool few = in < 32 || c.out < 32;
  const int64_t least = c.prepares && near ? kWorthItPrepared : kWorthIt;
  return std::max(least, least * kSaved / saved) * (few ? 2 : 1);
}

// Tiles that reach far over an edge are for nothing, columns of two pixels leave vectors of tiles
// empty, and short rows of tiles, where a tile of products ends with them, its registers.
bool saves_products(const Correlation& c, const WinogradAxis& y, const WinogradAxis& x) {
  if (c.axis[2].out <= 2) return false;
  const bool by_rows = y.extra > 0 || x.extra > 0;
  const int64_t half = active_conv_kernels().filters.pixels / 2;
  const int64_t columns = by_rows ? std::max(x.tiles, half) : x.tiles;
  const int64_t products = y.products() * x.products() * y.gap * x.gap * y.tiles * columns;
  return 3 * products <= 2 * c.pixels() / c.axis[0].out * c.axis[1].taps * c.axis[2].taps;
}

// Taps apart: rows of a phase are transformed by vectors, so that short ones need many filters to
// be worth it; and a task has a row of every phase (of some planes), which the cache should hold.
bool suits_phases(const Correlation& c, int64_t across) {
  constexpr int64_t kLeastWork = 512;  // filters times tiles of a phase's row
  const int64_t phases = std::abs(c.axis[1].tap_step * c.axis[2].tap_step);
  return phases == 1 ||
         (c.out * across >= kLeastWork * phases &&
          kPoints * kElem * c.in * across <= 2 * static_cast<int64_t>(cache_sizes().l2));
}

}  // namespace

bool prefers_winograd(const Correlation& c) {
  const ConvAxis &z = c.axis[0], &y = c.axis[1], &x = c.axis[2];
  const bool neighbours = z.taps == 1 || (z.step == 1 && std::abs(z.tap_step) == 1);
  // A transformed plane serves all taps of the first axis, and a tile all pieces.
  const bool large = y.taps * x.taps > 9;
  const int64_t least_in = large ? 16 : 24, least_out = large || z.taps > 1 ? 16 : 24;
  if (!neighbours || c.dtype != DType::f32 || !WinogradAxis::takes(y) || !WinogradAxis::takes(x) ||
      c.image.axis[2] != 1 || c.pixels() == 0 || c.in * z.taps < least_in || c.out < least_out)
    return false;
  const WinogradAxis rows(y), columns(x);
  if (rows.gap > y.out || columns.gap > x.out || !saves_products(c, rows, columns)) return false;
  const int64_t across = rows.gap * columns.gap * columns.tiles;
  return c.batch * z.out * rows.tiles * across >=
             least_tiles(c, rows.products() * columns.products()) &&
         suits_phases(c, across);
}

}  // namespace fastnn
