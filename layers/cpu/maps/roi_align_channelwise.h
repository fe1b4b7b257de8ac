// RoIAlign of many regions on the CPU: all channels of a cell at once, regions among threads.
#pragma once

#include <span>

#include "layers/base/tensor.h"
#include "layers/ops/roi_align.h"

namespace atrous {

// Image n of `out` is region n of its map. Bitwise the same for any number of threads. Errors as
// check_roi_align() and, for views, as roi_align_reference().
void roi_align_channelwise(std::span<const RoiMap<ConstView>> maps, std::span<const MapRegion> regions,
                           View out, int threads);

}  // namespace atrous
