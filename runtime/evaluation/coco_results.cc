#include "runtime/evaluation/coco_results.h"

#include <algorithm>
#include <cmath>

#include "layers/base/error.h"
#include "runtime/evaluation/coco_records.h"
#include "weights_tools/io/json.h"

namespace atrous {

namespace {

CocoDetection detection_of(const CocoRecord& record) {
  CocoDetection d;
  d.image = record.need(record.image, "image_id");
  d.category = record.need(record.category, "category_id");
  if (!record.score) record.refuse("there is no number score");
  d.score = *record.score;
  d.box = record.coco_box("a result");
  if (record.has_mask()) d.mask = record.mask("a result");
  if (!d.box && !d.mask) record.refuse("there is neither bbox nor segmentation");
  return d;
}

// COCO's tools take the first result for all.
void check_alike(const CocoResults& results, const CocoRecord& record) {
  const bool first = results.detections.front().box.has_value();
  if (results.detections.back().box.has_value() != first)
    record.refuse(first ? "there is no bbox, which the first result has"
                        : "there is a bbox, which the first result has not");
}

JsonText mask_json(const CocoMask& mask) {
  if (!mask.polygons.empty()) fail(ErrorCode::invalid_argument, "the mask has polygons, expected runs");
  std::vector<CocoSpan> spans;
  if (mask.width < 1 || mask.height < 1)
    fail(ErrorCode::invalid_argument, "the mask is ", mask.width, "x", mask.height);
  try {
    add_coco_runs(spans, mask.runs, mask.width, mask.height);
  } catch (const Error& error) {
    fail(ErrorCode::invalid_argument, error.what());
  }
  return json_object(
      {{"size", json_list({mask.height, mask.width})}, {"counts", encode_coco_runs(mask.runs)}});
}

JsonText detection_json(const CocoDetection& d) {
  const bool finite = std::isfinite(d.score) &&
                      (!d.box || std::ranges::all_of(*d.box, [](double v) { return std::isfinite(v); }));
  if (!finite) fail(ErrorCode::invalid_argument, "a number is not finite");
  JsonText out = json_object({{"image_id", d.image}, {"category_id", d.category}, {"score", d.score}});
  if (d.box) add_member(out, "bbox", json_list(*d.box));
  if (d.mask) add_member(out, "segmentation", mask_json(*d.mask));
  return out;
}

}  // namespace

CocoResults read_coco_results(const std::string& path) try {
  CocoResults out;
  out.path = path;
  const auto take = [&out](const CocoRecord& record) {
    out.detections.push_back(detection_of(record));
    check_alike(out, record);
  };
  read_coco_records(path, CocoLayout::results, take, [] {});
  return out;
} catch (...) {
  rethrow_as_error();
}

std::string coco_results_json(const CocoResults& results) try {
  std::string out = "[";
  for (std::size_t i = 0; i < results.detections.size(); ++i) {
    try {
      out += (i > 0 ? "," : "") + detection_json(results.detections[i]).text;
    } catch (const Error& error) {
      fail(error.code(), "result ", i + 1, ": ", error.what());
    }
  }
  return out + "]\n";
} catch (...) {
  rethrow_as_error();
}

}  // namespace atrous
