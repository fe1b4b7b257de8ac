// Mul of a map in 8 bits by a gate of one fp32 pixel an image, as squeeze-and-excitation has it.
#pragma once

#include <memory>

#include "layers/cpu/isa.h"
#include "layers/graph/kernel.h"

namespace atrous {

// in: u8, and the gate: f32, [n, 1, 1, channels]. out: u8. To the bit what dequantise(), the product and
// quantise() give (layers/base/quantisation.h). Error(invalid_argument) for a gate of another shape.
std::unique_ptr<Kernel> make_gate_int8(Isa);

}  // namespace atrous
