// Position attention as two matrix products, a block of rows of the pairs' matrix at a time, so that it is
// never there as a whole:
//
//   fits  = query rows times key transposed            by gemm_tile.h
//   shares = exp(fits - the block's largest)           and their sum
//   mixed rows = shares times value                    by gemm_tile.h, fp32
//
// The softmax is over all pairs: a block's rows are scaled by exp(its largest - the largest of all) / the sum
// of all when they are written, which gives what one largest would have given (Milakov & Gimelshein 2018,
// "Online normalizer calculation for softmax"). Blocks depend on the shape and the instruction set alone.
#pragma once

#include <memory>

#include "layers/cpu/isa.h"
#include "layers/graph/kernel.h"
#include "layers/ops/position_attention.h"

namespace atrous {

std::unique_ptr<Kernel> make_position_attention_blocked(const PositionAttention&, Isa);

}  // namespace atrous
