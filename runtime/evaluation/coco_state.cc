#include "runtime/evaluation/coco_state.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <iterator>
#include <limits>
#include <string_view>
#include <utility>

#include "layers/base/error.h"
#include "layers/base/naming.h"
#include "runtime/instances/coco_mask.h"
#include "weights_tools/io/sha256.h"

namespace atrous {

namespace {

constexpr std::string_view detections_kind = "detections";
constexpr std::int64_t any_integer = std::numeric_limits<std::int64_t>::max();

JsonText state_of(const CocoDetection& d) {
  const CocoBox box = d.box.value_or(CocoBox{});
  return json_list({d.category, state_number(d.score), json_list(box, state_number),
                    d.mask ? JsonText(encode_coco_runs(d.mask->runs)) : JsonText()});
}

}  // namespace

void add_image(DetectedCoco& all, const CocoImage& image, DetectedImage&& one) {
  if (one.failed) {
    all.failed.emplace_back(image.file_name, *std::move(one.failed));
    return;
  }
  std::vector<CocoDetection>& detections = all.results.detections;
  detections.insert(detections.end(), std::make_move_iterator(one.found.begin()),
                    std::make_move_iterator(one.found.end()));
  all.images.push_back(image.id);
  all.other_classes += one.other_classes;
}

void expect_images(const DetectedCoco& all) {
  if (all.images.empty() && !all.failed.empty())
    fail(ErrorCode::malformed, "none of ", all.failed.size(), " images could be evaluated; the first, ",
         all.failed.front().first, ": ", all.failed.front().second);
}

std::string images_identity(std::span<const CocoImage> images) {
  std::string all;
  for (const CocoImage& image : images)
    all += str_cat(image.id, ' ', image.file_name, ' ', image.width, 'x', image.height, '\n');
  return str_cat(images.size(), ", sha256 ", sha256_of_bytes(std::as_bytes(std::span(all))));
}

JournalHead detections_head(const DetectionRun& run, const RunIdentity& identity, const Shard& shard,
                            std::size_t images) {
  return {detections_kind, shard, images, identity,
          json_object({{"model", state_text(run.model)},
                       {"architecture", state_text(run.architecture)},
                       {"annotations", state_text(run.annotations)},
                       {"photos", state_text(run.photos)},
                       {"masks", int{run.masks}},
                       {"by_name", int{run.classes.by_name}},
                       {"categories", json_list(run.classes.category)}})};
}

JsonText detections_record(std::int64_t image, const DetectedImage& one) {
  JsonText out = json_object({{"id", image}, {"took", state_number(one.seconds)}});
  if (one.failed) {
    add_member(out, "failed", state_text(*one.failed));
    return out;
  }
  add_member(out, "other_classes", one.other_classes);
  add_member(out, "found", json_list(one.found, state_of));
  return out;
}

DetectionRun DetectionsReader::run(const Json& head) const {
  const Json& json = member(head, "about");
  DetectionRun run{.model = text(json, "model"),
                   .architecture = text(json, "architecture"),
                   .annotations = text(json, "annotations"),
                   .photos = text(json, "photos"),
                   .masks = integer(json, "masks", 0, 1) == 1,
                   .classes = {}};
  run.classes.by_name = integer(json, "by_name", 0, 1) == 1;
  for (const Json& id : list(json, "categories"))
    run.classes.category.push_back(
        id.is_null() ? std::nullopt : std::optional(integer(id, -any_integer, any_integer, "category")));
  return run;
}

CocoMask DetectionsReader::mask(const Json& json, const CocoImage& image) const {
  if (!json.string()) refuse("a mask is no text of runs");
  CocoMask mask{{}, {}, image.width, image.height};
  std::vector<CocoSpan> spans;
  naming(path, [&] {
    mask.runs = decode_coco_runs(*json.string());
    add_coco_runs(spans, mask.runs, mask.width, mask.height);
  });
  return mask;
}

CocoDetection DetectionsReader::detection(const Json& json, const CocoImage& image,
                                          const DetectionRun& run) const {
  const Json::List* four = json.list();
  if (!four || four->size() != 4) refuse("a detection is no list of four");
  CocoDetection d{image.id, integer((*four)[0], -any_integer, any_integer, "category"),
                  number((*four)[1], "score"), CocoBox{}};
  if (std::ranges::count(run.classes.category, std::optional(d.category)) == 0)
    refuse("category is ", d.category, ", which no class of the model is");
  const Json::List* box = (*four)[2].list();
  if (!box || box->size() != d.box->size()) refuse("a box is no list of four");
  std::ranges::transform(*box, d.box->begin(), [&](const Json& v) { return number(v, "box"); });
  if (!std::isfinite(d.score) || !std::ranges::all_of(*d.box, [](double v) { return std::isfinite(v); }))
    refuse("a detection has a number that is not finite");
  if ((*four)[3].is_null() == run.masks) refuse("a detection has ", run.masks ? "no mask" : "a mask");
  if (run.masks) d.mask = mask((*four)[3], image);
  return d;
}

DetectedImage DetectionsReader::image(const Json& record, const CocoImage& image,
                                      const DetectionRun& run) const {
  if (const std::int64_t id = integer(record, "id", -any_integer, any_integer); id != image.id)
    refuse("has image ", id, " in the place of ", image.id);
  DetectedImage one;
  one.seconds = number(member(record, "took"), "took");
  if (record.find("failed")) {
    one.failed = text(record, "failed");
    return one;
  }
  one.other_classes = static_cast<std::size_t>(integer(record, "other_classes", 0, std::int64_t{1} << 44));
  for (const Json& found : list(record, "found")) one.found.push_back(detection(found, image, run));
  return one;
}

}  // namespace atrous
