// Conv2d of maps and weights in 8 bits (layers/ops/quantised_conv2d.h) as an implicit matrix product.
#pragma once

#include <memory>
#include <span>

#include "layers/cpu/conv/packed_conv2d.h"
#include "layers/graph/kernel.h"
#include "layers/ops/quantised_conv2d.h"

namespace atrous {

// Of weights packed as i8, and so of a multiple of four input channels. in: u8; the residual, if there is
// one, and out: u8 or f32. dot: whether to use the processor's instruction, where there is one. Null for
// other weights, and for sums that may not fit.
std::unique_ptr<Kernel> make_conv2d_implicit_gemm_int8(std::shared_ptr<const PackedConv2d>,
                                                       std::span<const MapType> inputs, const MapType& out,
                                                       bool dot = true);

}  // namespace atrous
