// Weights that wait in their file or for their factors, some output channels at a time.
#pragma once

#include <cstdint>

#include "layers/ops/filter.h"

namespace atrous {

// Of pending weights those of the outputs [first, last), read and multiplied, to to[0] and what follows; by
// any thread. Error(not_finite) for weights from a file that are infinite or no numbers, Error(io) where the
// file has become shorter.
void read_rows(const Filter&, std::int64_t first, std::int64_t last, float* to);

}  // namespace atrous
