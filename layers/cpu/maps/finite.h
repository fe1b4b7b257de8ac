// Whether values overflowed on their way through a network.
#pragma once

#include "layers/base/tensor.h"
#include "layers/cpu/isa.h"

namespace atrous {

// Whether no value of the view is infinite or a NaN. Reads each value once, in full vectors where the view is
// dense: some microseconds for the logits of a photo.
bool all_finite(Isa, ConstView);

}  // namespace atrous
