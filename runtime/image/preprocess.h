// From a photo to the network's input.
#pragma once

#include <array>
#include <cstddef>
#include <string>

#include "layers/graph/device.h"
#include "runtime/image/image.h"
#include "weights_tools/metadata.h"

namespace atrous {

// What becomes of the samples of each channel of the network's input: (sample / 255 - mean[c]) / std[c] of
// range 1, to the bit what torchvision's ToTensor and Normalize give, and (sample - mean[c]) / std[c] of
// range 255. Two or three roundings, in this order: hence a table of 256 floats a channel, and not one
// multiply-add. Error(invalid_argument) for another range, a mean that is not finite and a std that is not
// above 0.
DeviceQueue::NormaliseTable normalisation(const Preparation&);

// Which channel of an RGB picture each channel of the network's input is made from.
std::array<std::size_t, 3> source_channels(ChannelOrder);

// "shorter side 520", "480x360, centre crop 224", "the photos' own size": for people.
std::string in_words(const ResizeRule&);

// Without its resize rule: "RGB of 0 to 1, mean 0.485, 0.456, 0.406, std 0.229, 0.224, 0.225".
std::string in_words(const Preparation&);

// "10 iterations, Gaussian 3,1, bilateral 4,67,3"
std::string in_words(const CrfParameters&);

// RGB bytes through that table. `out` is [1, height, width, 3], or higher and wider: then zeros lie below and
// to the right. Its pitch may be wider than 3; what lies between pixels is left alone. The resize rule is not
// applied here: see apply() in pillow_resize.h. Error(invalid_argument) with both shapes where the picture
// does not fit.
void normalise(const Image&, const Preparation&, View out);

}  // namespace atrous
