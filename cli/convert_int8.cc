#include "cli/convert_int8.h"

#include <algorithm>
#include <map>

#include "cli/inputs.h"
#include "cli/progress_line.h"
#include "layers/base/error.h"
#include "layers/base/visible_text.h"
#include "runtime/image/image_read.h"
#include "runtime/quantisation/calibrate.h"
#include "weights_tools/io/json_output.h"

namespace atrous::cli {

namespace {

constexpr std::size_t worst_shown = 5;

// What is worst first: what layers cost where that was measured, or how much their weights were rounded.
std::vector<const CalibratedLayer*> worst_layers(const Calibration& c) {
  std::vector<const CalibratedLayer*> all;
  for (const CalibratedLayer& layer : c.layers)
    if (layer.loss || layer.in_fp32.empty()) all.push_back(&layer);
  std::ranges::stable_sort(all, std::greater<>{}, [](const CalibratedLayer* l) {
    return std::pair(l->loss.value_or(0), l->weight_error);
  });
  all.resize(std::min(all.size(), worst_shown));
  return all;
}

std::string in_words(const Calibration& c, const std::vector<std::string>& classes) {
  std::map<std::string, std::pair<std::size_t, std::size_t>> kinds;
  for (const CalibratedLayer& layer : c.layers) {
    auto& [int8, fp32] = kinds[layer.kind];
    ++(layer.in_fp32.empty() ? int8 : fp32);
  }
  Table counts({"layers", "int8", "fp32"});
  for (const auto& [kind, count] : kinds)
    counts.add({kind, std::to_string(count.first), std::to_string(count.second)});
  Table worst({"worst layers", "dtype", "weights off by", "logits off by"});
  for (const CalibratedLayer* layer : worst_layers(c))
    worst.add({layer->name, layer->in_fp32.empty() ? "int8" : "fp32", percent(layer->weight_error, 2),
               layer->loss ? percent(*layer->loss, 2) : "-"});
  const Metrics metrics = compute_metrics(c.agreement);
  Table agreement({"labels as in fp32", "pixels", "agree", "IoU"});
  for (std::size_t i = 0; i < metrics.classes.size(); ++i) {
    const ClassMetrics& m = metrics.classes[i];
    if (m.truth_pixels + m.predicted_pixels == 0) continue;
    agreement.add({classes[i], std::to_string(m.truth_pixels), m.recall ? percent(*m.recall, 2) : "-",
                   m.iou ? fixed(*m.iou, 4) : "-"});
  }
  const auto most = std::ranges::max_element(c.values, {}, &CalibratedValue::saturated);
  const auto wide = std::ranges::count_if(
      c.layers, [](const CalibratedLayer& layer) { return layer.in_fp32.empty() && layer.reads_fp32; });
  std::string said =
      str_cat(c.quantised(), " of ", c.layers.size(), " layers in int8",
              wide > 0 ? str_cat(" (", wide, " on maps that stay in fp32)") : "", "; photos: ", c.photos,
              "; ", percent(1 - c.loss(), 2), " of the labels of ", c.compared, " as in fp32\n",
              counts.plain(), '\n', worst.plain(), '\n', agreement.plain());
  if (most != c.values.end())
    said += str_cat("values beyond their map's range: at most ", percent(most->saturated, 3), ", in ",
                    most->name, '\n');
  for (const std::string& warning : c.warnings) said += "warning: " + warning + '\n';
  return said;
}

JsonText range_json(const ValueRange& range) { return json_list({range.lowest, range.highest}); }

JsonText in_json(const Calibration& c, const std::vector<std::string>& classes) {
  const auto layer_json = [](const CalibratedLayer& layer) {
    const bool int8 = layer.in_fp32.empty();
    return json_object({{"name", layer.name},
                        {"kind", layer.kind},
                        {"dtype", int8 ? "int8" : "fp32"},
                        {"because", int8 ? JsonText() : JsonText(layer.in_fp32)},
                        {"input", layer.input},
                        {"reads", layer.reads_fp32 ? "fp32" : "int8"},
                        {"equalised", layer.equalised},
                        {"weight_error", layer.weight_error},
                        {"sensitivity", layer.loss}});
  };
  const auto value_json = [](const CalibratedValue& value) {
    JsonText errors = json_object();
    for (int e = 0; e < estimators; ++e)
      add_member(errors, name_of(static_cast<Estimator>(e)), value.errors[static_cast<std::size_t>(e)]);
    return json_object({{"name", value.name},
                        {"seen", range_json(value.seen)},
                        {"range", range_json(value.range)},
                        {"estimator", name_of(value.estimator)},
                        {"errors", errors},
                        {"saturated", value.saturated}});
  };
  const Metrics metrics = compute_metrics(c.agreement);
  std::vector<JsonText> agreement;
  for (std::size_t i = 0; i < metrics.classes.size(); ++i)
    agreement.push_back(json_object({{"class", classes[i]},
                                     {"pixels", metrics.classes[i].truth_pixels},
                                     {"agree", metrics.classes[i].recall},
                                     {"iou", metrics.classes[i].iou}}));
  return json_object({{"photos", c.photos},
                      {"compared", c.compared},
                      {"labels_changed", c.loss()},
                      {"quantised", c.quantised()},
                      {"distance_from_training", c.distance},
                      {"layers", json_list(c.layers, layer_json)},
                      {"maps", json_list(c.values, value_json)},
                      {"agreement", json_list(agreement)},
                      {"warnings", json_list(c.warnings)}});
}

// "layers one by one [ 3/52], 40 s left"
std::string in_words(const CalibrationProgress& p) {
  const double left = p.seconds / static_cast<double>(p.done) * static_cast<double>(p.all - p.done);
  return str_cat(p.doing, ' ', counter(p.done, p.all), ", ",
                 left < 120 ? fixed(left, 0) + " s" : fixed(left / 60, 0) + " min", " left");
}

}  // namespace

void add_int8_options(Verb& verb, Int8Options& options, Option half) {
  const auto group = "In 8 bits";
  verb.add_flag(
          "--int8", options.wanted,
          "Quantise the network to 8 bits: weights for each output channel, maps by what --calibrate shows")
      .excludes(half)
      .group(group);
  verb.add_option("--calibrate", options.photos,
                  "Photos like those the network is for, and folders of them; 100 suffice")
      .type_name("PHOTO")
      .group(group);
  verb.add_option(
          "--max-loss", options.max_loss,
          "Percent of these photos' pixels that may get another label than in fp32: what changes most "
          "stays in fp32 until so few do")
      .range(0, 100)
      .show_default()
      .group(group);
  verb.add_option("--report", options.report, "Ranges, errors and types layer by layer, JSON, to a file or -")
      .type_name("FILE")
      .group(group);
}

void check(const Int8Options& options) {
  if (options.wanted && options.photos.empty())
    throw UsageError{"--int8: what maps hold is seen on photos: give some by --calibrate"};
  if (!options.wanted && !options.photos.empty()) throw UsageError{"--calibrate: is for --int8"};
  if (!options.wanted && !options.report.empty()) throw UsageError{"--report: is for --int8"};
  check_output(options.report);
}

std::string quantise(const Int8Options& options, StateDict& state, Metadata& metadata) {
  const Inputs found = expand_inputs(options.photos, "", false);
  for (const std::string& sentence : found.passed_over) note(sentence);
  const std::vector<Input>& inputs = found.inputs;
  ProgressLine line(true);
  const Calibration c = naming("--int8", [&] {
    return calibrate(
        state, metadata,
        {.count = inputs.size(),
         .read = [&](std::size_t i) { return read_image(read_input(inputs[i].path), inputs[i].path, {}); }},
        {.max_loss = options.max_loss / 100}, [&](const CalibrationProgress& p) { line.show(in_words(p)); });
  });
  line.clear();
  state = c.state;
  metadata.activations = c.activations;
  if (!options.report.empty()) write_to(options.report, json_output(in_json(c, metadata.classes)));
  return options.report == "-" ? "" : in_words(c, metadata.classes);
}

}  // namespace atrous::cli
