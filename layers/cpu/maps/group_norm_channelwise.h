// Group norm along the channels, in two reads of the map. The first takes the moments of every channel in
// chunks of 64 pixels, which stay in the L1 cache: their mean, then the sum and the squares of what is
// beside it, in fp32. The second subtracts the group's mean, scales and shifts.
//
// The chunks' moments are joined in double (Chan, Golub & LeVeque 1979, "Updating formulae and a pairwise
// algorithm for computing sample variances"): of parts with n values, mean m and squares q
//
//   mean = sum of n m / sum of n,   squares = sum of q + sum of n (m - mean)^2
//
// so that nothing cancels where a mean is large beside its variance. Chunks depend on the shape alone.
#pragma once

#include <memory>

#include "layers/cpu/isa.h"
#include "layers/graph/kernel.h"
#include "layers/ops/group_norm.h"

namespace atrous {

std::unique_ptr<Kernel> make_group_norm_channelwise(const GroupNorm&, Isa);

}  // namespace atrous
