// DoubledConv2d without the grown map: four 2x2 convolutions of the small one (row_convolution.h), each of
// which makes every second pixel of every second row. 4 products instead of 9, and the map of four times the
// size is not written.
//
// For layers of few outputs, as at the end of U-Net's decoder.
#pragma once

#include <memory>

#include "layers/cpu/isa.h"
#include "layers/graph/kernel.h"
#include "layers/ops/doubled_conv2d.h"

namespace atrous {

// Null where Winograd's doubled tiles (conv2d_winograd.h) save more: for many outputs of 16 inputs and more.
std::unique_ptr<Kernel> make_doubled_conv2d_phases(const DoubledConv2d&, Isa);

}  // namespace atrous
