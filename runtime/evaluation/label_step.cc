#include "runtime/evaluation/label_step.h"

#include <optional>

#include "layers/base/error.h"

namespace atrous {

namespace {

[[noreturn]] void refuse_label(const LabelStep& step, std::size_t label, std::int64_t pixel, int width,
                               std::string_view name) {
  fail(ErrorCode::malformed, name, ": the label ", label, " at pixel (", pixel % width, ", ", pixel / width,
       ") ", step.refusal);
}

}  // namespace

LabelStep class_step(const ClassMap& map, int ignore) {
  LabelStep step{map.to, map.known, "is no class of the model's"};
  if (ignore < 0 || static_cast<std::size_t>(ignore) >= step.to.size()) return step;
  step.to[static_cast<std::size_t>(ignore)] = ClassMap::void_label;
  step.known[static_cast<std::size_t>(ignore)] = true;
  return step;
}

LabelMap apply(const LabelStep& step, LabelMap map, std::string_view name) {
  for (std::size_t i = 0; i < map.labels.size(); ++i) {
    std::uint8_t& label = map.labels[i];
    if (!step.known[label]) refuse_label(step, label, static_cast<std::int64_t>(i), map.width, name);
    label = step.to[label];
  }
  return map;
}

formats::FirstPixels apply(const LabelStep& step, const formats::FirstPixels& first, int width,
                           std::string_view name) {
  std::optional<std::size_t> refused;
  formats::FirstPixels out;
  out.fill(-1);
  for (std::size_t label = 0; label < first.size(); ++label) {
    const std::int64_t pixel = first[label];
    if (pixel < 0) continue;
    if (!step.known[label]) {
      if (!refused || pixel < first[*refused]) refused = label;
      continue;
    }
    std::int64_t& at = out[step.to[label]];
    if (at < 0 || pixel < at) at = pixel;
  }
  if (refused) refuse_label(step, *refused, first[*refused], width, name);
  return out;
}

}  // namespace atrous
