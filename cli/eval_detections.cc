#include "cli/eval_detections.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <optional>

#include "cli/cli.h"
#include "runtime/evaluation/coco_detection.h"
#include "runtime/evaluation/coco_evaluation.h"
#include "runtime/image/image_read.h"
#include "weights_tools/io/clean_text.h"
#include "weights_tools/io/file.h"
#include "weights_tools/io/json_output.h"

namespace atrous::cli {

namespace {

// A report of val2017 would hold 5000 photos otherwise.
constexpr std::size_t images_with_pictures = 50;

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

void add_notes(CocoEvaluation& e) {
  if (e.boxes.other_categories > 0)
    e.notes.push_back(
        str_cat(e.boxes.other_categories,
                " results are of categories that the annotations do not have; they do not count"));
  if (e.boxes.truth_of_id_zero)
    e.notes.emplace_back("an annotation has the id 0: detections of it count as wrong, as in pycocotools");
}

CocoEvaluation measure(const DetectionsRequest& request) {
  CocoEvaluation e;
  e.results = read_coco_results(request.results);  // the smaller file
  e.truth = read_coco_annotations(annotations_file(request));
  e.boxes = measure_coco(e.truth, e.results, CocoGeometry::boxes);
  const bool has_masks =
      std::ranges::any_of(e.results.detections, [](const CocoDetection& d) { return d.mask.has_value(); });
  if (has_masks) e.masks = measure_coco(e.truth, e.results, CocoGeometry::masks);
  add_notes(e);
  return e;
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

const std::string& name_of_measured(const CocoEvaluation& e) {
  return e.model.empty() ? e.results.path : e.model;
}

std::string category_table(const CocoEvaluation& e) {
  std::vector<std::string> head{"category", "AP box", "AP50 box"};
  if (e.masks) head.insert(head.end(), {"AP mask", "AP50 mask"});
  head.emplace_back("truths");
  Table table(head);
  for (std::size_t c = 0; c < e.boxes.categories.size(); ++c) {
    const CocoCategoryScore& boxes = e.boxes.categories[c];
    const std::string name = boxes.name.empty() ? str_cat("category ", boxes.id) : visible(boxes.name);
    std::vector<std::string> row{name, fixed(boxes.ap, 3), fixed(boxes.ap50, 3)};
    if (e.masks)
      for (const double v : {e.masks->categories[c].ap, e.masks->categories[c].ap50})
        row.push_back(fixed(v, 3));
    row.push_back(std::to_string(boxes.truths));
    table.add(row);
  }
  return table.plain();
}

std::string summary_table(const CocoEvaluation& e) {
  std::vector<std::string> head{"", "IoU", "area", "detections", "box"};
  if (e.masks) head.emplace_back("mask");
  Table table(head);
  for (const SummaryLine& line : summary_lines) {
    std::vector<std::string> row{line.measure, line.iou, line.area, line.most,
                                 fixed(e.boxes.summary.*line.value, 3)};
    if (e.masks) row.push_back(fixed(e.masks->summary.*line.value, 3));
    table.add(row);
  }
  return table.plain();
}

std::string detections_table(const CocoEvaluation& e) {
  std::string said;
  for (const std::string& note : e.notes) said += note + '\n';
  const CocoScores& s = e.boxes;
  return str_cat(visible(name_of_measured(e)), " on ", visible(e.truth.path), '\n', category_table(e), '\n',
                 summary_table(e), "\n-1: no truths\n", said, s.images, " images, ", s.truths, " truths and ",
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

std::string detections_json(const CocoEvaluation& e) {
  JsonText all = json_object();
  if (e.model.empty()) {
    add_member(all, "predictions", e.results.path);
  } else {
    add_member(all, "model", e.model);
    add_member(all, "architecture", e.architecture);
  }
  add_member(all, "dataset", e.truth.path);
  add_member(all, "images", e.boxes.images);
  add_member(all, "truths", e.boxes.truths);
  add_member(all, "crowds", e.boxes.crowds);
  add_member(all, "detections", e.boxes.detections);
  if (!e.model.empty()) {
    add_member(all, "seconds", e.seconds);
    add_member(all, "failed", json_list(e.failed, [](const auto& f) {
                 return json_object({{"name", f.first}, {"error", f.second}});
               }));
  }
  add_member(all, "notes", json_list(e.notes));
  add_member(all, "bbox", scores_json(e.boxes));
  add_member(all, "segm", e.masks ? scores_json(*e.masks) : JsonText());
  return json_output(all);
}

std::string exact_digits(double value) {
  char digits[40];
  return {digits, std::to_chars(digits, digits + sizeof digits, value).ptr};
}

std::string detections_csv(const CocoEvaluation& e) {
  Table table({"geometry", "id", "name", "truths", "detections", "ap", "ap50", "ap75", "ar100"});
  const auto add = [&table](const char* geometry, const CocoScores& s) {
    for (const CocoCategoryScore& c : s.categories)
      table.add({geometry, std::to_string(c.id), c.name, std::to_string(c.truths),
                 std::to_string(c.detections), exact_digits(c.ap), exact_digits(c.ap50), exact_digits(c.ap75),
                 exact_digits(c.ar100)});
  };
  add("bbox", e.boxes);
  if (e.masks) add("segm", *e.masks);
  return table.csv();
}

void write_measured(const DetectionsRequest& request, const CocoEvaluation& e) {
  if (!request.json.empty()) write_to(request.json, detections_json(e));
  if (!request.csv.empty()) write_to(request.csv, detections_csv(e));
  if (request.table) print(detections_table(e));
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

struct ReadPhoto {
  std::vector<std::byte> file;
  Image photo;
};
ReadPhoto read_photo(const std::string& path, const CocoImage& image, bool exif) {
  const ReadOptions how{.exif = exif};
  ReadPhoto read{read_file(path, how.max_file_bytes), {}};
  read.photo = read_image(read.file, path, how);
  check_coco_photo(read.photo, image, path);
  return read;
}

// A photo that cannot be read is named and its image listed without pictures. `photos`: a folder, or empty.
void write_report(const DetectionsRequest& request, const CocoEvaluation& e, DetectionReport& report,
                  const std::string& photos) {
  std::vector<std::size_t> worst = report.begin(e, images_with_pictures);
  if (photos.empty()) worst.clear();
  for (const std::size_t place : worst) {
    const CocoImage& image = e.truth.images[place];
    ReadPhoto read;
    try {
      read = read_photo(photos + '/' + image.file_name, image, request.exif);
    } catch (const Error& error) {
      if (request.strict) throw;
      complain(error.what());
      continue;
    }
    report.add(place, read.file, read.photo);
  }
  report.finish();
}

// The folder of all the photos of a file of results; empty where they are not there, which is an error only
// of one that was asked for.
std::string photos_of_results(const DetectionsRequest& request, CocoEvaluation& e) {
  const std::string folder = request.photos.empty() ? photos_of(e.truth.path) : request.photos;
  try {
    list_coco_photos(e.truth.images, folder);
    return folder;
  } catch (const Error& error) {
    if (!request.photos.empty()) throw;
    e.notes.push_back(str_cat("no pictures: ", error.what()));
    return {};
  }
}

// Which classes are which categories, in sentences.
std::vector<std::string> class_notes(const CocoAnnotations& truth, const CocoClassMap& classes,
                                     std::size_t other_classes) {
  const auto is_class = [&](const CocoCategory& c) {
    return std::ranges::count(classes.category, std::optional(c.id)) > 0;
  };
  std::vector<std::string> missing;
  for (const CocoCategory& c : truth.categories)
    if (!is_class(c) && std::ranges::count(truth.annotations, c.id, &CocoAnnotation::category) > 0)
      missing.push_back(c.name.empty() ? str_cat("category ", c.id) : c.name);
  const auto found = std::ranges::count_if(classes.category, [](const auto& id) { return id.has_value(); });
  std::vector<std::string> all{str_cat(found, " of the model's ", classes.category.size() - 1,
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
  std::optional<DetectionReport> report;
  if (!request.report.empty()) report.emplace(request.report);
  CocoEvaluation e = measure(request);
  write_measured(request, e);
  if (report) {
    const std::string photos = photos_of_results(request, e);
    write_report(request, e, *report, photos);
  }
  return 0;
}

CocoSet open_coco_set(const DetectionsRequest& request, std::size_t limit) {
  CocoSet set;
  const std::string path = annotations_file(request);
  set.truth = read_coco_annotations(path);
  set.photos = request.photos.empty() ? photos_of(path) : request.photos;
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

void write_detections(const DetectionsRequest& request, const DetectionRun& run, CocoSet set,
                      DetectedCoco detected, DetectionReport* report) {
  detected.results.path = run.model;
  if (!request.results.empty()) write_to(request.results, coco_results_json(detected.results));
  const std::size_t asked = set.truth.images.size();
  keep_coco_images(set.truth, detected.images);
  CocoEvaluation e;
  e.model = run.model;
  e.architecture = run.architecture;
  e.truth = std::move(set.truth);
  e.results = std::move(detected.results);
  e.boxes = measure_coco(e.truth, e.results, CocoGeometry::boxes);
  if (run.masks && set.has_masks) e.masks = measure_coco(e.truth, e.results, CocoGeometry::masks);
  e.seconds = detected.seconds;
  e.failed = std::move(detected.failed);
  e.notes = class_notes(e.truth, run.classes, detected.other_classes);
  if (asked < set.listed)
    e.notes.push_back(str_cat("the first ", asked, " of ", set.listed, " images alone"));
  if (const std::size_t missing = asked - detected.images.size() - e.failed.size(); missing > 0)
    e.notes.push_back(str_cat("partial: ", missing, " of ", asked, " images are not there yet"));
  if (!e.failed.empty())
    e.notes.push_back(
        str_cat(e.failed.size(), " of ", asked, " images failed; they and their truths do not count"));
  if (run.masks && !set.has_masks)
    e.notes.emplace_back("there are annotations without a segmentation: boxes are measured, masks are not");
  add_notes(e);
  write_measured(request, e);
  if (report) write_report(request, e, *report, set.photos);
}

}  // namespace atrous::cli
