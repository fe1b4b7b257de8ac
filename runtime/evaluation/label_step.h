// One step of a truth's labels on their way to the classes that are compared.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "runtime/evaluation/class_map.h"
#include "runtime/image/image.h"
#include "runtime/image/label_rule.h"

namespace atrous {

struct LabelStep {
  std::array<std::uint8_t, 256> to{};
  std::array<bool, 256> known{};  // others are refused
  std::string refusal;            // "is none of cityscapes"
};

// Of apply() (class_map.h).
LabelStep class_step(const ClassMap&, int ignore);

// Every label becomes `to` of it. Error(malformed), with `name`, the label and its pixel, for the first that
// is not known.
LabelMap apply(const LabelStep&, LabelMap, std::string_view name);

// The same of a picture so wide whose labels are each at `first` for the first time: where they are then.
formats::FirstPixels apply(const LabelStep&, const formats::FirstPixels& first, int width,
                           std::string_view name);

}  // namespace atrous
