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
  std::array<Var, 5> pools;  // each stage's output after its max pool, 2x2/2 with sizes rounded up
};

struct VggOptions {
  std::int64_t first_padding = 1;  // of conv1_1; all others keep the size
  // Chen et al. 2015, "Semantic Image Segmentation with Deep Convolutional Nets": the last two pools keep the
  // size, 3x3 with stride 1, and the last stage is dilated by 2 instead. A map of an eighth, not of a 32th.
  bool dilated = false;
};

VggFeatures vgg16(Module, Var x, const VggOptions& = {});

}  // namespace atrous
