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

#include "layers/graph/graph.h"
#include "layers/networks/detection_options.h"
#include "layers/ops/roi_align.h"

namespace atrous {

constexpr int pyramid_maps = 4, proposal_maps = 5;
inline std::string map_name(int i) { return "map" + std::to_string(i); }
inline std::string objectness_name(int i) { return "objectness" + std::to_string(i); }
inline std::string deltas_name(int i) { return "deltas" + std::to_string(i); }

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

  // Of map i of the pyramid: to `cells` a side.
  RoiAlign pooling(std::int64_t cells, int i) const {
    return {cells, samples, 1 / static_cast<float>(4 << i)};
  }
};

}  // namespace atrous
