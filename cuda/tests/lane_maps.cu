// Which lane holds what: the maps of every wrapper in common/ptx.h and of the shuffles, as text. On
// the shim the tests compare it with tests/cuda/lane_maps.txt; built with nvcc it is a program that
// prints what the hardware does (scripts/gpu_check.py calibration):
//
//   nvcc -std=c++20 -arch=native -Icsrc/include -Icuda cuda/tests/lane_maps.cu -o lane_maps
#include <sstream>
#include <vector>

#include "common/launch.h"
#include "common/ptx.h"
#include "lane_maps.h"

namespace fastnn::cuda {

namespace {

// ---- Probes: one warp each --------------------------------------------------------------------

// Matrix m, row, column hold 64 m + 8 row + column.
__global__ void ldmatrix_probe(bool trans, uint32_t* out) {
  SHARED(uint16_t, tile, [32][8]);
  const uint32_t lane = threadIdx.x;
  for (int c = 0; c < 8; ++c) tile[lane][c] = static_cast<uint16_t>(8 * lane + c);
  __syncthreads();
  uint32_t r[4];
  if (trans)
    ldmatrix_x4_trans(r, tile[lane]);
  else
    ldmatrix_x4(r, tile[lane]);
  for (int i = 0; i < 4; ++i) {
    out[64 * i + lane] = r[i] & 0xffff;
    out[64 * i + 32 + lane] = r[i] >> 16;
  }
}

// Block x has a one in element x of operand a (lane, register, half) and 1, 2, 3 ... in operand b:
// the sums name the elements of b that it meets, and where.
template <class T>
__global__ void mma16_probe(float* out) {
  const uint32_t lane = threadIdx.x, element = blockIdx.x;
  uint32_t a[4] = {}, b[2] = {};
  T one, code;
  narrow(1.0f, one);
  if (lane == element / 8) a[element / 2 % 4] = uint32_t{one.bits} << (element % 2 * 16);
  for (uint32_t i = 0; i < 4; ++i) {
    narrow(static_cast<float>(4 * lane + i + 1), code);
    b[i / 2] |= uint32_t{code.bits} << (i % 2 * 16);
  }
  float d[4] = {};
  mma_m16n8k16<T>(d, a, b[0], b[1]);
  for (int i = 0; i < 4; ++i) out[element * 128 + 4 * lane + i] = d[i];
}

__global__ void mma8_probe(float* out) {
  const uint32_t lane = threadIdx.x, element = blockIdx.x;
  uint32_t a[4] = {};
  if (lane == element / 4) a[element % 4] = to_tf32(1.0f);
  float d[4] = {};
  mma_m16n8k8_tf32(d, a, to_tf32(static_cast<float>(2 * lane + 1)),
                   to_tf32(static_cast<float>(2 * lane + 2)));
  for (int i = 0; i < 4; ++i) out[element * 128 + 4 * lane + i] = d[i];
}

__global__ void shuffle_probe(uint32_t* out) {
  const uint32_t lane = threadIdx.x;
  out[lane] = __shfl_xor_sync(kFullMask, lane, 5);
  out[32 + lane] = __shfl_up_sync(kFullMask, lane, 3);
  out[64 + lane] = __shfl_down_sync(kFullMask, lane, 3);
  out[96 + lane] = __shfl_sync(kFullMask, lane, 7 * lane % 32);
  out[128 + lane] = __ballot_sync(kFullMask, lane % 3 == 0) >> lane & 1;
}

// Copies of 4, 8 and 16 bytes of which none, some or all are read.
__global__ void copy_probe(const uint32_t* source, uint32_t* out) {
  SHARED(uint32_t, tile, [5][4]);
  const uint32_t lane = threadIdx.x;
  if (lane < 20) tile[lane / 4][lane % 4] = 9;
  __syncthreads();
  if (lane == 0) cp_async<16>(tile[0], source, 0);
  if (lane == 1) cp_async<16>(tile[1], source, 12);
  if (lane == 2) cp_async<16>(tile[2], source);
  if (lane == 3) cp_async<8>(tile[3], source, 4);
  if (lane == 4) cp_async<4>(tile[4], source);
  cp_async_commit();
  cp_async_wait<0>();
  __syncthreads();
  if (lane < 20) out[lane] = tile[lane / 4][lane % 4];
}

// The bits of 1 + i / 32 ulp of the narrow type.
__global__ void round_probe(uint32_t* out) {
  const uint32_t lane = threadIdx.x;
  bf16 b;
  f16 h;
  narrow(1.0f + static_cast<float>(lane) * 0x1p-12f, b);
  narrow(1.0f + static_cast<float>(lane) * 0x1p-15f, h);
  out[lane] = b.bits;
  out[32 + lane] = h.bits;
  out[64 + lane] = to_tf32(1.0f + static_cast<float>(lane) * 0x1p-15f) >> 13;
}

// ---- Running them -----------------------------------------------------------------------------

#if defined(__CUDACC__)
template <class T>
struct Memory {
  T* data;
  size_t count;
  explicit Memory(const std::vector<T>& from) : count(from.size()) {
    check_cuda(cudaMalloc(&data, count * sizeof(T)), "cudaMalloc");
    check_cuda(cudaMemcpy(data, from.data(), count * sizeof(T), cudaMemcpyDefault), "cudaMemcpy");
  }
  ~Memory() { cudaFree(data); }
  std::vector<T> get() const {
    std::vector<T> to(count);
    check_cuda(cudaMemcpy(to.data(), data, count * sizeof(T), cudaMemcpyDefault), "cudaMemcpy");
    return to;
  }
};
#else
template <class T>
struct Memory {
  std::vector<T> values;
  T* data;
  explicit Memory(const std::vector<T>& from) : values(from), data(values.data()) {}
  std::vector<T> get() const {
    shim::synchronize();
    return values;
  }
};
#endif

template <class T, class... P>
std::vector<T> ask(size_t count, unsigned blocks, void (*kernel)(P...), const auto&... args) {
  const Memory<T> out(std::vector<T>(count, T(7777)));
  launch({"lane map", nullptr, blocks, 32}, kernel, args..., out.data);
  return out.get();
}

struct Text {
  std::ostringstream all;

