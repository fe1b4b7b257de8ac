// What lies between the graphs of a network of two stages (two_stage.h), in numbers. All defaults are
// torchvision 0.14's.
#pragma once

#include <cstdint>
#include <vector>

#include "layers/base/public.h"

namespace ATROUS_PUBLIC atrous {

// What a regression's dx, dy, dw, dh are divided by.
struct BoxWeights {
  float x = 1, y = 1, w = 1, h = 1;
};

struct ProposalOptions {
  std::vector<float> sizes = {32, 64, 128, 256, 512};  // of the anchors, one a map
  std::vector<float> ratios = {0.5F, 1, 2};            // height / width
  std::int64_t candidates = 1000;                      // of a map, at most
  std::int64_t proposals = 1000;                       // of all maps, at most
  float threshold = 0.7F;                              // of the suppression
  float smallest_side = 1e-3F;
};

struct DetectionOptions {
  float score = 0.05F;     // a detection's is above
  float threshold = 0.5F;  // of the suppression
  std::int64_t detections = 100;
  float smallest_side = 1e-2F;
  BoxWeights weights = {10, 10, 5, 5};
};

// The picture's size in the network: scaled so that the shorter side is `shorter`, or as much less as keeps
// the longer side within `longer`.
struct BoundedSides {
  std::int64_t shorter = 800, longer = 1333;
  // Which arithmetic the scale is computed in: torchvision's before 0.18 float32, by reciprocals; then
  // double. 375x500 becomes 799x1066 or 800x1066.
  bool in_double = false;
};

}  // namespace atrous
