// The comments that the headers of layers/ops begin with, deflated. CMake writes layer_texts.cc of them
// (layer_texts.cmake, which says how they follow each other).
#pragma once

#include <cstddef>
#include <span>

namespace atrous {

struct DeflatedTexts {
  std::span<const unsigned char> bytes;
  std::size_t length;  // of what they inflate to
};
DeflatedTexts deflated_layer_texts();

}  // namespace atrous
