// A program's graph in Graphviz's language.
#pragma once

#include <string>

#include "runtime/engine/plan.h"

namespace atrous {

// A box for each node that runs: its name, its kernel and its output's shape; an arrow for each value that it
// reads.
std::string graph_in_dot(const Program&, const Plan&);

}  // namespace atrous
