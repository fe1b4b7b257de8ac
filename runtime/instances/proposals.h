// Proposals: from a region proposal network's maps to the boxes worth a second look (Ren et al., Faster
// R-CNN, NIPS 2015; on a feature pyramid: Lin et al., CVPR 2017). As torchvision 0.14 has them:
// AnchorGenerator in models/detection/anchor_utils.py, RegionProposalNetwork.filter_proposals in rpn.py.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "layers/base/tensor.h"
#include "runtime/instances/boxes.h"

namespace atrous {

// One map's results, NHWC, of one image: objectness [1, h, w, A] before the sigmoid, deltas [1, h, w, 4 A].
struct ProposalMap {
  ConstView objectness, deltas;
};

struct Candidate {
  int map = 0;
  std::int64_t anchor = 0;  // among the anchors of its map
  float logit = 0;
  Box box;  // clipped to the image
};

struct Proposal {
  Box box;
  float score = 0;
};

// The anchors round the origin, one a ratio r: sides size / sqrt(r) and size * sqrt(r), corners rounded to
// whole pixels, halves to the even one. Error(invalid_argument) for a size or ratio that is not positive.
std::vector<Box> base_anchors(float size, std::span<const float> ratios);

// Of each map the anchors with the highest logits, falling, equal ones by their place; decoded and clipped to
// the image. Anchor (row, column, ratio) is the base anchor moved by (column, row) times the map's stride,
// which is padded / map in whole numbers, for each axis its own. `padded` is the network's input, `image` the
// picture in it. Error(invalid_argument) for maps of other shapes than the options say; Error(not_finite)
// where a logit is not a number.
std::vector<Candidate> proposal_candidates(std::span<const ProposalMap> maps, Extent padded, Extent image,
                                           const ProposalOptions& options = {});

// The candidates without those too small, after suppression within each map: the best of them by falling
// score, which is the logit's sigmoid.
std::vector<Proposal> select_proposals(std::span<const Candidate> candidates,
                                       const ProposalOptions& options = {});

}  // namespace atrous
