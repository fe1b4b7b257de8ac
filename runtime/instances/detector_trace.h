// A detector's steps, for comparing them with the publisher's.
#pragma once

#include <array>
#include <vector>

#include "layers/base/tensor.h"
#include "layers/networks/two_stage.h"
#include "runtime/instances/detections.h"
#include "runtime/instances/proposals.h"

namespace atrous {

// What passes between the steps, kept where it is asked for: for comparing them with the publisher's.
struct DetectorTrace {
  Tensor input;
  std::array<Tensor, pyramid_maps> maps;
  std::vector<Candidate> candidates;
  std::vector<Proposal> proposals;
  Tensor pooled;                      // [n, cells, cells, c] of the proposals
  Tensor classes, deltas;             // [n, 1, 1, K], [n, 1, 1, 4 K]
  std::vector<Detection> detections;  // in the resized picture
};

}  // namespace atrous
