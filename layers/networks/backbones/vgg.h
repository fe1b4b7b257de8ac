// VGG-16 without its classifier: thirteen 3x3 convolutions with biases and no batch norm, in five stages.
//
// Simonyan & Zisserman 2015, "Very Deep Convolutional Networks", configuration D. The keys are those of the
// Caffe model, conv1_1 to conv5_3.
#pragma once

#include <array>
#include <cstdint>

#include "layers/graph/builder.h"

namespace atrous {

struct VggFeatures {
  std::array<Var, 5> pools;  // each stage's output after its 2x2/2 max pool, whose sizes are rounded up
};

// `first_padding`: of conv1_1; all others keep the size.
VggFeatures vgg16(Module, Var x, std::int64_t first_padding = 1);

}  // namespace atrous
