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
constexpr int kVecs = 2;  // of a packed tile

#if defined(__AVX512F__) || defined(__aarch64__)
constexpr int kRegisters = 32;
#else
constexpr int kRegisters = 16;
#endif
// Where nothing is packed, tiles may be wider, and then are lower: fewer loads.
constexpr int kMostVecs = kVecBytes == 64 ? 4 : kVecs;
static constexpr int tile_rows(int vecs) {
  const int rows = (kRegisters - 1 - vecs) / vecs;
  return rows < kRows ? rows : kRows;
}

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

// sum += *a * b. With 512 bits one instruction also reads and spreads *a: half the instructions of
// a register tile, which is what counts beside a busy thread of the same core.
#ifdef __AVX512F__
FASTNN_INLINE void add_product(vf& sum, const float* a, vf b) {
  asm("vfmadd231ps %1%{1to16%}, %2, %0" : "+v"(sum) : "m"(*a), "v"(b));
}
FASTNN_INLINE void add_product(vd& sum, const double* a, vd b) {
  asm("vfmadd231pd %1%{1to8%}, %2, %0" : "+v"(sum) : "m"(*a), "v"(b));
}
#endif

// One value of k: acc += a[0..R) * b[0..NV vectors)
template <class T, int R, int NV>
FASTNN_INLINE void add_products(const T* a, const T* b, Vec<T> (&acc)[R][NV]) {
  Vec<T> bv[NV];
  FASTNN_UNROLL for (int j = 0; j < NV; ++j) bv[j] = load(b + j * kLanes<T>);
  FASTNN_UNROLL for (int r = 0; r < R; ++r) {
#ifdef __AVX512F__
    FASTNN_UNROLL for (int j = 0; j < NV; ++j) add_product(acc[r][j], a + r, bv[j]);
#else
    const Vec<T> x = splat(a[r]);
    FASTNN_UNROLL for (int j = 0; j < NV; ++j) add_product(acc[r][j], x, bv[j]);
#endif
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

}  // namespace fastnn::FASTNN_ISA_NS
