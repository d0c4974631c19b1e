// Tiles that read A and B where they lie, and the choice of a tile's instantiation.
#pragma once

#include "cpu/kernels/gemm_tile.h"

namespace fastnn::FASTNN_ISA_NS {

// The rows of the tile below, asked for where they lie, a line in every step: a tile's rows are
// short runs, which end before the caches foresee anything. (As many rows as a line has values, or
// twice that: the few beyond the tile come early.)
template <class T, int R>
class RowsBelow {
  static constexpr int kLine = 64 / sizeof(T), kEach = (R + kLine - 1) / kLine;

 public:
  RowsBelow(const T* a, int64_t row, int64_t step)
      : at_(a + R * row), row_(step == 1 ? row : 0), step_(step == 1 ? kLine : 0) {}

  // With k going down from the number of products to 1.
  void ask(int64_t k) {
    const int64_t r = k & (kLine - 1);
    FASTNN_UNROLL for (int i = 0; i < kEach; ++i)
        __builtin_prefetch(at_ + (r + i * kLine) * row_, 0, 2);
    at_ += r == 1 ? step_ : 0;
  }

 private:
  const T* at_;
  int64_t row_, step_;
};

// What a tile asks for besides the next rows of B: see GemmTile::below and ahead.
enum Asks { kNothing, kRowsBelow, kAhead };

// Rows are addressed three to a pointer (p, p + row, p + 2 row), which spares integer registers.
template <class T, int R, int NV, Asks kAsks = kNothing>
static void direct_tile(const GemmTile& t) {
  constexpr int L = kLanes<T>, G = (R + 2) / 3;
  const T* b = static_cast<const T*>(t.b);
  const int64_t row = t.a_row, step = t.a_k;
  constexpr int kVecsOfLine = 64 / kVecBytes;
  constexpr int kAheadRows = 8;  // of b: too far apart for the hardware to foresee
  // Rows far apart are on pages of their own: the columns of the next tile are asked for, where the
  // first-level cache has room for both.
  const bool room = t.k <= GemmTile::kFarDepth && (kAsks == kAhead || t.b_k >= 1024);
  const int64_t ahead = (room || t.b_k >= 8192) && !t.strips ? NV * L : t.b_k * kAheadRows;
  const char* far = static_cast<const char*>(t.ahead);
  int64_t left = t.ahead_left;
  const T* a[G];
  FASTNN_UNROLL for (int g = 0; g < G; ++g) a[g] = static_cast<const T*>(t.a) + 3 * g * row;
  RowsBelow<T, R> below(static_cast<const T*>(t.a), row, step);
  const EdgeLoad<T> edge(t.n - (NV - 1) * L);
  Vec<T> acc[R][NV] = {};
#pragma GCC unroll 1
  for (int64_t k = t.k; k > 0; --k) {
    if (kAsks == kRowsBelow) below.ask(k);
    if (kAsks == kAhead && k % GemmTile::kAheadStep == 0) {
      for (int64_t i = t.ahead_pieces; i > 0; --i) {
        FASTNN_UNROLL for (int at = 0; at < GemmTile::kAheadBytes; at += 64)
            __builtin_prefetch(far + at, 0, 2);
        far += GemmTile::kAheadBytes;
        if (--left == 0) {
          far += t.ahead_step;
          left = t.ahead_run;
        }
      }
    }
    Vec<T> bv[NV];
    FASTNN_UNROLL for (int j = 0; j < NV - 1; ++j) bv[j] = load(b + j * L);
    bv[NV - 1] = EdgeLoad<T>::apply(edge, b + (NV - 1) * L);
    FASTNN_UNROLL for (int j = 0; j < NV; j += kVecsOfLine) __builtin_prefetch(b + ahead + j * L);
    FASTNN_UNROLL for (int r = 0; r < R; ++r) {
      const Vec<T> x = splat(a[r / 3][r % 3 * row]);
      FASTNN_UNROLL for (int j = 0; j < NV; ++j) add_product(acc[r][j], x, bv[j]);
    }
    FASTNN_UNROLL for (int g = 0; g < G; ++g) a[g] += step;
    b += t.b_k;
  }
  write_tile<T, R, NV>(t, acc);
}

// ---- Choice of the instantiation: one for every row count and number of vectors ----

using TileFn = void (*)(const GemmTile&);
struct TileTable {
  TileFn fn[kMostVecs][kRows];
};

template <class T, int R, int NV>
constexpr void fill_packed(TileTable& table) {
  if constexpr (R > 0) {
    table.fn[NV - 1][R - 1] = &packed_tile<T, R, NV>;
    fill_packed<T, R - 1, NV>(table);
  } else if constexpr (NV > 1) {
    fill_packed<T, kRows, NV - 1>(table);
  }
}
template <class T>
constexpr TileTable packed_table() {
  TileTable table{};
  fill_packed<T, kRows, kVecs>(table);
  return table;
}

template <class T, int R, int NV>
constexpr void fill_direct(TileTable& table) {
  if constexpr (R > 0) {
    table.fn[NV - 1][R - 1] = &direct_tile<T, R, NV>;
    fill_direct<T, R - 1, NV>(table);
  } else if constexpr (NV > 1) {
    fill_direct<T, tile_rows(NV - 1), NV - 1>(table);
  }
}
template <class T>
constexpr TileTable direct_table() {
  TileTable table{};
  fill_direct<T, tile_rows(kMostVecs), kMostVecs>(table);
  return table;
}

// For the highest tiles only: others have no time.
template <class T, int NV>
constexpr void fill_asking(TileTable& table) {
  if constexpr (NV > 0) {
    table.fn[NV - 1][tile_rows(NV) - 1] = &direct_tile<T, tile_rows(NV), NV, kRowsBelow>;
    fill_asking<T, NV - 1>(table);
  }
}
template <class T>
constexpr TileTable asking_table() {
  TileTable table = direct_table<T>();
  if constexpr (kVecBytes == 64) fill_asking<T, kMostVecs>(table);
  return table;
}

#ifndef __AVX512F__
// All that is read and written in the columns goes through buffers of whole vectors.
template <class T>
static void run_through_buffer(TileFn fn, const GemmTile& t) {
  constexpr int kColumns = kMostVecs * kLanes<T>;
  T c[kRows][kColumns] = {}, bias[kColumns] = {};
  GemmTile whole = t;
  whole.c = c;
  whole.c_row = whole.src_row = kColumns;
  whole.src = c;
  const auto bytes = static_cast<size_t>(t.n) * sizeof(T);
  if (t.beta != 0)
    for (int r = 0; r < t.m; ++r) memcpy(c[r], static_cast<const T*>(t.src) + r * t.src_row, bytes);
  if (t.bias_n) {
    memcpy(bias, t.bias_n, bytes);
    whole.bias_n = bias;
  }
  fn(whole);
  for (int r = 0; r < t.m; ++r) memcpy(static_cast<T*>(t.c) + r * t.c_row, c[r], bytes);
}
#endif

template <class T>
FASTNN_INLINE void run_tile(TileFn fn, const GemmTile& t) {
#ifndef __AVX512F__
  if (t.n % kLanes<T> != 0) return run_through_buffer<T>(fn, t);
#endif
  fn(t);
}

template <class T>
static void run_packed(const GemmTile& t) {
  static constexpr TileTable table = packed_table<T>();
  run_tile<T>(table.fn[t.n > kLanes<T>][t.m - 1], t);
}

// ---- Blocks of which nothing is packed ----

// `count` in parts that are as even as can be, none larger than `most`. (A division takes as long
// as a row of a small tile.)
class EvenParts {
 public:
  __attribute__((always_inline)) EvenParts(int count, int most) : least_(count) {
    if (count <= most) return;
    parts = (count + most - 1) / most;
    least_ = count / parts;
    larger_ = count - least_ * parts;
  }
  __attribute__((always_inline)) int size(int i) const { return least_ + (i < larger_); }

