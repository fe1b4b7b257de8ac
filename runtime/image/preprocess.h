// From a photo to the network's input.
#pragma once

#include "layers/graph/device.h"
#include "runtime/image/image.h"
#include "weights_tools/metadata.h"

namespace atrous {

// What becomes of the values of each channel: table[c][value] = (value / 255 - mean[c]) / std[c], to the bit
// what torchvision's ToTensor and Normalize give. Three roundings, in this order: hence a table of 256 floats
// a channel, and not one multiply-add.
DeviceQueue::NormaliseTable normalisation(const Preprocessing&);

// RGB bytes through that table. `out` is [1, height, width, 3], its pitch may be wider; what lies between
// pixels is left alone. The resize rule is not applied here: see apply() in resize.h. Error(invalid_argument)
// with both shapes when they differ.
void normalise(const Image&, const Preprocessing&, View out);

}  // namespace atrous
