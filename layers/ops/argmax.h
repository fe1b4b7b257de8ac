// Argmax: the class of each pixel, the channel with the largest logit; of equal ones the first. A binary
// network has one channel z instead, which stands for the logits 0 and z of two classes: softmax over those
// gives class 1 the probability sigmoid(z).
//
// Source: torch.argmax(x, dim=1).
#pragma once

#include <cstdint>
#include <span>

#include "layers/base/tensor.h"

namespace atrous {

// labels holds n * h * w bytes, row by row. Error(limit) for more than 256 channels.
void argmax_reference(ConstView in, std::span<std::uint8_t> labels);

// Of one channel: 1 where the logit is above the threshold, 0 elsewhere. Error(invalid_argument) for more.
void threshold_reference(ConstView in, float threshold, std::span<std::uint8_t> labels);

}  // namespace atrous
