#include "runtime/instances/instances_json.h"

#include <array>

#include "runtime/instances/coco_mask.h"

namespace atrous {

namespace {

// left, top, width, height.
std::array<double, 4> coco_box_of(const Box& box) {
  const auto x = static_cast<double>(box.x1), y = static_cast<double>(box.y1);
  return {x, y, static_cast<double>(box.x2) - x, static_cast<double>(box.y2) - y};
}

}  // namespace

std::vector<JsonText> instances_json(const Instances& instances, const Model& model, std::string_view file,
                                     std::int64_t image_id) {
  std::vector<JsonText> all;
  for (std::size_t i = 0; i < instances.found.size(); ++i) {
    const Instance& one = instances.found[i];
    JsonText record = json_object({{"image_id", image_id},
                                   {"category_id", one.label},
                                   {"bbox", json_list(coco_box_of(one.box))},
                                   {"score", static_cast<double>(one.score)},
                                   {"category", model.classes[static_cast<std::size_t>(one.label)]},
                                   {"file", file}});
    if (model.has_masks()) {
      add_member(record, "segmentation",
                 json_object({{"size", json_list(std::array{instances.height, instances.width})},
                              {"counts", encode_coco_runs(pasted_runs(instances, i))}}));
    }
    all.push_back(std::move(record));
  }
  return all;
}

}  // namespace atrous
