// Encoding along the channels: distances and weighted differences of one pixel and one codeword, a vector of
// channels at a time. The sums over pixels are made in chunks, fp32 within a chunk and double over chunks;
// chunks depend on the shape alone.
#pragma once

#include <memory>

#include "layers/cpu/isa.h"
#include "layers/graph/kernel.h"
#include "layers/ops/encoding.h"

namespace atrous {

std::unique_ptr<Kernel> make_encoding_channelwise(const Encoding&, Isa);

}  // namespace atrous
