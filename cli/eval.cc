// atrous eval -m MODEL --dataset KIND ROOT, or --predictions FOLDER in the model's place; of detections
// --dataset coco ROOT with either a model or --predictions FILE (cli/eval_detections.h)
#include <unistd.h>

#include <array>
#include <cstdio>

#include "cli/batch_sheet.h"
#include "cli/cli.h"
#include "cli/crf_options.h"
#include "cli/detection_options.h"
#include "cli/eval_detections.h"
#include "cli/eval_output.h"
#include "cli/model_argument.h"
#include "cli/names.h"
#include "cli/progress_line.h"
#include "cli/protocol_options.h"
#include "cli/shard_option.h"
#include "cli/stop_signals.h"
#include "cli/truth.h"
#include "layers/base/ascii.h"
#include "layers/base/error.h"
#include "runtime/evaluation/class_map.h"
#include "runtime/evaluation/evaluate.h"
#include "runtime/image/palette.h"
#include "runtime/report/report.h"
#include "weights_tools/io/clean_text.h"
#include "weights_tools/io/file.h"
#include "weights_tools/io/sha256.h"

namespace atrous::cli {

namespace {

struct EvalArguments {
  RunOptions run;
  std::vector<std::string> dataset;  // kind, root and, of pairs, the labels
  std::string set, map, ignore, label_palette, predictions, at = "input", classes, palette;
  EvaluationOutputs out;
  std::string resume, images, shard_text;
  std::optional<Shard> shard;            // once it is parsed
  std::vector<std::string> batch_sheet;  // how many images and, where given, the file
  int limit = 0;
  SizeOptions size;
  NormaliseOptions normalise;
  CrfArguments crf;
  ProtocolArguments protocol;
  std::optional<double> threshold;
  DetectionArguments which;
  bool no_exif = false, void_class = false, no_scores = false;
  bool strict = false;

