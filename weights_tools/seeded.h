// Checkpoints out of thin air: a network's state dict with seeded random weights, for benchmarks, tests and a
// first run without a download. The values are plausible (activations neither die nor explode) and mean
// nothing.
#pragma once

#include <cstdint>
#include <string_view>

#include "layers/graph/state_dict.h"

namespace atrous {

struct SeededOptions {
  std::int64_t classes = 21;
  // Channels of a ResNet's stem; everything else scales with it, 64 being torchvision's. For a MobileNetV3
  // the width multiplier is a 64th of it.
  std::int64_t width = 64;
  bool aux = true;  // as torchvision's checkpoints have it, all but LR-ASPP's
  std::uint64_t seed = 1;
};

// architecture: "fcn_" or "deeplabv3_" and "resnet18", "resnet34", "resnet50", "resnet101", "resnet152" or
// "resnet(2,2,3,2)", the blocks of a Bottleneck ResNet; or these or "lraspp_" and "mobilenet_v3_large" or
// "mobilenet_v3_small". The same arguments give the same bytes on every machine. Error(invalid_argument) for
// other names.
StateDict seeded_state(std::string_view architecture, const SeededOptions& = {});

}  // namespace atrous