  int parts = 1;

 private:
  int least_, larger_ = 0;
};

// In place: a copy of what was just written would have to wait until it is in the cache, behind the
// sums of the tile before.
template <class T>
FASTNN_INLINE void move_tile(GemmTile& t, int64_t rows, int64_t columns) {
  t.a = static_cast<const T*>(t.a) + rows * t.a_row;
  t.b = static_cast<const T*>(t.b) + columns;
  t.c = static_cast<T*>(t.c) + rows * t.c_row + columns;
  t.src = static_cast<const T*>(t.src) + rows * t.src_row + columns;
  if (t.bias_m) t.bias_m = static_cast<const T*>(t.bias_m) + rows;
  if (t.bias_n) t.bias_n = static_cast<const T*>(t.bias_n) + columns;
}

// tile_rows() without its division.
constexpr int kTileRows[] = {0, tile_rows(1), tile_rows(2), tile_rows(3), tile_rows(4)};

template <class T>
static constexpr int vecs_of(int columns) {
  return (columns + kLanes<T> - 1) / kLanes<T>;
}

template <class T>
FASTNN_INLINE void run_direct_tile(const GemmTile& t, int vecs) {
  static constexpr TileTable table = direct_table<T>(), asking = asking_table<T>();
  run_tile<T>((t.below && t.a_k == 1 ? asking : table).fn[vecs - 1][t.m - 1], t);
}

// A strip of columns, `vecs` vectors wide: tiles one below the other.
template <class T>
static void run_strip(GemmTile& t, int vecs) {
  const int rows = t.m;
  const EvenParts tiles(rows, kTileRows[vecs]);
  for (int i = 0; i < tiles.parts; ++i) {
    t.m = tiles.size(i);
    run_direct_tile<T>(t, vecs);
    move_tile<T>(t, tiles.size(i), 0);
  }
  move_tile<T>(t, -rows, 0);
  t.m = rows;
}

// The width of the tiles of so many rows. Lines of B come in pairs from far away: an even number.
static constexpr int most_vecs(int rows) {
  return rows <= tile_rows(kMostVecs) || rows > kRows ? kMostVecs : kVecs;
}

// Strips side by side.
template <class T>
static void run_strips(GemmTile& t) {
  const int columns = t.n, vecs = vecs_of<T>(columns);
  const EvenParts strips(vecs, most_vecs(t.m));
  const bool below = t.below;
  for (int i = 0, left = columns; i < strips.parts; ++i) {
    const int width = strips.size(i) * kLanes<T>;
    t.n = left < width ? left : width;
    run_strip<T>(t, strips.size(i));
    move_tile<T>(t, 0, width);
    left -= width;
    t.below = false;  // A is near now
  }
  move_tile<T>(t, 0, -vecs * kLanes<T>);
  t.n = columns;
  t.below = below;
}

template <class T>
static void run_direct(const GemmTile& t) {
  if (t.ahead && t.m == kRows && t.n > (kVecs - 1) * kLanes<T>)
    return run_tile<T>(&direct_tile<T, kRows, kVecs, kAhead>, t);
  const int vecs = vecs_of<T>(t.n);
  if (vecs <= kMostVecs && t.m <= kTileRows[vecs]) return run_direct_tile<T>(t, vecs);
  GemmTile part = t;
  const EvenParts calls(t.m, t.strips ? t.m : kRows);
  for (int i = 0; i < calls.parts; ++i) {
    part.m = calls.size(i);
    run_strips<T>(part);
    move_tile<T>(part, calls.size(i), 0);
  }
}

}  // namespace fastnn::FASTNN_ISA_NS
