// A kernel of fp32 for maps in bfloat16 or 8 bits: what it reads is widened, what it writes is rounded.
#pragma once

#include <memory>
#include <vector>

#include "layers/cpu/isa.h"
#include "layers/graph/kernel.h"

namespace atrous {

// `inputs`, `output`: of the maps that it is given. Maps of fp32 go to the kernel as they are.
std::unique_ptr<Kernel> make_widened(std::unique_ptr<Kernel>, std::vector<MapType> inputs,
                                     const MapType& output, Isa);

}  // namespace atrous
