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

// What a model's measurement says beside the measures.
struct MeasuredModel {
  std::string name, architecture;
  double seconds = 0;
  std::vector<std::pair<std::string, std::string>> failed;
  std::vector<std::string> notes;
};

struct Measured {
  std::string annotations, detections;  // paths, or the model's name
  CocoScores boxes;
  std::optional<CocoScores> masks;
  std::optional<MeasuredModel> model = {};
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
  const CocoResults results = read_coco_results(request.results);  // the smaller file
  const CocoAnnotations truth = read_coco_annotations(m.annotations);
  m.boxes = measure_coco(truth, results, CocoGeometry::boxes);
  const bool has_masks =
      std::ranges::any_of(results.detections, [](const CocoDetection& d) { return d.mask.has_value(); });
  if (has_masks) m.masks = measure_coco(truth, results, CocoGeometry::masks);
  return m;
}

std::vector<std::string> notes(const Measured& m) {
  std::vector<std::string> all;
  if (m.model) all = m.model->notes;
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
  return str_cat(visible(m.detections), " on ", visible(m.annotations), '\n', category_table(m), '\n',
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
  JsonText all = json_object();
  if (m.model) {
    add_member(all, "model", m.model->name);
    add_member(all, "architecture", m.model->architecture);
  } else {
    add_member(all, "predictions", m.detections);
  }
  add_member(all, "dataset", m.annotations);
  add_member(all, "images", m.boxes.images);
  add_member(all, "truths", m.boxes.truths);
  add_member(all, "crowds", m.boxes.crowds);
  add_member(all, "detections", m.boxes.detections);
  if (m.model) {
    add_member(all, "seconds", m.model->seconds);
    add_member(all, "failed", json_list(m.model->failed, [](const auto& f) {
                 return json_object({{"name", f.first}, {"error", f.second}});
               }));
  }
  add_member(all, "notes", json_list(notes(m)));
  add_member(all, "bbox", scores_json(m.boxes));
  add_member(all, "segm", m.masks ? scores_json(*m.masks) : JsonText());
  return json_output(all);
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

void write_measured(const DetectionsRequest& request, const Measured& m) {
  if (!request.json.empty()) write_to(request.json, detections_json(m));
  if (!request.csv.empty()) write_to(request.csv, detections_csv(m));
  if (request.table) print(detections_table(m));
}

// annotations/instances_SET.json has its photos in SET or images/SET beside that folder; other files lie with
// them, as tools for annotating export them.
std::string photos_of(const std::string& annotations) {
  namespace fs = std::filesystem;
  const fs::path path(annotations), folder = path.parent_path();
  const std::string stem = path.stem().string(), prefix = "instances_";
  std::error_code ignored;
  if (stem.starts_with(prefix)) {
    const std::string set = stem.substr(prefix.size());
    for (const fs::path& photos : {folder / ".." / set, folder / ".." / "images" / set})
      if (!set.empty() && fs::is_directory(photos, ignored)) return photos.lexically_normal().string();
  }
  return folder.empty() ? "." : folder.string();
}

// Which classes are which categories, in sentences.
std::vector<std::string> class_notes(const Model& model, const CocoAnnotations& truth,
                                     const CocoClassMap& classes, std::size_t other_classes) {
  const auto is_class = [&](const CocoCategory& c) {
    return std::ranges::count(classes.category, std::optional(c.id)) > 0;
  };
  std::vector<std::string> missing;
  for (const CocoCategory& c : truth.categories)
    if (!is_class(c) && std::ranges::count(truth.annotations, c.id, &CocoAnnotation::category) > 0)
      missing.push_back(c.name.empty() ? str_cat("category ", c.id) : c.name);
  const auto found = std::ranges::count_if(classes.category, [](const auto& id) { return id.has_value(); });
  std::vector<std::string> all{str_cat(found, " of the model's ", model.classes.size() - 1,
                                       " classes are categories of the annotations, by ",
                                       classes.by_name ? "their names" : "their numbers, which are ids")};
  if (!missing.empty()) {
    std::string names;
    for (const std::string& name : missing) names += (names.empty() ? "" : ", ") + name;
    all.push_back("no class of the model is: " + names);
  }
  if (other_classes > 0)
    all.push_back(
        str_cat(other_classes, " instances were of classes that are no category; they do not count"));
  return all;
}

}  // namespace

int eval_detections(const DetectionsRequest& request) {
  write_measured(request, measure(request));
  return 0;
}

CocoSet open_coco_set(const DetectionsRequest& request, const std::string& photos, std::size_t limit) {
  CocoSet set;
  const std::string path = annotations_file(request);
  set.truth = read_coco_annotations(path);
  set.photos = photos.empty() ? photos_of(path) : photos;
  set.listed = set.truth.images.size();
  if (limit > 0 && limit < set.listed) {
    std::vector<std::int64_t> ids;
    for (const CocoImage& image : std::span(set.truth.images).first(limit)) ids.push_back(image.id);
    keep_coco_images(set.truth, ids);
  }
  measure_coco(set.truth, {}, CocoGeometry::boxes);
  set.has_masks =
      std::ranges::all_of(set.truth.annotations, [](const auto& a) { return a.mask.has_value(); });
  if (set.has_masks) measure_coco(set.truth, {}, CocoGeometry::masks);
  return set;
}

void write_detections(const DetectionsRequest& request, const Model& model, const std::string& model_name,
                      CocoSet set, const CocoClassMap& classes, DetectedCoco detected) {
  detected.results.path = model_name;
  if (!request.results.empty()) write_to(request.results, coco_results_json(detected.results));
  const std::size_t asked = set.truth.images.size();
  keep_coco_images(set.truth, detected.images);
  Measured m{set.truth.path, model_name, measure_coco(set.truth, detected.results, CocoGeometry::boxes), {}};
  if (model.has_masks() && set.has_masks)
    m.masks = measure_coco(set.truth, detected.results, CocoGeometry::masks);
  m.model = {model_name, model.architecture, detected.seconds, detected.failed,
             class_notes(model, set.truth, classes, detected.other_classes)};
  std::vector<std::string>& said = m.model->notes;
  if (asked < set.listed) said.push_back(str_cat("the first ", asked, " of ", set.listed, " images alone"));
  if (!detected.failed.empty())
    said.push_back(
        str_cat(detected.failed.size(), " of ", asked, " images failed; they and their truths do not count"));
  if (model.has_masks() && !set.has_masks)
    said.emplace_back("there are annotations without a segmentation: boxes are measured, masks are not");
  write_measured(request, m);
}

}  // namespace atrous::cli
