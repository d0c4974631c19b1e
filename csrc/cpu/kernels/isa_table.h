// How a driver finds the kernels of the active instruction set level.
//
// A family `foo` declares its table of function pointers, `struct FooKernels`, and says
// FASTNN_KERNELS(FooKernels, foo_kernels). Its source, compiled once per level, defines `const
// FooKernels* foo_kernels()` in `namespace fastnn::FASTNN_ISA_NS`. The driver calls
// `active_foo_kernels()`.
#pragma once

#include "fastnn/isa.h"

#ifdef FASTNN_X86
#define FASTNN_DECLARE_LEVELS(Type, name) \
  namespace baseline {                    \
  const Type* name();                     \
  }                                       \
  namespace avx2 {                        \
  const Type* name();                     \
  }                                       \
  namespace avx512 {                      \
  const Type* name();                     \
  }
#define FASTNN_SELECT_LEVEL(name)                 \
  if (isa >= Isa::avx512) return *avx512::name(); \
  if (isa >= Isa::avx2) return *avx2::name();
#else
#define FASTNN_DECLARE_LEVELS(Type, name) \
  namespace baseline {                    \
  const Type* name();                     \
  }
#define FASTNN_SELECT_LEVEL(name)
#endif

#define FASTNN_KERNELS(Type, name)                 \
  FASTNN_DECLARE_LEVELS(Type, name)                \
  inline const Type& active_##name() {             \
    [[maybe_unused]] const Isa isa = active_isa(); \
    FASTNN_SELECT_LEVEL(name)                      \
    return *baseline::name();                      \
  }

// For what is in FASTNN_BF16_KERNELS: only at the levels that multiply bfloat16; null at the
// others.
#ifdef FASTNN_X86
#define FASTNN_KERNELS_BF16(Type, name)                      \
  namespace avx512_bf16 {                                    \
  const Type* name();                                        \
  }                                                          \
  namespace amx {                                            \
  const Type* name();                                        \
  }                                                          \
  inline const Type* active_##name() {                       \
    const Isa isa = active_isa();                            \
    if (isa >= Isa::amx) return amx::name();                 \
    if (isa >= Isa::avx512_bf16) return avx512_bf16::name(); \
    return nullptr;                                          \
  }
#else
#define FASTNN_KERNELS_BF16(Type, name) \
  inline const Type* active_##name() { return nullptr; }
#endif
