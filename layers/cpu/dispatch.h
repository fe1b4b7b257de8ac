// The choice among the targets that foreach_target compiled, for the HWY_ONCE part of a kernel file.
//
// Usage:  return ATROUS_FOR_ISA(isa, gemm_tiles);   with gemm_tiles defined in namespace HWY_NAMESPACE.
// It must be a macro: the targets differ in their namespaces, and a namespace cannot be an argument.
#pragma once

#include "layers/cpu/isa.h"

#if HWY_ARCH_ARM_A64
#define ATROUS_BASELINE N_NEON
#elif HWY_ARCH_WASM
#define ATROUS_BASELINE N_WASM
#elif HWY_BROKEN_EMU128
#define ATROUS_BASELINE N_SCALAR
#else
#define ATROUS_BASELINE N_EMU128
#endif

#if HWY_ARCH_X86
#define ATROUS_FOR_ISA(isa, name)      \
  ((isa) == Isa::avx512 ? N_AVX3::name \
   : (isa) == Isa::avx2 ? N_AVX2::name \
   : (isa) == Isa::sse4 ? N_SSE4::name \
                        : ATROUS_BASELINE::name)
#else
#define ATROUS_FOR_ISA(isa, name) (static_cast<void>(isa), ATROUS_BASELINE::name)
#endif
