#include "layers/cpu/maps/roi_align_channelwise.h"

#include <algorithm>
#include <vector>

#include "layers/cpu/parallel.h"

namespace atrous {

namespace {

// The layer's sums in its own order, but for a product of weights that is taken once for all channels. The
// compiler turns the loop over channels into vectors: neither operand overlaps the output.
void align_region(const RoiAlign& layer, ConstView map, const Region& region, View out) {
  const RoiAxis rows = roi_axis(region.y1 * layer.scale, region.y2 * layer.scale, layer.size);
  const RoiAxis columns = roi_axis(region.x1 * layer.scale, region.x2 * layer.scale, layer.size);
  const auto count = static_cast<float>(layer.samples * layer.samples);
  const std::int64_t channels = map.shape.c;
  for (std::int64_t p = 0; p < layer.size; ++p)
    for (std::int64_t q = 0; q < layer.size; ++q) {
      float* __restrict to = out.pixel(0, p, q);
      std::fill_n(to, channels, 0.0F);
      for (std::int64_t i = 0; i < layer.samples; ++i)
        for (std::int64_t j = 0; j < layer.samples; ++j) {
          const RoiTaps y = rows.taps(p, i, layer.samples, map.shape.h);
          const RoiTaps x = columns.taps(q, j, layer.samples, map.shape.w);
          const float* a = map.pixel(0, y.first, x.first);
          const float* b = map.pixel(0, y.first, x.second);
          const float* c = map.pixel(0, y.second, x.first);
          const float* d = map.pixel(0, y.second, x.second);
          const float wa = y.weight_first * x.weight_first, wb = y.weight_first * x.weight_second;
          const float wc = y.weight_second * x.weight_first, wd = y.weight_second * x.weight_second;
          for (std::int64_t k = 0; k < channels; ++k) to[k] += wa * a[k] + wb * b[k] + wc * c[k] + wd * d[k];
        }
      for (std::int64_t k = 0; k < channels; ++k) to[k] /= count;
    }
}

}  // namespace

void roi_align_channelwise(std::span<const RoiMap<ConstView>> maps, std::span<const MapRegion> regions,
                           View out, int threads) {
  std::vector<RoiMap<Shape>> shapes;
  for (const auto& [layer, map] : maps) shapes.push_back({layer, map.shape});
  check_roi_align(shapes, regions, out.shape);
  if (regions.empty()) return;
  check(out, "roi_align's output");
  for (const auto& [layer, map] : maps) check(map, "roi_align's map");
  parallel_tasks(threads, std::ssize(regions), [&](std::int64_t n, int) {
    const MapRegion& region = regions[static_cast<std::size_t>(n)];
    const auto& [layer, map] = maps[static_cast<std::size_t>(region.map)];
    align_region(layer, map, region.region,
                 {out.pixel(n, 0, 0), {1, out.shape.h, out.shape.w, out.shape.c}, out.pitch});
  });
}

}  // namespace atrous
