// What a model of two stages has beside its first graph.
#pragma once

#include <memory>

#include "layers/networks/two_stage.h"
#include "runtime/engine/program.h"

namespace atrous {

// The graphs behind the first of a network of two stages, made ready; what they are and what lies between
// them says `how`, whose own graphs are empty.
struct SecondStage {
  TwoStage how;
  std::shared_ptr<const Program> box_maps, box_head, mask_head;  // null where there is none
};

}  // namespace atrous
