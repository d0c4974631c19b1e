// Which instruction sets this machine has, and how large its caches are.
#include "fastnn/isa.h"

#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <cstring>

#include "fastnn/error.h"

#ifdef FASTNN_X86
#include <cpuid.h>
#ifdef __linux__
#include <sys/syscall.h>
#endif
#endif

namespace fastnn {
namespace {

constexpr const char* kNames[kIsaLevels] = {"reference", "baseline",    "avx2",
                                            "avx512",    "avx512_bf16", "amx"};

#ifdef FASTNN_X86
struct Regs {
  unsigned a = 0, b = 0, c = 0, d = 0;
};

Regs cpuid(unsigned leaf, unsigned sub = 0) {
  Regs r;
  if (!__get_cpuid_count(leaf, sub, &r.a, &r.b, &r.c, &r.d)) return {};
  return r;
}

// The register states that the operating system saves: an AVX-512 CPU under a kernel or hypervisor
// that does not save zmm registers must not use them.
uint64_t xcr0() {
  uint32_t lo, hi;
  __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
  return static_cast<uint64_t>(hi) << 32 | lo;
}

bool bits(uint64_t value, uint64_t mask) { return (value & mask) == mask; }

// Linux wants to be asked for the tile registers, once for a process and all that it forks.
bool may_use_tiles() {
#ifdef __linux__
  constexpr long kRequestPermission = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}

Isa detect() {
  constexpr unsigned kFma = 1u << 12, kOsxsave = 1u << 27, kAvx = 1u << 28, kF16c = 1u << 29;
  constexpr unsigned kAvx2 = 1u << 5;
  constexpr unsigned kAvx512 = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31;  // F, DQ, BW, VL
  constexpr unsigned kBf16 = 1u << 5;
  constexpr unsigned kAmx = 1u << 22 | 1u << 24;  // BF16, TILE
  constexpr uint64_t kYmmState = 0x6, kZmmState = 0xe6, kTileState = 0x60000;

  if (!bits(cpuid(1).c, kFma | kOsxsave | kAvx | kF16c)) return Isa::baseline;
  const uint64_t saved = xcr0();
  const Regs seven = cpuid(7);
  if (!bits(saved, kYmmState) || !bits(seven.b, kAvx2)) return Isa::baseline;
  if (!bits(saved, kZmmState) || !bits(seven.b, kAvx512)) return Isa::avx2;
  const bool bf16 = seven.a >= 1 && bits(cpuid(7, 1).a, kBf16);
  if (!bf16) return Isa::avx512;
  const bool amx = bits(saved, kTileState) && bits(seven.d, kAmx) && may_use_tiles();
  return amx ? Isa::amx : Isa::avx512_bf16;
}

CacheSizes probe_caches() {
  CacheSizes sizes{0, 0, 0};
  const bool amd_leaf = cpuid(0x80000000u).a >= 0x8000001du && bits(cpuid(0x80000001u).c, 1u << 22);
  const unsigned leaf = amd_leaf ? 0x8000001du : 4u;
  for (unsigned sub = 0; sub < 16; ++sub) {
    const Regs r = cpuid(leaf, sub);
    const unsigned type = r.a & 31, level = r.a >> 5 & 7;
    if (type == 0) break;
    if (type == 2) continue;  // instructions only
    const long bytes = static_cast<long>((r.b >> 22) + 1) * ((r.b >> 12 & 0x3ff) + 1) *
                       ((r.b & 0xfff) + 1) * (static_cast<long>(r.c) + 1);
    if (level == 1) sizes.l1d = bytes;
    if (level == 2) sizes.l2 = bytes;
    if (level == 3) sizes.l3 = bytes;
  }
  return sizes;
}
#else
Isa detect() { return Isa::baseline; }

CacheSizes probe_caches() {
#ifdef _SC_LEVEL1_DCACHE_SIZE
  return {sysconf(_SC_LEVEL1_DCACHE_SIZE), sysconf(_SC_LEVEL2_CACHE_SIZE),
          sysconf(_SC_LEVEL3_CACHE_SIZE)};
#else
  return {0, 0, 0};
#endif
}
#endif

// Virtual machines hide caches (0) or report the whole socket's to two cores (hundreds of MiB).
long sane(long bytes, long low, long high, long fallback) {
  if (bytes <= 0) return fallback;
  return bytes < low ? low : bytes > high ? high : bytes;
}

std::string available_names() {
  std::string list;
  for (int i = 0; i <= static_cast<int>(best_isa()); ++i) list += cat(i ? ", " : "", kNames[i]);
  return list;
}

Isa from_environment() {
  const char* wanted = std::getenv("FASTNN_ISA");
  if (!wanted || !*wanted) return best_isa();
  for (int i = 0; i <= static_cast<int>(best_isa()); ++i)
    if (!std::strcmp(wanted, kNames[i])) return static_cast<Isa>(i);
  bool known = false;
  for (const char* name : kNames) known = known || !std::strcmp(wanted, name);
  fail(ErrorKind::value, "FASTNN_ISA: ", known ? "this machine has no level '" : "unknown level '",
       wanted, "'; available here: ", available_names());
}

constexpr int kUnset = -1;
std::atomic<int> active{kUnset};

}  // namespace

const char* name_of(Isa isa) { return kNames[static_cast<int>(isa)]; }

Isa best_isa() {
  static const Isa best = detect();
  return best;
}

bool isa_available(Isa isa) { return isa >= Isa::reference && isa <= best_isa(); }

Isa active_isa() {
  int level = active.load(std::memory_order_relaxed);
  if (level == kUnset) {
    int expected = kUnset;
    level = static_cast<int>(from_environment());
    if (!active.compare_exchange_strong(expected, level)) level = expected;  // a set_isa came first
  }
  return static_cast<Isa>(level);
}

void set_isa(Isa isa) {
  const int level = static_cast<int>(isa);
  if (!isa_available(isa))
    fail(ErrorKind::value, "set_isa: level ",
         level >= 0 && level < kIsaLevels ? cat("'", kNames[level], "'") : cat(level),
         " is not available on this machine; available: ", available_names());
  active.store(level);
}

const CacheSizes& cache_sizes() {
  static const CacheSizes sizes = [] {
    const CacheSizes found = probe_caches();
    constexpr long KiB = 1024, MiB = 1024 * KiB;
    return CacheSizes{sane(found.l1d, 16 * KiB, 128 * KiB, 32 * KiB),
                      sane(found.l2, 256 * KiB, 4 * MiB, 512 * KiB),
                      sane(found.l3, 1 * MiB, 32 * MiB, 8 * MiB)};
  }();
  return sizes;
}

}  // namespace fastnn
