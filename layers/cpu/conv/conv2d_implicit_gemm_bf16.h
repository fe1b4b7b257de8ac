// The implicit matrix product (conv2d_implicit_gemm.h) in bfloat16: weights and input in bfloat16, sums in
// fp32, the output in either. 1x1 convolutions of any width are the case of one tap.
//
// Where the processor multiplies pairs of bfloat16 the tile does; elsewhere what is gathered and the weights
// of a panel are widened, once for all of a task's pixels, and the fp32 tile multiplies.
#pragma once

#include <memory>

#include "layers/cpu/conv/packed_conv2d.h"
#include "layers/graph/kernel.h"

namespace atrous {

// `dot` as in bf16_tile.h. Null where the weights are not in bfloat16.
std::unique_ptr<Kernel> make_conv2d_implicit_gemm_bf16(std::shared_ptr<const PackedConv2d>, bool dot = true);

}  // namespace atrous
