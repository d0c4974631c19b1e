// Conversions between dtypes and copies between layouts.
#include "cpu/kernels/cast.h"

#include "cpu/kernels/half.h"

namespace fastnn::FASTNN_ISA_NS {
namespace {

struct f16 {
  uint16_t bits;
};
struct b8 {
  uint8_t byte;
};

// ---- One element ------------------------------------------------------------------------------

// What the machine gives outside of the range of int64, and for NaN.
FASTNN_INLINE int64_t truncate(double x) {
  return x >= -0x1p63 && x < 0x1p63 ? static_cast<int64_t>(x) : INT64_MIN;
}

template <class D, class S>
FASTNN_INLINE D convert(S x) {
  if constexpr (sizeof(D) == 8 && D(0.5) == D(0) && S(0.5) != S(0))
    return truncate(x);
  else
    return static_cast<D>(x);
}

template <class C, class S>
FASTNN_INLINE C read(const S* p) {
  return convert<C>(*p);
}
template <class C>
FASTNN_INLINE C read(const bf16* p) {
  const uint32_t u = static_cast<uint32_t>(p->bits) << 16;
  float f;
  memcpy(&f, &u, sizeof f);
  return convert<C>(f);
}
template <class C>
FASTNN_INLINE C read(const f16* p) {
  return convert<C>(widen_f16(p->bits));
}
template <class C>
FASTNN_INLINE C read(const b8* p) {
  return static_cast<C>(p->byte != 0);
}

template <class C>
constexpr bool is_real = C(0.5) != C(0);
template <class A, class B>
constexpr bool same = false;
template <class A>
constexpr bool same<A, A> = true;

// Integers narrower than 64 bits keep the low bits, as PyTorch does.
template <class D, class C>
FASTNN_INLINE void write(D* p, C x) {
  if constexpr (is_real<C> && !is_real<D>)
    *p = static_cast<D>(truncate(x));
  else
    *p = static_cast<D>(x);
}
template <class C>
FASTNN_INLINE void write(bf16* p, C x) {
  const float f = static_cast<float>(x);
  uint32_t u;
  memcpy(&u, &f, sizeof u);
  u = f == f ? u + 0x7fffu + (u >> 16 & 1u) : u | 0x400000u;
  p->bits = static_cast<uint16_t>(u >> 16);
}
template <class C>
FASTNN_INLINE void write(f16* p, C x) {
  p->bits = narrow_f16(static_cast<float>(x));
}
template <class C>
FASTNN_INLINE void write(b8* p, C x) {
  p->byte = x != 0;
}

// ---- Contiguous runs --------------------------------------------------------------------------

template <class C, class S>
FASTNN_INLINE void read_run(C* __restrict dense, const S* __restrict src, int64_t n) {
  for (int64_t i = 0; i < n; ++i) dense[i] = read<C>(src + i);
}
FASTNN_INLINE void read_run(float* __restrict dense, const bf16* __restrict src, int64_t n) {
  int64_t i = 0;
  for (; i + kLanes<float> <= n; i += kLanes<float>) store(dense + i, load(src + i));
  for (; i < n; ++i) dense[i] = read<float>(src + i);
}
FASTNN_INLINE void read_run(float* __restrict dense, const f16* __restrict src, int64_t n) {
  int64_t i = 0;
  for (; i + kLanes<float> <= n; i += kLanes<float>) {
    vh h;
    memcpy(&h, src + i, sizeof h);
    store(dense + i, widen_f16(h));
  }
  for (; i < n; ++i) dense[i] = read<float>(src + i);
}

template <class C, class D>
FASTNN_INLINE void write_run(D* __restrict dst, const C* __restrict dense, int64_t n) {
  for (int64_t i = 0; i < n; ++i) write(dst + i, dense[i]);
}
FASTNN_INLINE void write_run(bf16* __restrict dst, const float* __restrict dense, int64_t n) {
  int64_t i = 0;
  for (; i + kLanes<float> <= n; i += kLanes<float>) store(dst + i, load(dense + i));
  for (; i < n; ++i) write(dst + i, dense[i]);
}
FASTNN_INLINE void write_run(f16* __restrict dst, const float* __restrict dense, int64_t n) {
  int64_t i = 0;
  for (; i + kLanes<float> <= n; i += kLanes<float>) {
    const vh h = narrow_f16(load(dense + i));
    memcpy(dst + i, &h, sizeof h);
  }
  for (; i < n; ++i) write(dst + i, dense[i]);
}

// ---- Transposition ----------------------------------------------------------------------------

// dst[r * dst_row + c] = src[r + c * src_col] for an 8 x 8 block: whole lines are read, whole lines
// written.
template <class D, class S, class Read>
FASTNN_INLINE void transpose_block(D* dst, int64_t dst_row, const S* src, int64_t src_col,
                                   Read read_one) {
  D block[8][8];
  for (int64_t j = 0; j < 8; ++j)
    for (int64_t i = 0; i < 8; ++i) block[j][i] = read_one(src + i + j * src_col);
  for (int64_t i = 0; i < 8; ++i) {
    D line[8];
    for (int64_t j = 0; j < 8; ++j) line[j] = block[j][i];
    memcpy(dst + i * dst_row, line, sizeof line);
  }
}

typedef float f8 __attribute__((vector_size(32)));
typedef int32_t i8x4 __attribute__((vector_size(32)));

// In registers: pairs of lines, then pairs of pairs, then halves.
FASTNN_INLINE void transpose_block(float* dst, int64_t dst_row, const float* src, int64_t src_col) {
  const i8x4 low = {0, 8, 1, 9, 4, 12, 5, 13}, high = {2, 10, 3, 11, 6, 14, 7, 15};
  const i8x4 even = {0, 1, 8, 9, 4, 5, 12, 13}, odd = {2, 3, 10, 11, 6, 7, 14, 15};
  const i8x4 first = {0, 1, 2, 3, 8, 9, 10, 11}, second = {4, 5, 6, 7, 12, 13, 14, 15};
  f8 in[8], a[8], b[8];
  for (int j = 0; j < 8; ++j) memcpy(&in[j], src + j * src_col, sizeof in[j]);
  for (int j = 0; j < 8; j += 2) {
    a[j] = __builtin_shuffle(in[j], in[j + 1], low);
    a[j + 1] = __builtin_shuffle(in[j], in[j + 1], high);
  }
  for (int j = 0; j < 8; j += 4)
    for (int k = 0; k < 2; ++k) {
      b[j + 2 * k] = __builtin_shuffle(a[j + k], a[j + k + 2], even);
      b[j + 2 * k + 1] = __builtin_shuffle(a[j + k], a[j + k + 2], odd);
    }
  for (int k = 0; k < 4; ++k) {
    const f8 top = __builtin_shuffle(b[k], b[k + 4], first),
             bottom = __builtin_shuffle(b[k], b[k + 4], second);
    memcpy(dst + k * dst_row, &top, sizeof top);
    memcpy(dst + (k + 4) * dst_row, &bottom, sizeof bottom);
  }
}

template <class D, class S, class Read>
FASTNN_INLINE void transpose(D* dst, int64_t dst_row, const S* src, int64_t src_col, int64_t rows,
                             int64_t cols, Read read_one) {
  int64_t r = 0;
  for (; r + 8 <= rows; r += 8) {
    int64_t c = 0;
    for (; c + 8 <= cols; c += 8) {
      D* to = dst + r * dst_row + c;
      const S* from = src + r + c * src_col;
      if constexpr (same<D, S> && sizeof(D) == 4)
        transpose_block(reinterpret_cast<float*>(to), dst_row, reinterpret_cast<const float*>(from),
                        src_col);
      else
        transpose_block(to, dst_row, from, src_col, read_one);
    }
    for (; c < cols; ++c)
      for (int64_t i = r; i < r + 8; ++i) dst[i * dst_row + c] = read_one(src + i + c * src_col);
  }
  for (; r < rows; ++r)
    for (int64_t c = 0; c < cols; ++c) dst[r * dst_row + c] = read_one(src + r + c * src_col);
}

// ---- Tiles ------------------------------------------------------------------------------------

template <class C, class S>
void load_tile(void* dense_, const void* src_, const Tile& t) {
  C* dense = static_cast<C*>(dense_);
  const S* src = static_cast<const S*>(src_);
  if (t.row_stride == 0 && t.rows > 1) {  // one row again and again: twice as many with every copy
    load_tile<C, S>(dense, src, {1, t.cols, 0, t.col_stride});
    const int64_t all = t.rows * t.cols;
    for (int64_t done = t.cols; done < all; done *= 2)
      memcpy(dense + done, dense,
             static_cast<size_t>(done < all - done ? done : all - done) * sizeof(C));
    return;
  }
  if (t.col_stride == 1) {
    if (t.rows == 1 || t.row_stride == t.cols) return read_run(dense, src, t.rows * t.cols);
    for (int64_t r = 0; r < t.rows; ++r)
      read_run(dense + r * t.cols, src + r * t.row_stride, t.cols);
  } else if (t.col_stride == 0) {
    for (int64_t r = 0; r < t.rows; ++r) {
      const C value = read<C>(src + r * t.row_stride);
      for (int64_t c = 0; c < t.cols; ++c) dense[r * t.cols + c] = value;
    }
  } else if (t.row_stride == 1) {  // a transposed tile: along the lines of memory
    transpose(dense, t.cols, src, t.col_stride, t.rows, t.cols,
              [](const S* p) { return read<C>(p); });
  } else {
    for (int64_t r = 0; r < t.rows; ++r)
      for (int64_t c = 0; c < t.cols; ++c)
        dense[r * t.cols + c] = read<C>(src + r * t.row_stride + c * t.col_stride);
  }
}

template <class C, class D>
void store_tile(void* dst_, const void* dense_, const Tile& t) {
  const C* dense = static_cast<const C*>(dense_);
  D* dst = static_cast<D*>(dst_);
  if (t.col_stride == 1) {
    if (t.rows == 1 || t.row_stride == t.cols) return write_run(dst, dense, t.rows * t.cols);
    for (int64_t r = 0; r < t.rows; ++r)
      write_run(dst + r * t.row_stride, dense + r * t.cols, t.cols);
  } else {
    for (int64_t r = 0; r < t.rows; ++r)
      for (int64_t c = 0; c < t.cols; ++c)
        write(dst + r * t.row_stride + c * t.col_stride, dense[r * t.cols + c]);
  }
}

template <class T>
void copy_tile(void* dst_, const void* src_, int64_t rows, int64_t cols, int64_t dst_row,
               int64_t dst_col, int64_t src_row, int64_t src_col) {
  T* dst = static_cast<T*>(dst_);
  const T* src = static_cast<const T*>(src_);
  if (dst_col == 1 && src_col == 1) {
    for (int64_t r = 0; r < rows; ++r)
      memmove(dst + r * dst_row, src + r * src_row, static_cast<size_t>(cols) * sizeof(T));
  } else if (dst_col == 1 && src_row == 1) {
    transpose(dst, dst_row, src, src_col, rows, cols, [](const T* p) { return *p; });
  } else {
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t c = 0; c < cols; ++c)
        dst[r * dst_row + c * dst_col] = src[r * src_row + c * src_col];
  }
}

// In the order of DType.
#define LOADS(C)                                                                              \
  {load_tile<C, float>,   load_tile<C, double>,  load_tile<C, bf16>,   load_tile<C, f16>,     \
   load_tile<C, b8>,      load_tile<C, uint8_t>, load_tile<C, int8_t>, load_tile<C, int16_t>, \
   load_tile<C, int32_t>, load_tile<C, int64_t>}
#define STORES(C)                                                                                 \
  {store_tile<C, float>,   store_tile<C, double>,  store_tile<C, bf16>,   store_tile<C, f16>,     \
   store_tile<C, b8>,      store_tile<C, uint8_t>, store_tile<C, int8_t>, store_tile<C, int16_t>, \
   store_tile<C, int32_t>, store_tile<C, int64_t>}

const CastKernels kernels = {
    {LOADS(float), LOADS(double), LOADS(int64_t)},
    {STORES(float), STORES(double), STORES(int64_t)},
    {copy_tile<uint8_t>, copy_tile<uint16_t>, copy_tile<uint32_t>, copy_tile<uint64_t>},
};

}  // namespace

const CastKernels* cast_kernels() { return &kernels; }

}  // namespace fastnn::FASTNN_ISA_NS
