// Instruction set levels. The active level is chosen once, from cpuid, and may be lowered by
// FASTNN_ISA.
#pragma once

namespace fastnn {

// `reference` runs the straight loops of csrc/cpu/ref; every other level uses csrc/cpu/kernels
// compiled for it.
enum class Isa : int {
  reference = 0,
  baseline = 1,
  avx2 = 2,
  avx512 = 3,
  avx512_bf16 = 4,
  amx = 5
};

constexpr int kIsaLevels = 6;
const char* name_of(Isa isa);
bool isa_available(Isa isa);  // compiled in, and the CPU and the operating system have it
Isa best_isa();               // highest available level
Isa active_isa();             // best_isa(), unless FASTNN_ISA or set_isa lowered it
void set_isa(Isa isa);        // throws Error(value) when unavailable; for tests

struct CacheSizes {
  long l1d, l2, l3;  // bytes per core (l3: whole)
};
const CacheSizes&
cache_sizes();  // from cpuid, with sane defaults where a VM hides or exaggerates them

}  // namespace fastnn
