#include "runtime/evaluation/coco_state.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "layers/base/error.h"
#include "layers/base/naming.h"
#include "runtime/evaluation/run_state.h"
#include "runtime/instances/coco_mask.h"

namespace atrous {

namespace {

constexpr std::string_view detections_kind = "atrous_detections";
constexpr int detections_version = 1;

JsonText state_of(const CocoDetection& d) {
  const CocoBox box = d.box.value_or(CocoBox{});
  return json_list({d.category, state_number(d.score), json_list(box, state_number),
                    d.mask ? JsonText(encode_coco_runs(d.mask->runs)) : JsonText()});
}

struct DetectionsReader : StateReader {
  CocoMask mask(const Json& json, const CocoImage& image) const {
    if (!json.string()) refuse("a mask is no text of runs");
    CocoMask mask{{}, {}, image.width, image.height};
    std::vector<CocoSpan> spans;
    naming(path, [&] {
      mask.runs = decode_coco_runs(*json.string());
      add_coco_runs(spans, mask.runs, mask.width, mask.height);
    });
    return mask;
  }

  CocoDetection detection(const Json& json, const CocoImage& image, const CocoClassMap& classes) const {
    const Json::List* four = json.list();
    if (!four || four->size() != 4) refuse("a detection is no list of four");
    constexpr auto any = std::numeric_limits<std::int64_t>::max();
    CocoDetection d{image.id, integer((*four)[0], -any, any, "category"), number((*four)[1], "score"),
                    CocoBox{}};
    if (std::ranges::count(classes.category, std::optional(d.category)) == 0)
      refuse("category is ", d.category, ", which no class of the model is");
    const Json::List* box = (*four)[2].list();
    if (!box || box->size() != d.box->size()) refuse("a box is no list of four");
    std::ranges::transform(*box, d.box->begin(), [&](const Json& v) { return number(v, "box"); });
    if (!std::isfinite(d.score) || !std::ranges::all_of(*d.box, [](double v) { return std::isfinite(v); }))
      refuse("a detection has a number that is not finite");
    if (!(*four)[3].is_null()) d.mask = mask((*four)[3], image);
    return d;
  }

  void image(const Json& json, const CocoImage& image, const CocoClassMap& classes,
             DetectedCoco& found) const {
    const Json* failed = json.find("failed");
    if (failed) {
      if (!failed->string()) refuse("failed is not a sentence");
      found.failed.emplace_back(image.file_name, *failed->string());
      return;
    }
    if (!json.list()) refuse("an image is neither a list of detections nor failed");
    std::vector<CocoDetection>& all = found.results.detections;
    for (const Json& d : *json.list()) {
      all.push_back(detection(d, image, classes));
      if (all.back().mask.has_value() != all.front().mask.has_value())
        refuse("some detections have masks and others do not");
    }
    found.images.push_back(image.id);
  }
};

}  // namespace

void save_detections(const std::string& path, const RunIdentity& identity, std::span<const CocoImage> images,
                     const DetectedCoco& found) try {
  const std::size_t count = std::min(images.size(), found.images.size() + found.failed.size());
  std::size_t image = 0, failure = 0, detection = 0;
  const std::vector<CocoDetection>& all = found.results.detections;
  const auto image_json = [&](const CocoImage& one) {
    if (image == found.images.size() || found.images[image] != one.id)
      return json_object({{"failed", found.failed.at(failure++).second}});
    ++image;
    const std::size_t first = detection;
    while (detection < all.size() && all[detection].image == one.id) ++detection;
    return json_list(std::span(all).subspan(first, detection - first), state_of);
  };
  write_state(path, detections_kind, detections_version,
              json_object({{"identity", state_identity(identity)},
                           {"seconds", state_number(found.seconds)},
                           {"other_classes", found.other_classes},
                           {"images", json_list(images.first(count), image_json)}}));
} catch (...) {
  rethrow_as_error();
}

DetectedCoco load_detections(const std::string& path, const RunIdentity& identity,
                             std::span<const CocoImage> images, const CocoClassMap& classes) try {
  const DetectionsReader reader{{path}};
  const Json json = reader.read(detections_kind, detections_version);
  const Json& state = reader.member(json, "state");
  reader.compare_identity(state, identity);
  DetectedCoco found;
  found.seconds = reader.number(reader.member(state, "seconds"), "seconds");
  found.other_classes = static_cast<std::size_t>(
      reader.integer(reader.member(state, "other_classes"), 0, std::int64_t{1} << 44, "other_classes"));
  const Json::List& all = reader.list(state, "images");
  if (all.size() > images.size())
    reader.refuse("counts ", all.size(), " images, the dataset has ", images.size());
  for (std::size_t i = 0; i < all.size(); ++i) reader.image(all[i], images[i], classes, found);
  return found;
} catch (...) {
  rethrow_as_error();
}

}  // namespace atrous
