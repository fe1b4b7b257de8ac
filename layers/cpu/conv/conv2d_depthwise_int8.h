// A depthwise Conv2d of maps and weights in 8 bits (layers/ops/quantised_conv2d.h).
#pragma once

#include <memory>

#include "layers/cpu/isa.h"
#include "layers/graph/kernel.h"
#include "layers/ops/quantised_conv2d.h"

namespace atrous {

// in: u8, out: u8 or f32. Null for a layer that is not depthwise, has a residual or no quantised weights.
std::unique_ptr<Kernel> make_conv2d_depthwise_int8(const Conv2d&, std::span<const MapType> inputs,
                                                   const MapType& out, Isa);

}  // namespace atrous
