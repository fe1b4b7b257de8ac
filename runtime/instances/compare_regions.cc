#include "runtime/instances/compare_regions.h"

#include <array>
#include <memory>

#include "layers/base/error.h"
#include "layers/graph/device.h"
#include "runtime/segment/second_stage.h"

namespace atrous {

namespace {

struct PyramidHere {
  std::array<ConstAnyView, pyramid_maps> there;
  std::array<ConstView, pyramid_maps> here;
};

std::vector<MapRegion> regions_all_over(float height, float width) {
  constexpr int a_side = 8;
  std::vector<MapRegion> regions;
  for (int i = 0; i < a_side * a_side; ++i) {
    const auto eighths = [](int count, float length) { return static_cast<float>(count) * length / a_side; };
    const float x = eighths(i % a_side, width) - width / 16, y = eighths(i / a_side, height) - height / 16;
    regions.push_back(
        {{x, y, x + eighths(1 + i % 5, width), y + eighths(1 + i % 3, height)}, i % pyramid_maps});
  }
  return regions;
}

LayerDifference compare_head(const char* name, const std::shared_ptr<const Program>& head, bool flat,
                             std::int64_t cells, const TwoStage& how, const PyramidHere& maps,
                             const SessionOptions& options) {
  const Shape& finest = maps.here[0].shape;
  const auto regions = regions_all_over(static_cast<float>(4 * finest.h), static_cast<float>(4 * finest.w));
  const Shape shape{std::ssize(regions), cells, cells, how.map_channels};
  std::array<RoiMap<ConstAnyView>, pyramid_maps> there;
  for (int i = 0; i < pyramid_maps; ++i) {
    const auto m = static_cast<std::size_t>(i);
    there[m] = {how.pooling(cells, i), maps.there[m]};
  }
  Tensor found(flat ? Shape{1, shape.n, 1, cells * cells * shape.c} : shape), expected(shape);
  Session(head, options).run(found.shape(), [&](DeviceQueue& queue, AnyView input) {
    queue.roi_align(there, regions, input);
    queue.download(input, found.view());
  });
  for (std::int64_t n = 0; n < shape.n; ++n) {
    const auto& [region, map] = regions[static_cast<std::size_t>(n)];
    const auto m = static_cast<std::size_t>(map);
    roi_align_reference(there[m].layer, maps.here[m], region,
                        {expected.view().pixel(n, 0, 0), {1, cells, cells, shape.c}, shape.c});
  }
  return {name, "roi_align", shape, difference({found.data(), shape, shape.c}, expected.view())};
}

}  // namespace

std::vector<LayerDifference> compare_regions(const Model& model, ConstView picture,
                                             const SessionOptions& options) try {
  if (!model.second_stage || !model.program->device) return {};
  const auto& [how, box_maps, box_head, mask_head] = *model.second_stage;
  Session trunk(model.program, options);
  trunk.run(image_of(picture, 0));
  PyramidHere maps;
  for (int i = 0; i < pyramid_maps; ++i) {
    maps.there[static_cast<std::size_t>(i)] = trunk.output_on_device(map_name(i));
    maps.here[static_cast<std::size_t>(i)] = trunk.output(map_name(i));
  }
  std::vector<LayerDifference> differences{compare_head("roi_heads.box_roi_pool",
                                                        box_maps ? box_maps : box_head, !box_maps,
                                                        how.box_cells, how, maps, options)};
  if (mask_head)
    differences.push_back(
        compare_head("roi_heads.mask_roi_pool", mask_head, false, how.mask_cells, how, maps, options));
  return differences;
} catch (...) {
  rethrow_as_error();
}

}  // namespace atrous
