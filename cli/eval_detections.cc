#include "cli/eval_detections.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <optional>

#include "cli/cli.h"
#include "cli/json_output.h"
#include "runtime/evaluation/coco_detection.h"
#include "weights_tools/io/clean_text.h"

namespace atrous::cli {

namespace {

struct Measured {
  std::string annotations, results;  // paths
  CocoScores boxes;
  std::optional<CocoScores> masks;
};

std::string annotations_file(const DetectionsRequest& request) {
  std::error_code ignored;
  if (!std::filesystem::is_directory(request.root, ignored)) return request.root;
  const std::string set = request.set.empty() || request.set == "val" ? "val2017"
                          : request.set == "train"                    ? "train2017"
                                                                      : request.set;
  const std::string path = request.root + "/annotations/instances_" + set + ".json";
  if (!std::filesystem::is_regular_file(path, ignored))
    fail(ErrorCode::io, visible(path),
         ": there is no such file; a coco dataset is the file of annotations, or a "
         "folder with annotations/instances_SET.json");
  return path;
}

Measured measure(const DetectionsRequest& request) {
  Measured m{annotations_file(request), request.results, {}, {}};
  const CocoResults results = read_coco_results(m.results);  // the smaller file
  const CocoAnnotations truth = read_coco_annotations(m.annotations);
  m.boxes = measure_coco(truth, results, CocoGeometry::boxes);
  const bool has_masks =
      std::ranges::any_of(results.detections, [](const CocoDetection& d) { return d.mask.has_value(); });
  if (has_masks) m.masks = measure_coco(truth, results, CocoGeometry::masks);
  return m;
}

std::vector<std::string> notes(const Measured& m) {
  std::vector<std::string> all;
  if (m.boxes.other_categories > 0)
    all.push_back(str_cat(m.boxes.other_categories,
                          " results are of categories that the annotations do not have; they do not count"));
  if (m.boxes.truth_of_id_zero)
    all.push_back("an annotation has the id 0: detections of it count as wrong, as in pycocotools");
  return all;
}

struct SummaryLine {
  const char *key, *measure, *iou, *area, *most;
  double CocoSummary::*value;
};
constexpr SummaryLine summary_lines[] = {
    {"ap", "average precision", "0.50:0.95", "all", "100", &CocoSummary::ap},
    {"ap50", "average precision", "0.50", "all", "100", &CocoSummary::ap50},
    {"ap75", "average precision", "0.75", "all", "100", &CocoSummary::ap75},
    {"ap_small", "average precision", "0.50:0.95", "small", "100", &CocoSummary::ap_small},
    {"ap_medium", "average precision", "0.50:0.95", "medium", "100", &CocoSummary::ap_medium},
    {"ap_large", "average precision", "0.50:0.95", "large", "100", &CocoSummary::ap_large},
    {"ar1", "average recall", "0.50:0.95", "all", "1", &CocoSummary::ar1},
    {"ar10", "average recall", "0.50:0.95", "all", "10", &CocoSummary::ar10},
    {"ar100", "average recall", "0.50:0.95", "all", "100", &CocoSummary::ar100},
    {"ar_small", "average recall", "0.50:0.95", "small", "100", &CocoSummary::ar_small},
    {"ar_medium", "average recall", "0.50:0.95", "medium", "100", &CocoSummary::ar_medium},
    {"ar_large", "average recall", "0.50:0.95", "large", "100", &CocoSummary::ar_large}};

std::string category_table(const Measured& m) {
  std::vector<std::string> head{"category", "AP box", "AP50 box"};
  if (m.masks) head.insert(head.end(), {"AP mask", "AP50 mask"});
  head.emplace_back("truths");
  Table table(head);
  for (std::size_t c = 0; c < m.boxes.categories.size(); ++c) {
    const CocoCategoryScore& boxes = m.boxes.categories[c];
    const std::string name = boxes.name.empty() ? str_cat("category ", boxes.id) : visible(boxes.name);
    std::vector<std::string> row{name, fixed(boxes.ap, 3), fixed(boxes.ap50, 3)};
    if (m.masks)
      for (const double v : {m.masks->categories[c].ap, m.masks->categories[c].ap50})
        row.push_back(fixed(v, 3));
    row.push_back(std::to_string(boxes.truths));
    table.add(row);
  }
  return table.plain();
}

std::string summary_table(const Measured& m) {
  std::vector<std::string> head{"", "IoU", "area", "detections", "box"};
  if (m.masks) head.emplace_back("mask");
  Table table(head);
  for (const SummaryLine& line : summary_lines) {
    std::vector<std::string> row{line.measure, line.iou, line.area, line.most,
                                 fixed(m.boxes.summary.*line.value, 3)};
    if (m.masks) row.push_back(fixed(m.masks->summary.*line.value, 3));
    table.add(row);
  }
  return table.plain();
}

std::string detections_table(const Measured& m) {
  std::string said;
  for (const std::string& note : notes(m)) said += note + '\n';
  const CocoScores& s = m.boxes;
  return str_cat(visible(m.results), " on ", visible(m.annotations), '\n', category_table(m), '\n',
                 summary_table(m), "\n-1: no truths\n", said, s.images, " images, ", s.truths, " truths and ",
                 s.crowds, " crowds, ", s.detections, " detections\n");
}

JsonText scores_json(const CocoScores& s) {
  JsonText summary = json_object();
  for (const SummaryLine& line : summary_lines) add_member(summary, line.key, s.summary.*line.value);
  const auto category_json = [](const CocoCategoryScore& c) {
    return json_object({{"id", c.id},
                        {"name", c.name},
                        {"truths", c.truths},
                        {"detections", c.detections},
                        {"ap", c.ap},
                        {"ap50", c.ap50},
                        {"ap75", c.ap75},
                        {"ar100", c.ar100}});
  };
  return json_object({{"summary", summary}, {"categories", json_list(s.categories, category_json)}});
}

std::string detections_json(const Measured& m) {
  return json_output(json_object({{"predictions", m.results},
                                  {"dataset", m.annotations},
                                  {"images", m.boxes.images},
                                  {"truths", m.boxes.truths},
                                  {"crowds", m.boxes.crowds},
                                  {"detections", m.boxes.detections},
                                  {"notes", json_list(notes(m))},
                                  {"bbox", scores_json(m.boxes)},
                                  {"segm", m.masks ? scores_json(*m.masks) : JsonText()}}));
}

std::string exact_digits(double value) {
  char digits[40];
  return {digits, std::to_chars(digits, digits + sizeof digits, value).ptr};
}

std::string detections_csv(const Measured& m) {
  Table table({"geometry", "id", "name", "truths", "detections", "ap", "ap50", "ap75", "ar100"});
  const auto add = [&table](const char* geometry, const CocoScores& s) {
    for (const CocoCategoryScore& c : s.categories)
      table.add({geometry, std::to_string(c.id), c.name, std::to_string(c.truths),
                 std::to_string(c.detections), exact_digits(c.ap), exact_digits(c.ap50), exact_digits(c.ap75),
                 exact_digits(c.ar100)});
  };
  add("bbox", m.boxes);
  if (m.masks) add("segm", *m.masks);
  return table.csv();
}

}  // namespace

int eval_detections(const DetectionsRequest& request) {
  const Measured m = measure(request);
  if (!request.json.empty()) write_to(request.json, detections_json(m));
  if (!request.csv.empty()) write_to(request.csv, detections_csv(m));
  if (request.table) print(detections_table(m));
  return 0;
}

}  // namespace atrous::cli
