// All PTX, behind thin wrappers: asm under nvcc, C++ for the host shim. Fragments are laid out as
// the PTX manual says (mma.m16n8k16, mma.m16n8k8, ldmatrix); host/mma.h has the maps spelt out.
#pragma once

#include "common/device.h"
#include "fastnn/dtype.h"
#include "fastnn/float16.h"

#if !defined(__CUDACC__)
#include "host/mma.h"
#endif

namespace fastnn::cuda {

#if defined(__CUDACC__)

__device__ __forceinline__ uint32_t shared_address(const void* p) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(p));
}

// ---- 16-bit floats ----

__device__ __forceinline__ float widen(float v) { return v; }
__device__ __forceinline__ float widen(bf16 v) { return __uint_as_float(uint32_t{v.bits} << 16); }
__device__ __forceinline__ float widen(f16 v) {
  float f;
  asm("cvt.f32.f16 %0, %1;" : "=f"(f) : "h"(v.bits));
  return f;
}
__device__ __forceinline__ void narrow(float v, float& out) { out = v; }
__device__ __forceinline__ void narrow(float v, bf16& out) {
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(out.bits) : "f"(v));
}
__device__ __forceinline__ void narrow(float v, f16& out) {
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(out.bits) : "f"(v));
}
// float32 rounded to the 19 bits that a TF32 mma reads.
__device__ __forceinline__ uint32_t to_tf32(float v) {
  uint32_t r;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(r) : "f"(v));
  return r;
}

// ---- cp.async: `bytes` of the source, the rest of the copy is zeros ----

template <int size>
__device__ __forceinline__ void cp_async(void* shared, const void* global, int bytes = size) {
  static_assert(size == 4 || size == 8 || size == 16);
  if constexpr (size == 16)
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(shared)),
                 "l"(global), "r"(bytes)
                 : "memory");
  else
    asm volatile("cp.async.ca.shared.global [%0], [%1], %3, %2;" ::"r"(shared_address(shared)),
                 "l"(global), "r"(bytes), "n"(size)
                 : "memory");
}
__device__ __forceinline__ void cp_async_commit() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}
// Waits until at most `pending` of the groups that this thread committed are under way.
template <int pending>
__device__ __forceinline__ void cp_async_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(pending) : "memory");
}

// ---- Barriers of part of a block ----

__device__ __forceinline__ void named_barrier(int id, int threads) {
  asm volatile("barrier.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
}
__device__ __forceinline__ void named_barrier_arrive(int id, int threads) {
  asm volatile("barrier.arrive %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

// ---- Tensor cores ----

// Four 8x8 matrices of 16-bit elements; lane i gives the address of row i % 8 of matrix i / 8.
__device__ __forceinline__ void ldmatrix_x4(uint32_t (&r)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(row))
               : "memory");
}
__device__ __forceinline__ void ldmatrix_x4_trans(uint32_t (&r)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(row))
               : "memory");
}

// d += a b, m16n8k16; T is bf16 or f16.
template <class T>
__device__ __forceinline__ void mma_m16n8k16(float (&d)[4], const uint32_t (&a)[4], uint32_t b0,
                                             uint32_t b1);
template <>
__device__ __forceinline__ void mma_m16n8k16<bf16>(float (&d)[4], const uint32_t (&a)[4],
                                                   uint32_t b0, uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
template <>
__device__ __forceinline__ void mma_m16n8k16<f16>(float (&d)[4], const uint32_t (&a)[4],
                                                  uint32_t b0, uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
// d += a b, m16n8k8 in TF32 (see to_tf32).
__device__ __forceinline__ void mma_m16n8k8_tf32(float (&d)[4], const uint32_t (&a)[4], uint32_t b0,
                                                 uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

#else

inline float widen(float v) { return v; }
inline float widen(bf16 v) { return to_float(v); }
inline float widen(f16 v) { return to_float(v); }
inline void narrow(float v, float& out) { out = v; }
inline void narrow(float v, bf16& out) { out = to_bf16(v); }
inline void narrow(float v, f16& out) { out = to_f16(v); }
inline uint32_t to_tf32(float v) {  // to nearest, halves away from zero
  return (__float_as_uint(v) + 0x1000u) & 0xffffe000u;
}

template <int size>
void cp_async(void* shared, const void* global, int bytes = size) {
  static_assert(size == 4 || size == 8 || size == 16);
  shim::copy_async(shared, global, size, bytes);
}
inline void cp_async_commit() { shim::copy_async_commit(); }
template <int pending>
void cp_async_wait() {
  shim::copy_async_wait(pending);
}

inline void named_barrier(int id, int threads) { shim::barrier(id, threads); }
inline void named_barrier_arrive(int id, int threads) { shim::barrier_arrive(id, threads); }

inline void ldmatrix_x4(uint32_t (&r)[4], const void* row) { shim::ldmatrix_x4(r, row, false); }
inline void ldmatrix_x4_trans(uint32_t (&r)[4], const void* row) {
  shim::ldmatrix_x4(r, row, true);
}
template <class T>
void mma_m16n8k16(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  shim::mma_m16n8k16<T>(d, a, b0, b1);
}
inline void mma_m16n8k8_tf32(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  shim::mma_m16n8k8_tf32(d, a, b0, b1);
}

#endif

// ---- Vectors of 16 bytes and less
// -----------------------------------------------------------------

// N elements that are loaded and stored as one.
template <class T, int N>
struct alignas(sizeof(T) * N) Pack {
  T v[N];
};

template <class T, int N>
__device__ __forceinline__ Pack<T, N> load_pack(const T* p) {
#if !defined(__CUDACC__)
  shim::check_aligned("vector load", p, sizeof(Pack<T, N>));
#endif
  return *reinterpret_cast<const Pack<T, N>*>(p);
}
template <class T, int N>
__device__ __forceinline__ void store_pack(T* p, const Pack<T, N>& pack) {
#if !defined(__CUDACC__)
  shim::check_aligned("vector store", p, sizeof(Pack<T, N>));
#endif
  *reinterpret_cast<Pack<T, N>*>(p) = pack;
}

}  // namespace fastnn::cuda
