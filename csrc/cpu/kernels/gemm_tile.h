// Register tiles: R rows of A, broadcast, times NV vectors of B, kept in R * NV accumulators.
#pragma once

#include "cpu/kernels/gemm.h"
#include "cpu/kernels/gemm_vec.h"

namespace fastnn::FASTNN_ISA_NS {

// Accumulators, NV vectors of B and one broadcast fill the registers: 32 of them, or 16.
#if defined(__AVX512F__)
constexpr int kRows = 14;
#elif defined(__AVX2__)
constexpr int kRows = 6;
#elif defined(__aarch64__)
constexpr int kRows = 8;
#else
constexpr int kRows = 4;  // no fused multiply-add: the product needs a register of its own
#endif
constexpr int kVecs = 2;

template <class T>
constexpr int kAPanel = (kRows + kLanes<T> - 1) / kLanes<T> * kLanes<T>;
template <class T>
constexpr int kBPanel = kVecs * kLanes<T>;

#define FASTNN_UNROLL _Pragma("GCC unroll 16")

// Loads and stores of a tile's last vector. Only AVX-512 has cheap masks; at the other levels all
// vectors are whole, and run_tile brings tiles with a part of a vector through a buffer.
#ifdef __AVX512F__
template <class T>
FASTNN_INLINE Vec<T> load_last(const T* p, int n) {
  return load_n(p, n);
}
template <class T>
FASTNN_INLINE void store_last(T* p, Vec<T> v, int n) {
  store_n(p, v, n);
}
#else
template <class T>
FASTNN_INLINE Vec<T> load_last(const T* p, int) {
  return load(p);
}
template <class T>
FASTNN_INLINE void store_last(T* p, Vec<T> v, int) {
  store(p, v);
}
#endif

template <class T, int NV>
FASTNN_INLINE Vec<T> load_column(const T* row, int j, int last) {
  return j == NV - 1 ? load_last(row + j * kLanes<T>, last) : load(row + j * kLanes<T>);
}

// alpha, beta * src, bias, rectifier, store: everything while the sums are in registers.
template <class T, int R, int NV>
FASTNN_INLINE void write_tile(const GemmTile& t, Vec<T> (&acc)[R][NV]) {
  constexpr int L = kLanes<T>;
  const int last = t.n - (NV - 1) * L;  // columns in the last vector
  if (t.alpha != 1) {
    const Vec<T> alpha = splat(static_cast<T>(t.alpha));
    FASTNN_UNROLL for (int r = 0; r < R; ++r) {
      FASTNN_UNROLL for (int j = 0; j < NV; ++j) acc[r][j] *= alpha;
    }
  }
  if (t.beta != 0) {
    const T* src = static_cast<const T*>(t.src);
    const Vec<T> beta = splat(static_cast<T>(t.beta));
    FASTNN_UNROLL for (int r = 0; r < R; ++r) {
      FASTNN_UNROLL for (int j = 0; j < NV; ++j) acc[r][j] =
          fma(beta, load_column<T, NV>(src + r * t.src_row, j, last), acc[r][j]);
    }
  }
  if (t.bias_n) {
    const T* bias = static_cast<const T*>(t.bias_n);
    FASTNN_UNROLL for (int j = 0; j < NV; ++j) {
      const Vec<T> v = load_column<T, NV>(bias, j, last);
      FASTNN_UNROLL for (int r = 0; r < R; ++r) acc[r][j] += v;
    }
  }
  if (t.bias_m) {
    const T* bias = static_cast<const T*>(t.bias_m);
    FASTNN_UNROLL for (int r = 0; r < R; ++r) {
      FASTNN_UNROLL for (int j = 0; j < NV; ++j) acc[r][j] += splat(bias[r]);
    }
  }
  if (t.rectifier.on) {
    FASTNN_UNROLL for (int r = 0; r < R; ++r) {
      FASTNN_UNROLL for (int j = 0; j < NV; ++j) acc[r][j] = rectified(t.rectifier, acc[r][j]);
    }
  }
  T* c = static_cast<T*>(t.c);
  FASTNN_UNROLL for (int r = 0; r < R; ++r) {
    T* row = c + r * t.c_row;
    FASTNN_UNROLL for (int j = 0; j < NV - 1; ++j) store(row + j * L, acc[r][j]);
    store_last(row + (NV - 1) * L, acc[r][NV - 1], last);
  }
}

// One value of k: acc += a[0..R) * b[0..NV vectors)
template <class T, int R, int NV>
FASTNN_INLINE void add_products(const T* a, const T* b, Vec<T> (&acc)[R][NV]) {
  Vec<T> bv[NV];
  FASTNN_UNROLL for (int j = 0; j < NV; ++j) bv[j] = load(b + j * kLanes<T>);
  FASTNN_UNROLL for (int r = 0; r < R; ++r) {
    const Vec<T> x = splat(a[r]);
    FASTNN_UNROLL for (int j = 0; j < NV; ++j) add_product(acc[r][j], x, bv[j]);
  }
}

template <class T, int R, int NV>
static void packed_tile(const GemmTile& t) {
  const T* a = static_cast<const T*>(t.a);
  const T* b = static_cast<const T*>(t.b);
  Vec<T> acc[R][NV] = {};
  int64_t k = t.k;
#ifdef __AVX2__  // and AVX-512
  constexpr int kStep = GemmTile::kAheadStep;
  const char* ahead = static_cast<const char*>(t.ahead);
  // The tile of c comes from far away: a row is asked for in every step, so that the requests of
  // the whole tile do not stand in the way of b.
  const T* c = static_cast<const T*>(t.c);
  int64_t rows_left = R;
#pragma GCC unroll 1
  for (; k >= kStep; k -= kStep) {
    FASTNN_UNROLL for (int i = 0; i < GemmTile::kAheadBytes; i += 64)
        __builtin_prefetch(ahead + i, 0, 2);
    ahead += t.ahead_step;
    FASTNN_UNROLL for (int j = 0; j < NV; ++j) __builtin_prefetch(c + j * kLanes<T>, 1);
    c += --rows_left > 0 ? t.c_row : 0;
    FASTNN_UNROLL for (int i = 0; i < kStep; ++i) {
      add_products<T, R, NV>(a + i * kAPanel<T>, b + i * kBPanel<T>, acc);
      asm volatile("" ::: "memory");  // loads stay in their step: registers would run out
    }
    a += kStep * kAPanel<T>;
    b += kStep * kBPanel<T>;
  }
#endif
#pragma GCC unroll 1
  for (; k > 0; --k) {
    add_products<T, R, NV>(a, b, acc);
    a += kAPanel<T>;
    b += kBPanel<T>;
  }
  write_tile<T, R, NV>(t, acc);
}

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

// Rows are addressed three to a pointer (p, p + row, p + 2 row), which spares integer registers.
// Far: t.ahead is asked for, too.
template <class T, int R, int NV, bool Far = false>
static void direct_tile(const GemmTile& t) {
  constexpr int L = kLanes<T>, G = (R + 2) / 3;
  const T* b = static_cast<const T*>(t.b);
  const int64_t row = t.a_row, step = t.a_k;
  constexpr int kAheadRows = 8;  // of b: too far apart for the hardware to foresee
  // Rows far apart are on pages of their own: the columns of the next tile are asked for, where the
  // first-level cache has room for both.
  const bool room = t.k <= GemmTile::kFarDepth && (Far || t.b_k >= 1024);
  const int64_t ahead = room || t.b_k >= 8192 ? NV * L : t.b_k * kAheadRows;
  const char* far = static_cast<const char*>(t.ahead);
  int64_t left = t.ahead_left;
  const T* a[G];
  FASTNN_UNROLL for (int g = 0; g < G; ++g) a[g] = static_cast<const T*>(t.a) + 3 * g * row;
  RowsBelow<T, R> below(static_cast<const T*>(t.a), row, step);
  const EdgeLoad<T> edge(t.n - (NV - 1) * L);
  Vec<T> acc[R][NV] = {};
#pragma GCC unroll 1
  for (int64_t k = t.k; k > 0; --k) {
    if (kVecBytes == 64 && R == kRows && !Far) below.ask(k);  // else there is no time
    if (Far && k % GemmTile::kAheadStep == 0) {
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
    __builtin_prefetch(b + ahead);
    if (NV > 1 && kVecBytes == 64) __builtin_prefetch(b + ahead + L);  // else mostly the same line
    FASTNN_UNROLL for (int r = 0; r < R; ++r) {
      const Vec<T> x = splat(a[r / 3][r % 3 * row]);
      FASTNN_UNROLL for (int j = 0; j < NV; ++j) add_product(acc[r][j], x, bv[j]);
    }
    FASTNN_UNROLL for (int g = 0; g < G; ++g) a[g] += step;
    b += t.b_k;
  }
  write_tile<T, R, NV>(t, acc);
}

// ---- Choice of the instantiation: one for every row count and number of vectors
// -------------------------------------

using TileFn = void (*)(const GemmTile&);
struct TileTable {
  TileFn fn[kRows][kVecs];
};

template <class T, int R, bool Packed>
constexpr void fill_rows(TileTable& table) {
  if constexpr (R > 0) {
    table.fn[R - 1][0] = Packed ? &packed_tile<T, R, 1> : &direct_tile<T, R, 1>;
    table.fn[R - 1][1] = Packed ? &packed_tile<T, R, 2> : &direct_tile<T, R, 2>;
    fill_rows<T, R - 1, Packed>(table);
  }
}
template <class T, bool Packed>
constexpr TileTable make_table() {
  TileTable table{};
  fill_rows<T, kRows, Packed>(table);
  return table;
}

template <class T, bool Packed>
static void run_whole(const GemmTile& t) {
  static constexpr TileTable table = make_table<T, Packed>();
  if (!Packed && t.ahead && t.m == kRows && t.n > kLanes<T>)
    return direct_tile<T, kRows, kVecs, true>(t);
  table.fn[t.m - 1][t.n > kLanes<T>](t);
}

#ifndef __AVX512F__
// All that is read and written in the columns goes through buffers of whole vectors.
template <class T, bool Packed>
static void run_through_buffer(const GemmTile& t) {
  T c[kRows][kBPanel<T>] = {}, bias[kBPanel<T>] = {};
  GemmTile whole = t;
  whole.c = c;
  whole.c_row = whole.src_row = kBPanel<T>;
  whole.src = c;
  const auto bytes = static_cast<size_t>(t.n) * sizeof(T);
  if (t.beta != 0)
    for (int r = 0; r < t.m; ++r) memcpy(c[r], static_cast<const T*>(t.src) + r * t.src_row, bytes);
  if (t.bias_n) {
    memcpy(bias, t.bias_n, bytes);
    whole.bias_n = bias;
  }
  run_whole<T, Packed>(whole);
  for (int r = 0; r < t.m; ++r) memcpy(static_cast<T*>(t.c) + r * t.c_row, c[r], bytes);
}
#endif

template <class T, bool Packed>
static void run_tile(const GemmTile& t) {
#ifndef __AVX512F__
  if (t.n % kLanes<T> != 0) return run_through_buffer<T, Packed>(t);
#endif
  run_whole<T, Packed>(t);
}

}  // namespace fastnn::FASTNN_ISA_NS
