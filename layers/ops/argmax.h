// Argmax: the class of each pixel, the channel with the largest logit; of equal ones the first.
//
// Source: torch.argmax(x, dim=1).
#pragma once

#include <cstdint>
#include <span>

#include "layers/base/tensor.h"

namespace atrous {

// labels holds n * h * w bytes, row by row. Error(limit) for more than 256 channels.
void argmax_reference(ConstView in, std::span<std::uint8_t> labels);

}  // namespace atrous