  void line(const std::string& name, const uint32_t* values, size_t count) {
    all << name << ":";
    for (size_t i = 0; i < count; ++i) all << " " << values[i];
    all << "\n";
  }
  void table(const char* name, const std::vector<std::string>& rows,
             const std::vector<uint32_t>& values) {
    const size_t each = values.size() / rows.size();
    for (size_t i = 0; i < rows.size(); ++i) line(cat(name, " ", rows[i]), &values[i * each], each);
  }
  // For each element of a: the first sum it reaches (4 lane + register), then the elements of b.
  void product(const char* name, const std::vector<float>& sums) {
    for (size_t element = 0; element * 128 < sums.size(); ++element) {
      std::vector<uint32_t> found;
      for (uint32_t i = 0; i < 128; ++i) {
        const auto code = static_cast<uint32_t>(sums[element * 128 + i]);
        if (code == 0) continue;
        if (found.empty()) found.push_back(i);
        found.push_back(code - 1);
      }
      line(cat(name, " a", element), found.data(), found.size());
    }
  }
};

}  // namespace

std::string lane_maps() {
  Text t;
  const std::vector<std::string> halves{"r0.lo", "r0.hi", "r1.lo", "r1.hi",
                                        "r2.lo", "r2.hi", "r3.lo", "r3.hi"};
  t.table("ldmatrix.x4", halves, ask<uint32_t>(256, 1, ldmatrix_probe, false));
  t.table("ldmatrix.x4.trans", halves, ask<uint32_t>(256, 1, ldmatrix_probe, true));
  t.table("warp", {"shfl.xor 5", "shfl.up 3", "shfl.down 3", "shfl.idx 7i", "ballot i%3"},
          ask<uint32_t>(160, 1, shuffle_probe));
  const Memory<uint32_t> source({1, 2, 3, 4});
  t.table("cp.async", {"0 of 16", "12 of 16", "16", "4 of 8", "4"},
          ask<uint32_t>(20, 1, copy_probe, static_cast<const uint32_t*>(source.data)));
  t.table("round", {"bf16", "f16", "tf32"}, ask<uint32_t>(96, 1, round_probe));
  t.product("mma.m16n8k16.bf16", ask<float>(256 * 128, 256, mma16_probe<bf16>));
  t.product("mma.m16n8k16.f16", ask<float>(256 * 128, 256, mma16_probe<f16>));
  t.product("mma.m16n8k8.tf32", ask<float>(128 * 128, 128, mma8_probe));
  return t.all.str();
}

}  // namespace fastnn::cuda

#if defined(__CUDACC__)
#include <cstdio>

int main() {
  cudaDeviceProp properties;
  fastnn::cuda::check_cuda(cudaGetDeviceProperties(&properties, 0), "cudaGetDeviceProperties");
  std::printf("# source: %s\n%s", properties.name, fastnn::cuda::lane_maps().c_str());
}
#endif
