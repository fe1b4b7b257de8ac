#include "runtime/evaluation/comparison.h"

#include <algorithm>
#include <filesystem>
#include <numeric>
#include <system_error>

#include "layers/base/error.h"
#include "runtime/image/palette.h"
#include "runtime/image/pillow_resize.h"
#include "weights_tools/io/clean_text.h"

namespace atrous {

namespace {

// Of the dataset; where it knows none, of the classes it is compared with, as far as they are the same.
LabelColours label_colours(const Predictor& predictor, const Dataset& dataset, const ClassMap& map) {
  if (!dataset.label_colours.palette.empty()) return dataset.label_colours;
  if (!dataset.classes.empty() && !map.identity) return {};
  LabelColours colours{.palette = predictor.palette, .voids = {}, .source = "the classes' palette"};
  if (!colours.palette.empty() && colours.palette == voc_palette(static_cast<int>(colours.palette.size())))
    colours.voids = {voc_void_colour};
  return colours;
}

// The one label map of a sample in the folder of predictions, or nothing.
std::string prediction_of(const DatasetSample& sample, const std::string& folder) {
  namespace fs = std::filesystem;
  std::vector<std::string> stems{sample.name};
  if (std::string photo = fs::path(sample.photo).stem().string(); photo != sample.name)
    stems.push_back(std::move(photo));
  std::string found;
  for (const std::string& stem : stems)
    for (const char* ending : {".labels.png", ".png", ".npy", ".bmp", ".pgm", ".ppm", ".pnm"}) {
      std::string path = (fs::path(folder) / (stem + ending)).string();
      std::error_code ignored;
      if (!fs::is_regular_file(path, ignored)) continue;
      if (!found.empty())
        fail(ErrorCode::malformed, found, ": ", path, " is there too, and either could be meant");
      found = std::move(path);
    }
  return found;
}

}  // namespace

Comparison make_comparison(const Predictor& predictor, const Dataset& dataset,
                           const EvaluateOptions& options) {
  Comparison c;
  if (predictor.model) {
    c.preparation = predictor.model->preparation;
    c.preparation.resize = options.tiling ? ResizeRule{.kind = ResizeRule::Kind::none}
                                          : resize_rule(options.resize, options.protocol, *predictor.model);
  }
  if (predictor.model) c.threshold = threshold_logit(*predictor.model, options.threshold);
  const int side = c.preparation.resize.center_crop;
  if (options.at_original && side > 0)
    fail(ErrorCode::invalid_argument, "evaluation: a centre crop of ", side,
         " cannot be compared at the photos' own size");
  c.map = options.classes ? *options.classes : default_class_map(dataset.classes, predictor.classes);
  c.colours = label_colours(predictor, dataset, c.map);
  c.ignore = dataset.ignore;
  c.model_classes = c.classes = static_cast<int>(predictor.classes.size());
  if (options.void_class) {
    const auto own = std::ranges::find(predictor.classes, "void");
    c.void_index = static_cast<int>(own - predictor.classes.begin());
    c.classes += own == predictor.classes.end();
  }
  c.binary = options.binary_masks && !options.classes && !options.void_class && dataset.classes.empty() &&
             c.classes == 2 && dataset.ignore == ClassMap::void_label;
  if (c.binary) {
    c.map.to[ClassMap::void_label] = undecided;
    c.map.known[ClassMap::void_label] = true;
    c.ignore = no_label;
  }
  if (c.classes > ClassMap::void_label)
    fail(ErrorCode::limit, "evaluation: ", c.classes,
         " classes with void leave no label for what is left out, at most ", ClassMap::void_label, " do");
  return c;
}

LabelMap relabelled(LabelMap truth, std::uint8_t label, std::uint8_t as) {
  std::ranges::replace(truth.labels, label, as);
  return truth;
}

std::vector<LabelStep> comparison_steps(const Comparison& comparison) {
  std::vector<LabelStep> steps{class_step(comparison.map, comparison.ignore)};
  if (comparison.void_index == ClassMap::void_label) return steps;
  LabelStep& own_void = steps.emplace_back();
  std::iota(own_void.to.begin(), own_void.to.end(), std::uint8_t{0});
  own_void.known.fill(true);
  own_void.to[ClassMap::void_label] = static_cast<std::uint8_t>(comparison.void_index);
  return steps;
}

LabelMap map_truth(LabelMap truth, const Comparison& comparison, const DatasetSample& sample) {
  check(truth, sample.label);
  for (const LabelStep& step : comparison_steps(comparison))
    truth = apply(step, std::move(truth), sample.label);
  return truth;
}

LabelMap crop_truth(LabelMap truth, int side) {
  const Image everywhere{truth.width, truth.height, 1,
                         std::vector<std::uint8_t>(truth.labels.size(), std::uint8_t{1})};
  const Image inside = center_crop(everywhere, side);
  Image cut = center_crop({truth.width, truth.height, 1, std::move(truth.labels)}, side);
  for (std::size_t p = 0; p < cut.pixels.size(); ++p)
    if (inside.pixels[p] == 0) cut.pixels[p] = ClassMap::void_label;
  return {side, side, std::move(cut.pixels)};
}

std::vector<std::string> list_predictions(const Predictions& predictions, const Dataset& dataset) {
  std::error_code ignored;
  if (!std::filesystem::is_directory(predictions.folder, ignored))
    fail(ErrorCode::io, predictions.folder, ": no such folder of predictions");
  std::vector<std::string> paths;
  std::string first;
  std::size_t missing = 0;
  for (const DatasetSample& sample : dataset.samples) {
    paths.push_back(prediction_of(sample, predictions.folder));
    if (paths.back().empty() && missing++ == 0) first = sample.name;
  }
  if (missing > 0)
    fail(ErrorCode::io, (std::filesystem::path(predictions.folder) / (first + ".png")).string(),
         ": no such prediction, nor ", printable(first), ".labels.png, .npy, .bmp, .pgm, .ppm or .pnm; ",
         missing, " of ", dataset.samples.size(), " images have none");
  return paths;
}

}  // namespace atrous
