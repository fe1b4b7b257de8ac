// The expansion and the depthwise convolution of an inverted residual in bands: some channels of some rows
// are expanded into a buffer that stays in the cache, and the depthwise convolution reads them from there.
// Rows that two bands need are expanded twice.
#pragma once

#include <memory>

#include "layers/cpu/isa.h"
#include "layers/expand_depthwise.h"
#include "layers/kernel.h"

namespace atrous {

std::unique_ptr<Kernel> make_expand_depthwise_banded(const ExpandDepthwise&, Isa);

}  // namespace atrous
