// RoIAlign: a fixed grid of values out of each region of a map (He et al., Mask R-CNN, ICCV 2017, section 3).
//
// A region (x1, y1, x2, y2) times `scale` is x0 = x1, y0 = y1, w = max(x2 - x1, 1), h = max(y2 - y1, 1); its
// grid has size x size cells of h / size by w / size. Cell (p, q) is the mean of samples^2 values of the map
// at
//
//   y = y0 + (p + (i + 0.5) / samples) * h / size      x = x0 + (q + (j + 0.5) / samples) * w / size
//
// each interpolated between the four pixels round it; a pixel's centre is its index. A place beyond [-1, H]
// or
// [-1, W] counts 0, one nearer is held to the map's edge. Source: torchvision's ops.roi_align, aligned =
// False.
//
// No node of a graph: the regions come from outside it, between two of a network's graphs.
#pragma once

#include <cstdint>
#include <span>

#include "layers/base/tensor.h"

namespace atrous {

struct RoiAlign {
  std::int64_t size = 7;     // cells a side
  std::int64_t samples = 2;  // of a cell, a side
  float scale = 1;           // of the map to the picture that the regions lie in
};

// One region; `map` holds one image.
struct Region {
  float x1 = 0, y1 = 0, x2 = 0, y2 = 0;
};

// One of several maps that regions are cut from, and how: a view of the map, or its shape.
template <class OfMap>
struct RoiMap {
  RoiAlign layer;
  OfMap map;
};

// A region and the map that it is cut from: its place among them.
struct MapRegion {
  Region region;
  int map = 0;
};

// A place on an axis of `length` pixels: two neighbours and how much of each.
struct RoiTaps {
  std::int64_t first = 0, second = 0;
  float weight_first = 0, weight_second = 0;  // both 0 beyond the map
};
RoiTaps roi_taps(float place, std::int64_t length);

// Where a region begins on an axis, and a cell's length: low, high are its edges times the scale.
struct RoiAxis {
  float start = 0, cell = 0;
  RoiTaps taps(std::int64_t index, std::int64_t sample, std::int64_t samples, std::int64_t length) const {
    const float place = start + static_cast<float>(index) * cell +
                        (static_cast<float>(sample) + 0.5F) * cell / static_cast<float>(samples);
    return roi_taps(place, length);
  }
};
RoiAxis roi_axis(float low, float high, std::int64_t size);

// Error(invalid_argument) unless the map is of one image, `out` is [1, size, size, the map's channels], and
// the layer's numbers are positive.
void check_roi_align(const RoiAlign&, const Shape& map, const Shape& out);

// The same for many regions, image n of `out` being region n. Beyond that Error(invalid_argument) where there
// are not as many images as regions, or a region names a map that is not there.
void check_roi_align(std::span<const RoiMap<Shape>> maps, std::span<const MapRegion> regions,
                     const Shape& out);

// The definition in plain loops.
void roi_align_reference(const RoiAlign&, ConstView map, const Region&, View out);

}  // namespace atrous
