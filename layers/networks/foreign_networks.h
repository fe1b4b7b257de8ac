// Checkpoints that atrous does not run: what they are, by the names of their keys.
#pragma once

#include <string>

#include "layers/graph/state_dict.h"

namespace atrous {

// "PSPNet on ResNet-50 (semseg)", "a ResNet-50 that classifies pictures: no segmentation head"; empty where
// no signature fits. A family that atrous learns to run loses its line in the table.
std::string describe_foreign_network(const StateDict&);

}  // namespace atrous
