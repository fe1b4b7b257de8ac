// The arena that a plan lays out (runtime/engine/plan.h), drawn: time to the right, a node after the other;
// bytes downwards.
#pragma once

#include <string>

#include "runtime/engine/plan.h"

namespace atrous {

// An SVG of two pictures on one scale. Before: every map in memory of its own while it is needed, placed as
// the plan does. After: the plan, where branches lie in their concatenation and sums over their residuals,
// and the kernels' workspace behind.
std::string arena_in_svg(const Program&, const Plan&);

}  // namespace atrous
