#include "cli/eval_output.h"

#include <charconv>

#include "cli/cli.h"
#include "cli/crf_options.h"
#include "cli/json_output.h"
#include "cli/protocol_options.h"

namespace atrous::cli {

namespace {

std::string cell(const Ratio& ratio) { return ratio ? fixed(*ratio, 4) : "-"; }

// The shortest digits that give the same double; nothing where there is none.
std::string exact(const Ratio& ratio) {
  char digits[40];
  return ratio ? std::string(digits, std::to_chars(digits, digits + sizeof digits, *ratio).ptr) : "";
}

std::string class_table(const Evaluation& e, const Metrics& metrics) {
  std::vector<std::string> head{"class", "IoU", "Dice", "precision", "recall", "AP", "pixels"};
  if (e.sharpened) head.insert(head.begin() + 2, "IoU, CRF");
  const Metrics sharpened = e.sharpened ? e.sharpened->metrics() : Metrics();
  Table table(head);
  bool absent = false;
  for (std::size_t c = 0; c < metrics.classes.size(); ++c) {
    const ClassMetrics& m = metrics.classes[c];
    std::vector<std::string> row{e.classes[c],
                                 cell(m.iou),
                                 cell(m.dice),
                                 cell(m.precision),
                                 cell(m.recall),
                                 cell(m.average_precision),
                                 std::to_string(m.truth_pixels)};
    if (e.sharpened) row.insert(row.begin() + 2, cell(sharpened.classes[c].iou));
    table.add(row);
    const bool without_score = e.scores.classes > static_cast<int>(c) && !m.average_precision;
    absent = absent || !m.iou || !m.precision || !m.recall || without_score;
  }
  return table.plain() +
         (absent ? "-: absent; there are no such pixels in the labels, or none were predicted\n" : "");
}

std::string summary_table(const Metrics& m) {
  const std::pair<const char*, Ratio> lines[] = {{"pixel accuracy", m.pixel_accuracy},
                                                 {"mean accuracy", m.mean_recall},
                                                 {"mean IoU", m.mean_iou},
                                                 {"frequency-weighted IoU", m.frequency_weighted_iou},
                                                 {"mean Dice", m.mean_dice},
                                                 {"mean precision", m.mean_precision},
                                                 {"mean average precision", m.mean_average_precision},
                                                 {"mean IoU per image", m.image_mean_iou},
                                                 {"cross-entropy", m.cross_entropy}};
  Table table({"over all", ""});
  for (const auto& [what, value] : lines) table.add({what, cell(value)});
  return table.plain();
}

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

JsonText matrix_json(const ConfusionMatrix&);

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

JsonText matrix_json(const ConfusionMatrix& m) {
  std::vector<JsonText> rows;
  for (int truth = 0; truth < m.classes; ++truth) {
    std::vector<std::int64_t> row;
    for (int prediction = 0; prediction < m.classes; ++prediction) row.push_back(m.at(truth, prediction));
    rows.push_back(json_list(row));
  }
  return json_list(rows);
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

std::string evaluation_table(const Evaluation& e) {
  const Metrics metrics = e.metrics();
  const std::int64_t all = e.all_pixels(), left_out = e.void_pixels();
  const double share = all > 0 ? 100. * static_cast<double>(left_out) / static_cast<double>(all) : 0;
  std::string said = str_cat("void: ", left_out, " of ", all, " pixels, ", fixed(share, 2), "%\n");
  for (const std::string& note : notes(e)) said += note + '\n';
  return str_cat(visible(e.model), " (", e.architecture, ") on ", visible(e.dataset), "; compared at ",
                 e.size, '\n', class_table(e, metrics), '\n', summary_table(metrics), '\n', said,
                 e.images.size(), " images, ", metrics.pixels, " pixels, in ", fixed(e.seconds, 1), " s\n");
}

std::string evaluation_json(const Evaluation& e) {
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
}

std::string classes_csv(const Evaluation& e) {
  const Metrics metrics = e.metrics();
  Table table({"index", "name", "iou", "dice", "precision", "recall", "average_precision", "iou_per_image",
               "truth_pixels", "predicted_pixels", "correct_pixels"});
  for (std::size_t c = 0; c < metrics.classes.size(); ++c) {
    const ClassMetrics& m = metrics.classes[c];
    table.add({std::to_string(c), e.classes[c], exact(m.iou), exact(m.dice), exact(m.precision),
               exact(m.recall), exact(m.average_precision), exact(m.iou_per_image),
               std::to_string(m.truth_pixels), std::to_string(m.predicted_pixels),
               std::to_string(m.correct_pixels)});
  }
  return table.csv();
}

std::string images_csv(const Evaluation& e) {
  Table table({"name", "width", "height", "pixels", "pixel_accuracy", "mean_iou", "mean_dice",
               "cross_entropy", "seconds", "error"});
  for (const ImageScore& s : e.images)
    table.add({s.name, std::to_string(s.width), std::to_string(s.height), std::to_string(s.pixels),
               exact(s.pixel_accuracy), exact(s.mean_iou), exact(s.mean_dice), exact(s.cross_entropy),
               exact(s.seconds), ""});
  for (const auto& [name, what] : e.failed) table.add({name, "", "", "", "", "", "", "", "", what});
  return table.csv();
}

}  // namespace atrous::cli
