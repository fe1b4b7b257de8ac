#include "cli/truth.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <filesystem>
#include <optional>

#include "layers/base/error.h"
#include "runtime/image/label_read.h"
#include "runtime/image/palette.h"
#include "runtime/metrics/metrics.h"
#include "weights_tools/io/clean_text.h"
#if ATROUS_HAS_EVALUATION
#include "runtime/evaluation/class_dict.h"
#include "runtime/evaluation/class_map.h"
#include "runtime/evaluation/dataset.h"
#endif

namespace atrous::cli {

namespace {

// Reads the labels by the model's palette.
LabelColours colours_of(const Model& model) {
  LabelColours colours{.palette = model.palette, .voids = {}, .source = "the model's palette"};
  if (!colours.palette.empty() && colours.palette == voc_palette(static_cast<int>(colours.palette.size())))
    colours.voids = {voc_void_colour};
  return colours;
}

#if ATROUS_HAS_EVALUATION
std::string palette_file(const TruthOptions& o) {
  if (o.label_palette == "none") return {};
  if (!o.label_palette.empty()) return o.label_palette;
  return holds_colours(o.file) ? find_class_dict({o.file}) : "";
}

// By a class_dict.csv or a palette of the labels', where there is one.
std::optional<ReadLabels> read_by_dictionary(const TruthOptions& o, const Model& model, std::string& source) {
  source = palette_file(o);
  if (source.empty()) return std::nullopt;
  const ClassDict dict = read_label_palette(source);
  const ClassMap map = default_class_map(dict.classes, model.classes);
  ReadLabels labels =
      read_labels_file(o.file, {.palette = dict.palette, .voids = {}, .source = source, .of_labels = true});
  labels.map = apply(map, std::move(labels.map), ClassMap::void_label, o.file);
  return labels;
}
#else
std::optional<ReadLabels> read_by_dictionary(const TruthOptions&, const Model&, std::string&) {
  return std::nullopt;
}
#endif

void take_binary_mask(const TruthOptions& o, const Model& model, Truth& truth) {
  if (!o.ignore.empty() || model.classes.size() != 2) return;
  std::array<bool, 256> seen{};
  for (const std::uint8_t label : truth.labels.labels) seen[label] = true;
  if (!seen[0] || !seen[255] || std::ranges::count(seen, true) != 2) return;
  std::ranges::replace(truth.labels.labels, std::uint8_t{255}, std::uint8_t{1});
  truth.notes.push_back(str_cat("the labels are 0 and 255 alone: 255 is taken as class 1, ",
                                printable(model.classes[1]), ", not as void"));
}

}  // namespace

int parse_ignore(const std::string& text) {
  if (text == "none") return no_label;
  int label = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, label);
  if (error != std::errc() || stop != end || label < 0 || label > 255)
    throw UsageError{atrous::str_cat("--ignore ", text, ": expected a label of 0 to 255, or none")};
  return label;
}

void add_label_palette_option(Verb& verb, std::string& file, const std::string& group) {
#if ATROUS_HAS_EVALUATION
  verb.add_option(
          "--label-palette", file,
          "The colours of the labels: a class_dict.csv or a file with one colour a line; none: do not look "
          "for a class_dict.csv beside labels that are colours")
      .type_name("FILE")
      .group(group);
#else
  static_cast<void>(verb), static_cast<void>(file), static_cast<void>(group);
#endif
}

Truth read_truth(const TruthOptions& o, const Model& model) {
  LabelColours colours = colours_of(model);
  std::string source;
  std::optional<ReadLabels> read = read_by_dictionary(o, model, source);
  if (read)
    colours.source = printable(source);
  else
    read = read_labels_file(o.file, colours);
  Truth truth{std::move(read->map), o.ignore.empty() ? 255 : parse_ignore(o.ignore), {}};
  if (read->form == LabelForm::colours) truth.notes.push_back("colours, looked up in " + colours.source);
  if (read->form == LabelForm::renumbered)
    truth.notes.push_back(
        "the classes' colours stand at other indices of its palette, and were looked up in " +
        colours.source);
  if (read->other_order)
    truth.notes.push_back(
        "some of the classes' colours stand at other indices of its palette; it was read by index, "
        "and the colours are those of " +
        colours.source);
  take_binary_mask(o, model, truth);
  return truth;
}

}  // namespace atrous::cli
