#include "runtime/evaluation/evaluate_setting.h"

#include "layers/base/error.h"
#include "runtime/engine/program.h"
#include "runtime/image/preprocess.h"
#include "weights_tools/io/sha256.h"

namespace atrous {

namespace {

std::string size_text(const ResizeRule& rule, bool at_original) {
  const bool resized = rule.kind != ResizeRule::Kind::none;
  return at_original ? "the photos' own size" : in_words(rule) + (resized ? ", labels by nearest" : "");
}

}  // namespace

EvaluateSetting make_setting(const Predictor& predictor, const Dataset& dataset,
                             const EvaluateOptions& options, bool shown) {
  EvaluateSetting setting{.predictor = predictor,
                          .dataset = dataset,
                          .options = options,
                          .shown = shown,
                          .comparison = make_comparison(predictor, dataset, options)};
  if (options.protocol) check(*options.protocol);
  if (options.tiling) check(*options.tiling);
  if (options.tiling && (options.crf || options.protocol))
    fail(ErrorCode::invalid_argument, "evaluation: tiles go with neither a CRF nor a test protocol");
  if (dataset.samples.empty()) fail(ErrorCode::invalid_argument, "evaluation: the dataset has no images");
  if (predictor.predictions) setting.predictions = list_predictions(*predictor.predictions, dataset);
  return setting;
}

Evaluation empty_evaluation(const EvaluateSetting& setting) {
  const auto& [predictor, dataset, options, shown, comparison, predictions] = setting;
  Evaluation e;
  e.model = options.model;
  e.architecture = predictor.model ? predictor.model->architecture : "label maps";
  e.dataset = options.dataset;
  e.size = predictor.model ? size_text(comparison.preparation.resize, options.at_original)
                           : "the label maps' own size";
  if (predictor.model) e.input = in_words(comparison.preparation);
  e.colours = comparison.colours.source;
  e.classes = predictor.classes;
  if (comparison.classes > comparison.model_classes) e.classes.emplace_back("void");
  e.palette = evaluation_palette(predictor.classes, predictor.palette, options.void_class);
  e.confusion = ConfusionMatrix(comparison.classes);
  if (setting.has_scores()) e.scores = ScoreHistogram(comparison.model_classes);
  e.protocol = options.protocol;
  e.tiling = options.tiling;
  if (options.crf) e.sharpened = {*options.crf, ConfusionMatrix(comparison.classes)};
  if (comparison.binary) {
    e.binary.emplace();
    e.binary->scores = e.scores;
  }
  return e;
}

ImageCounts no_counts(const EvaluateSetting& setting) {
  const Comparison& comparison = setting.comparison;
  ImageCounts counts{{}, ConfusionMatrix(comparison.classes), {}, ConfusionMatrix(comparison.classes)};
  if (setting.has_scores()) counts.scores = ScoreHistogram(comparison.model_classes);
  return counts;
}

RunIdentity run_identity(const EvaluateSetting& setting) {
  const auto& [predictor, dataset, options, shown, comparison, predictions] = setting;
  const auto digest = [](const std::string& s) { return sha256_of_bytes(std::as_bytes(std::span(s))); };
  std::string names, lookup, colours;
  for (const Colour& c : comparison.colours.palette)
    colours += str_cat(int{c[0]}, ' ', int{c[1]}, ' ', int{c[2]}, '\n');
  for (const DatasetSample& s : dataset.samples) names += s.name + '\n';
  for (std::size_t raw = 0; raw < comparison.map.to.size(); ++raw)
    lookup += comparison.map.known[raw] ? str_cat(int{comparison.map.to[raw]}, ' ') : "- ";
  RunIdentity all = options.identity;
  all.insert(all.end(), {{"samples", str_cat(dataset.samples.size(), ", sha256 ", digest(names))},
                         {"network input", size_text(comparison.preparation.resize, false)},
                         {"compared at", options.at_original ? "original" : "input"},
                         {"scores", setting.has_scores() ? "yes" : "no"},
                         {"void", options.void_class ? str_cat("class ", comparison.void_index) : "left out"},
                         {"ignored label", str_cat(dataset.ignore)},
                         {"masks of 0 and 255", comparison.binary ? "may be binary" : "as any other"},
                         {"label colours", "sha256 " + digest(colours)},
                         {"EXIF orientation", options.exif ? "applied" : "ignored"},
                         {"class map", "sha256 " + digest(lookup)}});
  if (const Model* model = predictor.model)
    all.insert(all.end(), {{"device", model->program->runs_on()},
                           {"precision", std::string(model->program->precision())}});
  if (predictor.model && predictor.model->answer().decision == Decision::sigmoid)
    all.emplace_back("threshold", str_cat("logit ", comparison.threshold));
  if (options.crf) all.emplace_back("CRF", in_words(*options.crf));
  if (options.protocol) all.emplace_back("test protocol", in_words(*options.protocol));
  if (options.tiling) all.emplace_back("tiles", in_words(*options.tiling));
  // torchvision's way is not written down, so that states of earlier versions hold.
  if (const std::string input = in_words(comparison.preparation); input != in_words(Preparation{}))
    all.emplace_back("normalisation", input);
  return all;
}

}  // namespace atrous
