#include "layers/ops/roi_align.h"

#include <algorithm>

#include "layers/base/error.h"

namespace atrous {

void roi_align_reference(const RoiAlign& layer, ConstView map, const Region& region, View out) {
  check(map, "roi_align's map");
  check(out, "roi_align's output");
  check_roi_align(layer, map.shape, out.shape);
  const RoiAxis rows = roi_axis(region.y1 * layer.scale, region.y2 * layer.scale, layer.size);
  const RoiAxis columns = roi_axis(region.x1 * layer.scale, region.x2 * layer.scale, layer.size);
  for (std::int64_t p = 0; p < layer.size; ++p)
    for (std::int64_t q = 0; q < layer.size; ++q)
      for (std::int64_t c = 0; c < map.shape.c; ++c) {
        float sum = 0;
        for (std::int64_t i = 0; i < layer.samples; ++i)
          for (std::int64_t j = 0; j < layer.samples; ++j) {
            const RoiTaps y = rows.taps(p, i, layer.samples, map.shape.h);
            const RoiTaps x = columns.taps(q, j, layer.samples, map.shape.w);
            sum += y.weight_first * x.weight_first * map.at(0, y.first, x.first, c) +
                   y.weight_first * x.weight_second * map.at(0, y.first, x.second, c) +
                   y.weight_second * x.weight_first * map.at(0, y.second, x.first, c) +
                   y.weight_second * x.weight_second * map.at(0, y.second, x.second, c);
          }
        out.at(0, p, q, c) = sum / static_cast<float>(layer.samples * layer.samples);
      }
}

RoiTaps roi_taps(float place, std::int64_t length) {
  if (!(place >= -1 && place <= static_cast<float>(length))) return {};
  const float held = std::max(place, 0.0F);
  const auto first = static_cast<std::int64_t>(held);
  if (first >= length - 1) return {length - 1, length - 1, 1, 0};
  const float above = held - static_cast<float>(first);
  return {first, first + 1, 1 - above, above};
}

RoiAxis roi_axis(float low, float high, std::int64_t size) {
  return {low, std::max(high - low, 1.0F) / static_cast<float>(size)};
}

void check_roi_align(const RoiAlign& layer, const Shape& map, const Shape& out) {
  if (layer.size < 1 || layer.samples < 1 || !(layer.scale > 0))
    fail(ErrorCode::invalid_argument, "roi_align: size ", layer.size, ", samples ", layer.samples, ", scale ",
         layer.scale, ": expected positive ones");
  if (map.n != 1 || out != Shape{1, layer.size, layer.size, map.c})
    fail(ErrorCode::invalid_argument, "roi_align of ", layer.size, " x ", layer.size, " cells: the map is ",
         map, ", the output ", out);
}

void check_roi_align(std::span<const RoiMap<Shape>> maps, std::span<const MapRegion> regions,
                     const Shape& out) {
  if (out.n != std::ssize(regions))
    fail(ErrorCode::invalid_argument, "roi_align: ", regions.size(), " regions, but the output is ", out);
  for (const MapRegion& region : regions)
    if (region.map < 0 || region.map >= std::ssize(maps))
      fail(ErrorCode::invalid_argument, "roi_align: a region of map ", region.map, ", but there are ",
           maps.size());
  for (const auto& [layer, map] : maps) check_roi_align(layer, map, {1, out.h, out.w, out.c});
}

}  // namespace atrous
