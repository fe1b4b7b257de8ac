// What lies between the graphs of two stages, on a device, compared with its definition.
#pragma once

#include <vector>

#include "layers/base/tensor.h"
#include "runtime/engine/compare.h"
#include "runtime/segment/model.h"

namespace atrous {

// The regions that each head takes (torchvision's roi_heads.box_roi_pool and mask_roi_pool), cut from the
// maps that the device makes of a normalised picture, against layers/ops/roi_align.h on the same maps: places
// all over the picture and beyond its edges, from all maps. Empty for a model of one stage, and on the
// processor, whose graphs have one way to take them. Errors as Session::run().
std::vector<LayerDifference> compare_regions(const Model&, ConstView picture, const SessionOptions& = {});

}  // namespace atrous
