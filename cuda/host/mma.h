// ldmatrix and mma.sync for the shim: whole warps at once, by the lane maps of the PTX manual.
#pragma once

#include "fastnn/dtype.h"
#include "fastnn/float16.h"
#include "host/shim.h"

namespace fastnn::cuda::shim {

struct LdmatrixArgs {
  const void* row;
  uint32_t* r;
  bool trans;
};

// Register m of lane i: elements 2 (i % 4) and 2 (i % 4) + 1 of row i / 4 of matrix m (of its
// transpose).
inline void finish_ldmatrix(void* const* args, uint32_t) {
  for (int m = 0; m < 4; ++m) {
    uint16_t matrix[8][8];
    for (int row = 0; row < 8; ++row)
      std::memcpy(matrix[row], static_cast<LdmatrixArgs*>(args[8 * m + row])->row, 16);
    for (int i = 0; i < 32; ++i) {
      auto& mine = *static_cast<LdmatrixArgs*>(args[i]);
      const int g = i / 4, t = 2 * (i % 4);
      const uint32_t low = mine.trans ? matrix[t][g] : matrix[g][t],
                     high = mine.trans ? matrix[t + 1][g] : matrix[g][t + 1];
      mine.r[m] = low | high << 16;
    }
  }
}

inline void ldmatrix_x4(uint32_t* r, const void* row, bool trans) {
  check_shared("ldmatrix", row, 16, 16);
  LdmatrixArgs args{row, r, trans};
  meet(trans ? "ldmatrix.trans" : "ldmatrix", 0xffffffffu, &args, finish_ldmatrix);
}

struct MmaArgs {
  float* d;
  const uint32_t* a;
  uint32_t b[2];
};

// D[i][j] += sum_k A[i][k] B[k][j] in float, in the order of k. Lane i holds rows g = i / 4 and g +
// 8 of D, columns 2 (i % 4) and the next.
template <int K>
void accumulate(void* const* args, const float (&a)[16][K], const float (&b)[K][8]) {
  float d[16][8];
  for (int i = 0; i < 32; ++i)
    for (int e = 0; e < 4; ++e)
      d[i / 4 + 8 * (e / 2)][2 * (i % 4) + e % 2] = static_cast<MmaArgs*>(args[i])->d[e];
  for (int row = 0; row < 16; ++row)
    for (int k = 0; k < K; ++k)
      for (int column = 0; column < 8; ++column) d[row][column] += a[row][k] * b[k][column];
  for (int i = 0; i < 32; ++i)
    for (int e = 0; e < 4; ++e)
      static_cast<MmaArgs*>(args[i])->d[e] = d[i / 4 + 8 * (e / 2)][2 * (i % 4) + e % 2];
}

template <class T>
float half_of(uint32_t pair, int which) {
  return to_float(T{static_cast<uint16_t>(pair >> 16 * which)});
}

// Register r of A: row g + 8 (r % 2), columns 8 (r / 2) + 2 (i % 4) and the next. Register r of B:
// rows 8 r + 2 (i % 4) and the next, column g.
template <class T>
void finish_mma_m16n8k16(void* const* args, uint32_t) {
  float a[16][16], b[16][8];
  for (int i = 0; i < 32; ++i) {
    const auto& mine = *static_cast<MmaArgs*>(args[i]);
    const int g = i / 4, t = 2 * (i % 4);
    for (int half = 0; half < 2; ++half) {
      for (int r = 0; r < 4; ++r)
        a[g + 8 * (r % 2)][8 * (r / 2) + t + half] = half_of<T>(mine.a[r], half);
      for (int r = 0; r < 2; ++r) b[8 * r + t + half][g] = half_of<T>(mine.b[r], half);
    }
  }
  accumulate<16>(args, a, b);
}

template <class T>
void mma_m16n8k16(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  MmaArgs args{d, a, {b0, b1}};
  meet("mma.m16n8k16", 0xffffffffu, &args, finish_mma_m16n8k16<T>);
}

// Register r of A: row g + 8 (r % 2), column i % 4 + 4 (r / 2). Register r of B: row i % 4 + 4 r,
// column g. The low 13 bits are not read.
inline void finish_mma_m16n8k8_tf32(void* const* args, uint32_t) {
  float a[16][8], b[8][8];
  const auto read = [](uint32_t bits) { return __uint_as_float(bits & 0xffffe000u); };
  for (int i = 0; i < 32; ++i) {
    const auto& mine = *static_cast<MmaArgs*>(args[i]);
    const int g = i / 4, t = i % 4;
    for (int r = 0; r < 4; ++r) a[g + 8 * (r % 2)][t + 4 * (r / 2)] = read(mine.a[r]);
    for (int r = 0; r < 2; ++r) b[t + 4 * r][g] = read(mine.b[r]);
  }
  accumulate<8>(args, a, b);
}

inline void mma_m16n8k8_tf32(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  MmaArgs args{d, a, {b0, b1}};
  meet("mma.m16n8k8.tf32", 0xffffffffu, &args, finish_mma_m16n8k8_tf32);
}

}  // namespace fastnn::cuda::shim
