// A Conv2d in 8 bits of a map in fp32 (layers/ops/quantised_conv2d.h).
#pragma once

#include <memory>
#include <span>

#include "layers/cpu/conv/packed_conv2d.h"
#include "layers/graph/kernel.h"
#include "layers/ops/quantised_conv2d.h"

namespace atrous {

// in: f32, with the quantisation that it is given. The residual, if there is one, and out: u8 or f32. The map
// is quantised into the workspace and multiplied from there, as make_conv2d_implicit_gemm_int8() does; null
// where that is.
std::unique_ptr<Kernel> make_conv2d_of_floats_int8(std::shared_ptr<const PackedConv2d>,
                                                   std::span<const MapType> inputs, const MapType& out, Isa);

}  // namespace atrous