  int batch() const {  // images on the sheet; 0: none is asked for
    return batch_sheet.empty() ? 0 : number_in(batch_sheet[0]);
  }
  std::string batch_file() const { return batch_sheet.size() > 1 ? batch_sheet[1] : "batch.png"; }
};

using GivenOption = std::pair<const char*, bool>;

void check_outputs(const EvalArguments& o) {
  std::vector<std::string> more;
  if (!o.resume.empty()) more.push_back(o.resume);
  if (o.batch() > 0) more.push_back(o.batch_file());
  o.out.check(more);
}

// A shard has nothing to show for itself but its state, and pictures for a report.
void check_shard(const EvalArguments& o) {
  if (!o.shard) return;
  if (o.resume.empty()) throw UsageError{"--shard: --resume FILE says where the shard's state goes"};
  const GivenOption whole[] = {{"--json", !o.out.json.empty()},
                               {"--csv", !o.out.csv.empty()},
                               {"--images-csv", !o.out.images_csv.empty()},
                               {"--results", !o.out.results.empty()},
                               {"--report", !o.out.report.empty() && o.dataset[0] == "coco"},
                               {"--batch-sheet", o.batch() > 0}};
  for (const auto& [option, given] : whole)
    if (given)
      throw UsageError{str_cat(option, ": of a shard there is none; atrous merge makes it of all shards")};
}

// Where the shard's images are now.
int finish_shard(const EvalArguments& o, std::size_t images) {
  if (!o.out.quiet)
    print(str_cat("shard ", o.shard->number, " of ", o.shard->count, ": ", images, " images, in ",
                  visible(o.resume), "; atrous merge puts the shards' states together\n"));
  return 0;
}

Dataset open(const EvalArguments& o) {
  if (o.dataset.size() == 3 && o.dataset[0] != "pairs")
    throw UsageError{str_cat("--dataset ", o.dataset[0], " takes one folder, only pairs takes two")};
  Dataset dataset = open_dataset(o.dataset[0], o.dataset[1],
                                 {.set = o.set,
                                  .labels = o.dataset.size() > 2 ? o.dataset[2] : "",
                                  .label_palette = o.label_palette == "none" ? "" : o.label_palette,
                                  .find_class_dict = o.label_palette.empty()});
  if (!o.ignore.empty()) dataset.ignore = parse_ignore(o.ignore);
  return dataset;
}

// The classes of predictions: those given, or the dataset's.
Predictions predictions_of(const EvalArguments& o, const Dataset& dataset) {
  Model named;  // for apply_names alone
  ClassTable given = o.classes.empty() ? ClassTable{dataset.classes, dataset.palette}
                                       : read_classes(o.classes, dataset.classes.size());
  named.classes = std::move(given.classes);
  if (named.classes.empty())
    throw UsageError{
        "--predictions: the dataset does not say which classes there are; --classes names them, and so does "
        "a class_dict.csv"};
  named.palette = given.palette.empty() ? dataset.palette : std::move(given.palette);
  if (named.palette.size() != named.classes.size())
    named.palette = voc_palette(static_cast<int>(named.classes.size()));
  apply_names(named, "", o.palette);
  return {o.predictions, std::move(named.classes), std::move(named.palette)};
}

std::string digest_of_model(const std::string& model) {
  return model.starts_with("seeded:") ? model : "sha256 " + sha256_of_model(model);
}

RunIdentity identity(const EvalArguments& o, const Dataset& dataset) {
  RunIdentity all{
      {"model", o.predictions.empty() ? digest_of_model(o.run.model) : "predictions of " + o.predictions},
      {"dataset", dataset.kind},
      {"folder", o.dataset[1]},
      {"set", dataset.set},
      {"implementation", o.run.force}};
  if (!o.run.weights.empty()) all.emplace_back("weights", o.run.weights);
  if (o.dataset.size() > 2) all.emplace_back("labels", o.dataset[2]);
  return all;
}

RunIdentity identity(const EvalArguments& o, const CocoSet& set) {
  RunIdentity all{{"model", digest_of_model(o.run.model)},
                  {"dataset", "coco"},
                  {"annotations", set.truth.path},
                  {"truths", "sha256 " + sha256_of_file(set.truth.path)},
                  {"photos", set.photos},
                  {"implementation", o.run.force}};
  if (!o.run.weights.empty()) all.emplace_back("weights", o.run.weights);
  return all;
}

// ---- while it runs

std::string remaining(const EvaluateProgress& p) {
  const double each = p.seconds / static_cast<double>(p.done_here);
  const double left = each * static_cast<double>(p.all - p.done);
  const std::string time = left < 120 ? fixed(left, 0) + " s" : fixed(left / 60, 0) + " min";
  return str_cat(fixed(1 / each, each < 1 ? 1 : 2), " images/s, ", time, " left");
}

EvaluateCallbacks callbacks(ProgressLine& line, Report* report, BatchSheet* sheet) {
  // "[ 17/101] 0001TP_008550  12.3 images/s, 7 s left"
  const auto progress = [&line](const EvaluateProgress& p) {
    if (p.failure) {
      line.clear();
      complain(*p.failure);
    }
    if (p.done < p.all)
      line.show(str_cat(counter(p.done, p.all), ' ', printable(p.name), "  ", remaining(p)));
    else
      line.clear();
  };
  EvaluateCallbacks all{.progress = progress, .image = {}, .stop = [] { return stopping_signal() != 0; }};
  if (report || sheet)
    all.image = [report, sheet](const ScoredImage& image) {
      if (report) report->add(image);
      if (sheet) sheet->add(image);
    };
  return all;
}

// ---- afterwards

void write_sheet(const EvalArguments& o, const BatchSheet& sheet) {
  const std::vector<std::byte> png = sheet.png();
  if (png.empty())
    complain(str_cat(o.batch_file(), ": not written, all images were scored before"));
  else
    write_file(o.batch_file(), png);
}

// As a shell reports a program that a signal ended.
int stopped(const EvalArguments& o, std::size_t done, std::size_t all) {
  const char* kept =
      o.resume.empty() ? "nothing is kept without --resume FILE" : "the same command goes on from there";
  complain(str_cat("stopped after ", done, " of ", all, " images; ", kept));
  return 128 + stopping_signal();
}

EvaluateOptions evaluate_options(const EvalArguments& o) {
  EvaluateOptions options;
  options.session = o.run.session_options();
  options.resize = o.size.rule();
  options.exif = !o.no_exif;
  options.at_original = o.at == "original";
  options.scores = !o.no_scores;
  options.threshold = o.threshold;
  options.void_class = o.void_class;
  options.strict = o.strict;
  options.binary_masks = o.ignore.empty();
  options.model = o.predictions.empty() ? file_name(o.run.model) : o.predictions;
  options.state = o.resume;
  options.shard = o.shard.value_or(Shard());
  return options;
}

// ---- detections

// What is for label maps says so.
void refuse_label_options(const EvalArguments& o) {
  if (o.dataset.size() > 2) throw UsageError{"--dataset coco takes one file or folder, only pairs takes two"};
  const GivenOption others[] = {{"--label-palette", !o.label_palette.empty()},
                                {"--map", !o.map.empty()},
                                {"--ignore", !o.ignore.empty()},
                                {"--void-class", o.void_class},
                                {"--limit", o.limit > 0 && !o.predictions.empty()},
                                {"--at", o.at != "input"},
                                {"--resize, --size and --no-resize", o.size.rule().has_value()},
                                {"--threshold", o.threshold.has_value()},
                                {"--crf", o.crf.wanted},
                                {o.protocol.given(), o.protocol.given() != nullptr},
                                {"--no-scores", o.no_scores},
                                {"--images-csv", !o.out.images_csv.empty()},
                                {"--batch-sheet", o.batch() > 0},
                                {"--classes", !o.classes.empty() && !o.predictions.empty()},
                                {"--palette", !o.palette.empty()}};
  for (const auto& [option, given] : others)
    if (given) throw UsageError{str_cat(option, ": is for label maps, --dataset coco has detections")};
}

// What is for a model that finds instances says so.
void refuse_instance_options(const EvalArguments& o) {
  const bool has_pages = o.dataset[0] == "coco" && !o.out.report.empty();
  const GivenOption others[] = {{"--images", !o.images.empty() && !has_pages},
                                {"--resume", o.dataset[0] == "coco" && !o.resume.empty()},
                                {"--results", !o.out.results.empty()},
                                {o.which.given(), o.which.given() != nullptr}};
  for (const auto& [option, given] : others)
    if (given)
      throw UsageError{str_cat(option, ": is for --dataset coco and a model that finds instances, not for ",
                               o.predictions.empty() ? "label maps" : "--predictions")};
}

int run_instances(const EvalArguments& o, const DetectionsRequest& request) {
  DetectCocoOptions how{.session = o.run.session_options(),
                        .instances = o.which.options(),
                        .exif = !o.no_exif,
                        .strict = o.strict,
                        .shard = o.shard.value_or(Shard()),
                        .state = o.resume,
                        .model = file_name(o.run.model)};
  Model model = open_model(o.run.model, o.run.model_options());
  if (model.task() != Task::instances)
    throw UsageError{
        str_cat("--dataset coco measures a file of detections: --predictions results.json; or a "
                "model that finds instances, which ",
                model.architecture, " does not")};
  if (!o.out.quiet) notify_choice(o.run.model, model);
  apply_names(model, o.classes, "");
  o.normalise.apply(model.preparation);
  CocoSet set = open_coco_set(request, static_cast<std::size_t>(o.limit));
  const CocoClassMap classes = match_coco_classes(model.classes, set.truth);
  const std::size_t all = how.shard.size(set.truth.images.size());
  how.annotations = set.truth.path;
  if (!o.resume.empty()) how.identity = identity(o, set);
  std::optional<DetectionReport> report;
  if (!o.out.report.empty()) report.emplace(o.out.report);

  ProgressLine line(!o.out.quiet);
  const EvaluateCallbacks watching = callbacks(line, nullptr, nullptr);
  stop_on_signals();
  DetectedCoco detected = detect_coco(model, set.truth.images, set.photos, classes, how,
                                      {.progress = watching.progress, .stop = watching.stop});
  line.clear();
  const std::size_t failed = detected.failed.size(), done = detected.images.size() + failed;
  if (done < all) return stopped(o, done, all);
  if (o.shard) {
    finish_shard(o, all);
  } else {
    const DetectionRun run{how.model,  model.architecture, set.truth.path,
                           set.photos, model.has_masks(),  classes};
    write_detections(request, run, std::move(set), std::move(detected), report ? &*report : nullptr);
  }
  if (failed > 0) complain(str_cat(failed, " of ", all, " images failed"));
  return 0;
}

int run_detections(const EvalArguments& o) {
  refuse_label_options(o);
  DetectionsRequest request{.root = o.dataset[1],
                            .set = o.set,
                            .results = o.predictions,
                            .json = o.out.json,
                            .csv = o.out.csv,
                            .report = o.out.report,
                            .photos = o.images,
                            .exif = !o.no_exif,
                            .strict = o.strict,
                            .table = o.out.prints_table()};
  if (!o.predictions.empty()) {
    refuse_instance_options(o);
    return eval_detections(request);
  }
  request.results = o.out.results;
  return run_instances(o, request);
}

int run(EvalArguments& o) {
  check_outputs(o);
  o.shard = parse_shard(o.shard_text);
  check_shard(o);
  if (o.dataset[0] == "coco") return run_detections(o);
  refuse_instance_options(o);
  if (!o.ignore.empty()) parse_ignore(o.ignore);
  o.crf.parameters();
  o.protocol.check(o.size);
  EvaluateOptions options = evaluate_options(o);  // a contradiction is found before any work is done
  Dataset dataset = open(o);
  const std::size_t listed = dataset.samples.size();
  if (o.limit > 0 && static_cast<std::size_t>(o.limit) < listed)
    dataset.samples.resize(static_cast<std::size_t>(o.limit));
  options.dataset = described(dataset, listed);

  if (o.crf.wanted && !o.predictions.empty())
    throw UsageError{"--crf is for a model's probabilities, --predictions are labels"};
  if (const char* given = o.protocol.given(); given && !o.predictions.empty())
    throw UsageError{str_cat(given, " is for a model's probabilities, --predictions are labels")};
  if (o.threshold && !o.predictions.empty())
    throw UsageError{"--threshold is for a model's logits, --predictions are labels"};
  Model model;
  Predictions predictions;
  if (o.predictions.empty()) {
    model = open_model(o.run.model, o.run.model_options());
    if (model.task() == Task::instances)
      throw UsageError{str_cat(model.architecture, " finds instances: --dataset coco measures them, ",
                               o.dataset[0], " has label maps")};
    check_threshold(o.threshold, model, o.run.model);
    if (!o.out.quiet) notify_choice(o.run.model, model);
    take_names(model, dataset);
    apply_names(model, o.classes, o.palette);
    o.normalise.apply(model.preparation);
    options.crf = o.crf.parameters(model.answer().crf);
    options.protocol = o.protocol.protocol(model);
    options.tiling = o.protocol.tiling();
    if (options.tiling && o.crf.wanted) throw UsageError{"--crf: with --tile there is none"};
  } else {
    predictions = predictions_of(o, dataset);
  }
  const auto& classes = o.predictions.empty() ? model.classes : predictions.classes;
  const Palette& palette = o.predictions.empty() ? model.palette : predictions.palette;
  if (!o.resume.empty()) options.identity = identity(o, dataset);
  if (!o.map.empty()) options.classes = read_class_map_file(o.map, dataset.classes, classes, dataset.ignore);

  std::optional<Report> report;
  if (!o.out.report.empty())
    report.emplace(o.out.report, evaluation_palette(classes, palette, options.void_class));
  Report* const pages = report ? &*report : nullptr;
  std::optional<BatchSheet> batch;
  if (o.batch() > 0) {
    std::optional<ResizeRule> rule;
    if (o.predictions.empty() && !options.at_original)
      rule = options.tiling ? ResizeRule{.kind = ResizeRule::Kind::none}
                            : resize_rule(options.resize, options.protocol, model);
    batch.emplace(o.batch(), classes, evaluation_palette(classes, palette, options.void_class), rule);
  }
  BatchSheet* const pictures = batch ? &*batch : nullptr;
  ProgressLine line(!o.out.quiet);
  stop_on_signals();
  const Evaluation evaluation =
      o.predictions.empty() ? evaluate(model, dataset, options, callbacks(line, pages, pictures))
                            : evaluate(predictions, dataset, options, callbacks(line, pages, pictures));
  line.clear();
  const std::size_t done = evaluation.images.size() + evaluation.failed.size();
  const std::size_t all = options.shard.size(dataset.samples.size());
  if (done < all) return stopped(o, done, all);
  if (o.shard) {
    finish_shard(o, all);
  } else {
    if (pages) pages->finish(evaluation);
    write_evaluation(o.out, evaluation);
    if (pictures) write_sheet(o, *pictures);
  }
  if (!evaluation.failed.empty()) complain(str_cat(evaluation.failed.size(), " of ", all, " images failed"));
  return 0;
}

}  // namespace

Action add_eval(Verb& verb) {
  auto o = std::make_shared<EvalArguments>();
  add_model_option(verb, o->run);

  const auto data = "The dataset";
  std::string kinds;
  for (const DatasetKind& kind : dataset_kinds()) kinds += std::string(kind.name) + ", ";
  kinds += "or coco, its folder or file of annotations, for instances of a model or of --predictions";
  verb.add_option("--dataset", o->dataset,
                  "Its kind and folder; of pairs those of photos and labels: " + kinds)
      .required()
      .expected(2, 3)
      .type_name("KIND FOLDER [LABELS]")
      .group(data);
  verb.add_option("--set", o->set, "Which of its sets (default: val)").type_name("NAME").group(data);
  verb.add_option(
          "--predictions", o->predictions,
          "Label maps that another program made, in the model's place: NAME.png or NAME.npy of every image, "
          "of its labels' size; the classes are the dataset's or those of --classes; for coco a file of "
          "results, in COCO's format")
      .type_name("FOLDER|FILE")
      .excludes("--model")
      .group(data);
  add_label_palette_option(verb, o->label_palette, data);
  verb.add_option("--map", o->map, "Which of its classes are which of the model's: a file")
      .type_name("FILE")
      .group(data);
  verb.add_option(
          "--ignore", o->ignore,
          "The label that is void, or none (default: the dataset's; for two classes and labels of 0 and "
          "255 alone none, and 255 is class 1)")
      .type_name("LABEL")
      .group(data);
  verb.add_flag("--void-class", o->void_class, "Count void as a class of its own, instead of not at all")
      .group(data);
  verb.add_option("--images", o->images,
                  "Of coco, where the photos are (default: SET beside annotations/, or where the file is)")
      .type_name("FOLDER")
      .group(data);
  verb.add_option("--limit", o->limit, "Only the first so many images")
      .whole_number(1, 1'000'000)
      .group(data);

  const auto how = "How it is compared";
  verb.add_option("--at", o->at, "Label maps at the network's input size, or the photo's original size")
      .one_of({"input", "original"})
      .show_default()
      .group(how);
  add_size_options(verb, o->size, how);
  add_normalise_options(verb, o->normalise, how);
  verb.add_flag("--no-exif", o->no_exif, "Ignore the EXIF orientation").group(how);
  add_threshold_option(verb, o->threshold, how);
  add_crf_options(verb, o->crf, how);
  add_protocol_options(verb, o->protocol, "Several scales, tiles and mirror images, averaged");
  add_detection_options(verb, o->which, how);
  verb.add_flag("--no-scores", o->no_scores,
                "Label maps only: no average precision, no cross-entropy; quicker")
      .group(how);
  verb.add_flag("--strict", o->strict, "The first broken image ends the run, with exit status 1").group(how);
  verb.add_option("--resume", o->resume,
                  "Keep the state of the run in this file, and go on from it where it exists")
      .type_name("FILE")
      .group(how);
  add_shard_option(verb, o->shard_text, how);

  const auto out = "What is written";
  add_evaluation_outputs(verb, o->out, out);
  verb.add_option(
          "--batch-sheet", o->batch_sheet,
          "The first N images, up to 64, on one sheet: photos, predictions, truths (default: batch.png)")
      .expected(1, 2)
      .check_first(1, 64)
      .type_name("N [FILE]")
      .group(out);
  verb.add_option("--classes", o->classes, std::string(classes_help)).type_name("FILE").group(out);
  verb.add_option("--palette", o->palette, "Colours: voc, hub, or a file with one colour a line")
      .type_name("FILE")
      .group(out);

  add_device_options(verb, o->run);
  add_run_options(verb, o->run);
  verb.footer(
      "A broken image is named, counted and left out; the exit status is 0 all the same, unless --strict.\n"
      "Interrupted (Ctrl-C), the run ends after the images under way, those in tiles at once, with exit "
      "status "
      "130.\n\n"
      "Examples:\n"
      "  atrous eval -m fcn_resnet50 --dataset voc VOCdevkit/VOC2012 --resume voc.state\n"
      "  atrous eval -m camvid.safetensors --dataset pairs val valannot --ignore 11 --no-resize --json "
      "camvid.json\n"
      "  atrous eval -m fcn_resnet50 --dataset voc VOCdevkit/VOC2012 --shard 2/7 --resume voc.2.state\n"
      "  atrous eval --predictions masks --dataset voc VOCdevkit/VOC2012\n"
      "  atrous eval -m maskrcnn_resnet50_fpn.pth --dataset coco coco --results results.json\n"
      "  atrous eval --predictions results.json --dataset coco instances_val2017.json --images val2017 "
      "--report pages");
  return [o] { return run(*o); };
}

}  // namespace atrous::cli
