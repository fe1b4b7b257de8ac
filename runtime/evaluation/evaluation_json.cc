#include "runtime/evaluation/evaluation_json.h"

#include "layers/base/error.h"
#include "runtime/segment/options_json.h"
#include "runtime/tiles/tiling_json.h"
#include "weights_tools/io/json_output.h"

namespace atrous {

namespace {

JsonText summary_json(const Metrics& m, std::int64_t void_pixels) {
  return json_object({{"pixels", m.pixels},
                      {"void_pixels", void_pixels},
                      {"pixel_accuracy", m.pixel_accuracy},
                      {"mean_accuracy", m.mean_recall},
                      {"mean_iou", m.mean_iou},
                      {"mean_dice", m.mean_dice},
                      {"mean_precision", m.mean_precision},
                      {"mean_average_precision", m.mean_average_precision},
                      {"frequency_weighted_iou", m.frequency_weighted_iou},
                      {"micro_iou", m.micro_iou},
                      {"micro_dice", m.micro_dice},
                      {"image_mean_iou", m.image_mean_iou},
                      {"image_mean_dice", m.image_mean_dice},
                      {"image_pixel_accuracy", m.image_pixel_accuracy},
                      {"cross_entropy", m.cross_entropy}});
}

JsonText class_json(std::size_t index, const std::string& name, const ClassMetrics& m) {
  return json_object({{"index", index},
                      {"name", name},
                      {"iou", m.iou},
                      {"dice", m.dice},
                      {"precision", m.precision},
                      {"recall", m.recall},
                      {"average_precision", m.average_precision},
                      {"iou_per_image", m.iou_per_image},
                      {"truth_pixels", m.truth_pixels},
                      {"predicted_pixels", m.predicted_pixels},
                      {"correct_pixels", m.correct_pixels}});
}

JsonText classes_json(const Evaluation& e, const Metrics& metrics) {
  std::vector<JsonText> classes;
  for (std::size_t c = 0; c < metrics.classes.size(); ++c)
    classes.push_back(class_json(c, e.classes[c], metrics.classes[c]));
  return json_list(classes);
}

JsonText matrix_json(const ConfusionMatrix& m) {
  std::vector<JsonText> rows;
  for (int truth = 0; truth < m.classes; ++truth) {
    std::vector<std::int64_t> row;
    for (int prediction = 0; prediction < m.classes; ++prediction) row.push_back(m.at(truth, prediction));
    rows.push_back(json_list(row));
  }
  return json_list(rows);
}

JsonText sharpened_json(const Sharpened& s) {
  const Metrics m = s.metrics();
  JsonText out = crf_json(s.crf);
  add_member(out, "pixel_accuracy", m.pixel_accuracy);
  add_member(out, "mean_accuracy", m.mean_recall);
  add_member(out, "mean_iou", m.mean_iou);
  add_member(out, "iou", json_list(m.classes, [](const ClassMetrics& c) { return JsonText(c.iou); }));
  add_member(out, "confusion_matrix", matrix_json(s.confusion));
  return out;
}

JsonText image_json(const ImageScore& s) {
  return json_object(
      {{"name", s.name},
       {"width", s.width},
       {"height", s.height},
       {"pixels", s.pixels},
       {"pixel_accuracy", s.pixel_accuracy},
       {"mean_iou", s.mean_iou},
       {"mean_dice", s.mean_dice},
       {"cross_entropy", s.cross_entropy},
       {"iou", json_list(s.iou,
                         [](const auto& of_class) {
                           return json_object({{"class", of_class.first}, {"iou", of_class.second}});
                         })},
       {"seconds", s.seconds}});
}

}  // namespace

std::string evaluation_json(const Evaluation& e) try {
  const Metrics metrics = e.metrics();
  const auto failure_json = [](const auto& failure) {
    return json_object({{"name", failure.first}, {"error", failure.second}});
  };
  JsonText json = json_object({{"model", e.model},
                               {"architecture", e.architecture},
                               {"dataset", e.dataset},
                               {"size", e.size},
                               {"input", e.input},
                               {"seconds", e.seconds},
                               {"images", e.images.size()},
                               {"failed", json_list(e.failed, failure_json)},
                               {"notes", json_list(notes(e))},
                               {"summary", summary_json(metrics, e.void_pixels())},
                               {"classes", classes_json(e, metrics)},
                               {"confusion_matrix", matrix_json(e.confusion)},
                               {"per_image", json_list(e.images, image_json)}});
  if (e.protocol) add_member(json, "protocol", protocol_json(*e.protocol));
  if (e.tiling) add_member(json, "tiles", tiling_json(*e.tiling));
  if (e.sharpened) add_member(json, "crf", sharpened_json(*e.sharpened));
  return json_output(json);
} catch (...) {
  rethrow_as_error();
}

}  // namespace atrous
