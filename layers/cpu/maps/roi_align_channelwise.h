// RoIAlign of many regions on the CPU: all channels of a cell at once, regions among threads.
#pragma once

#include <span>

#include "layers/base/tensor.h"
#include "layers/ops/roi_align.h"

namespace atrous {

// A region and the map that it is cut from.
struct MapRegion {
  Region region;
  int map = 0;
};

// Image n of `out` is region n of its map; layers[m] belongs to maps[m]. Bitwise the same for any number of
// threads. Beyond roi_align_reference's errors: Error(invalid_argument) where there are not as many layers as
// maps, not as many images as regions, or a region names a map that is not there.
void roi_align_channelwise(std::span<const RoiAlign> layers, std::span<const ConstView> maps,
                           std::span<const MapRegion> regions, View out, int threads);

}  // namespace atrous
