#include "cli/eval_output.h"

#include <algorithm>
#include <charconv>

#include "runtime/evaluation/evaluation_json.h"

namespace atrous::cli {

namespace {

std::string cell(const Ratio& ratio) { return ratio ? fixed(*ratio, 4) : "-"; }

// The shortest digits that give the same double; nothing where there is none.
std::string exact(const Ratio& ratio) {
  char digits[40];
  return ratio ? std::string(digits, std::to_chars(digits, digits + sizeof digits, *ratio).ptr) : "";
}

std::string table_of_classes(const Evaluation& e, const Metrics& metrics) {
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

}  // namespace

std::string evaluation_table(const Evaluation& e) {
  const Metrics metrics = e.metrics();
  const std::int64_t all = e.all_pixels(), left_out = e.void_pixels();
  const double share = all > 0 ? 100. * static_cast<double>(left_out) / static_cast<double>(all) : 0;
  std::string said = str_cat("void: ", left_out, " of ", all, " pixels, ", fixed(share, 2), "%\n");
  for (const std::string& note : notes(e)) said += note + '\n';
  return str_cat(visible(e.model), " (", e.architecture, ") on ", visible(e.dataset), "; compared at ",
                 e.size, '\n', table_of_classes(e, metrics), '\n', summary_table(metrics), '\n', said,
                 e.images.size(), " images, ", metrics.pixels, " pixels, in ", fixed(e.seconds, 1), " s\n");
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

std::vector<std::string> EvaluationOutputs::files() const {
  std::vector<std::string> all;
  for (const std::string& path : {json, csv, images_csv, results})
    if (!path.empty()) all.push_back(path);
  return all;
}

bool EvaluationOutputs::prints_table() const { return !quiet && std::ranges::count(files(), "-") == 0; }

void EvaluationOutputs::check(const std::vector<std::string>& more) const {
  const std::vector<std::string> paths = files();
  if (std::ranges::count(paths, "-") > 1)
    throw UsageError{"--json, --csv, --images-csv and --results: one of them can go to standard output"};
  for (const std::vector<std::string>* all : {&paths, &more})
    for (const std::string& path : *all) check_output(path);
}

void add_evaluation_outputs(Verb& verb, EvaluationOutputs& o, const std::string& group) {
  verb.add_option("--json", o.json, "Everything, as JSON, to a file or -").type_name("FILE").group(group);
  verb.add_option("--csv", o.csv, "A row per class, to a file or -").type_name("FILE").group(group);
  verb.add_option("--images-csv", o.images_csv, "A row per image, to a file or -")
      .type_name("FILE")
      .group(group);
  verb.add_option("--results", o.results,
                  "The instances that a model finds, in COCO's results format, to a file or -")
      .type_name("FILE")
      .group(group);
  verb.add_option("--report", o.report,
                  "A folder with a web page and pictures of every image, of instances of the 50 worst")
      .type_name("FOLDER")
      .group(group);
  verb.add_flag("-q,--quiet", o.quiet, "No table and no progress").group(group);
}

void write_evaluation(const EvaluationOutputs& o, const Evaluation& evaluation) {
  if (!o.json.empty()) write_to(o.json, evaluation_json(evaluation));
  if (!o.csv.empty()) write_to(o.csv, classes_csv(evaluation));
  if (!o.images_csv.empty()) write_to(o.images_csv, images_csv(evaluation));
  if (o.prints_table()) print(evaluation_table(evaluation));
}

}  // namespace atrous::cli
