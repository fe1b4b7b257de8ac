// Half precision for storage: IEEE 754 binary16, half the bytes, 11 significant bits. Every half is a float
// exactly, so what is read back is what was stored; only storing rounds.
#pragma once

#include <cstdint>

#include "layers/graph/state_dict.h"

namespace atrous {

// Rounded to nearest, ties to even, subnormals kept; NaN stays NaN. Beyond 65504 (from 65520 on) it is
// infinite, as in IEEE 754.
std::uint16_t to_half(float);

// The state dict with its fp32 tensors as halves, the others as they are. Error(unsupported), naming the
// tensor and the value, for a finite value that no half can hold.
StateDict in_half_precision(const StateDict&);

}  // namespace atrous
