// The checkpoint that is compiled into the library, so that a photo can be segmented with nothing else at
// hand.
//
// DeepLabV3 on a narrow Bottleneck ResNet (stem 32, planes 24, 48, 96, 128, blocks 2, 2, 3, 2, ASPP of 96
// channels), 2.9 million parameters, 11 classes of street scenes: trained for atrous from scratch on CamVid
// and on drawn scenes. weights_tools/default_model.safetensors holds it in half precision: torchvision's
// names, every value a half that the reader widens exactly, classes, CamVid's colours, preparation (shorter
// side 360) and a self-test beside them. `atrous convert --half` made it from the fp32 checkpoint.
#pragma once

#include <cstddef>
#include <span>

namespace atrous {

bool has_default_model();  // false in a build with ATROUS_EMBED_MODEL=OFF

// The bytes of that .safetensors file. Error(unsupported) in a build without it.
std::span<const std::byte> default_model_file();

// A second .safetensors, whose path the build's ATROUS_EMBED_VOC was: the model called voc. Empty where it
// was none, as it is unless somebody asks (weights_tools/README.md).
std::span<const std::byte> voc_model_file();

}  // namespace atrous
