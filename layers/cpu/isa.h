// Which instruction sets this binary holds kernels for, and which of them this machine runs.
//
// Every kernel file is compiled once per instruction set by Highway's foreach_target; the choice among the
// results is made here, at run time, so that one binary is fast on new machines and never dies of an illegal
// instruction on old ones.
#pragma once

#include <optional>
#include <span>
#include <string_view>

#include "layers/base/public.h"

namespace ATROUS_PUBLIC atrous {

enum class Isa { scalar, sse4, avx2, avx512, neon, wasm };
std::string_view name_of(Isa);

// Those this machine can run, best first; never empty.
std::span<const Isa> supported_isas();

// By name; Error(invalid_argument) listing the supported ones if it is unknown or not supported here.
Isa isa_from_name(std::string_view name);

}  // namespace atrous
