// A network of two stages: a trunk that proposes regions, and heads that look at each of them once more
// (Faster R-CNN: Ren et al., NIPS 2015; Mask R-CNN: He et al., ICCV 2017; on a feature pyramid: Lin et al.,
// CVPR 2017). Plain data: the heads' graphs, and what the code between the graphs (runtime/instances) is to
// do. Network::graph is the trunk:
//
//   input     a normalised picture, [1, h, w, 3], both sides multiples of 32
//   outputs   map0 .. map3, the pyramid, finest first, [1, h / 4, w / 4, c] to [1, h / 32, w / 32, c];
//             objectness0 .. objectness4, [., ., ., anchors], and deltas0 .. deltas4, [., ., ., 4 * anchors],
//             of these maps and of one more, half as large as map3
//
// All defaults are torchvision 0.14's.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "layers/graph/graph.h"

namespace atrous {

constexpr int pyramid_maps = 4, proposal_maps = 5;
inline std::string map_name(int i) { return "map" + std::to_string(i); }
inline std::string objectness_name(int i) { return "objectness" + std::to_string(i); }
inline std::string deltas_name(int i) { return "deltas" + std::to_string(i); }

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

struct TwoStage {
  // Of pooled regions, [n, cells, cells, c] to the same; none where the box head takes them as they are.
  std::optional<Graph> box_maps = {};
  // A region a pixel, its cells row by row, [1, n, 1, cells * cells * c]: "classes", [1, n, 1, K], and
  // "deltas", [1, n, 1, 4 * K], the first class being the background.
  Graph box_head = {};
  // Of pooled regions, [n, cells, cells, c]: "masks", logits [n, 2 * cells, 2 * cells, K]. None where there
  // are boxes alone.
  std::optional<Graph> mask_head = {};

  std::int64_t map_channels = 256;
  std::int64_t box_cells = 7, mask_cells = 14;  // a side of a pooled region
  std::int64_t samples = 2;                     // a side of a cell: layers/ops/roi_align.h
  BoundedSides sides = {};
  ProposalOptions proposals = {};
  DetectionOptions detections = {};
};

}  // namespace atrous
