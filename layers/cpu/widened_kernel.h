// A kernel of fp32 for maps in bfloat16: what it reads is widened, what it writes is rounded.
#pragma once

#include <memory>
#include <vector>

#include "layers/cpu/isa.h"
#include "layers/graph/kernel.h"

namespace atrous {

// `inputs`, `output`: the element types of the maps that it is given, each f32 or bf16. Maps of fp32 go to
// the kernel as they are.
std::unique_ptr<Kernel> make_widened(std::unique_ptr<Kernel>, std::vector<DType> inputs, DType output, Isa);

}  // namespace atrous
