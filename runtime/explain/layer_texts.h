// The comments that the headers of layers/ops begin with. CMake writes layer_texts.cc of them
// (layer_texts.cmake).
#pragma once

#include <span>

#include "runtime/explain/layer_facts.h"

namespace atrous {

std::span<const LayerText> layer_texts();

}  // namespace atrous
