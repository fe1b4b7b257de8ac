// From a photo to the network's input.
#pragma once

#include "layers/tensor.h"
#include "runtime/image.h"
#include "weights_tools/metadata.h"

namespace atrous {

// RGB bytes -> (value / 255 - mean[c]) / std[c], to the bit what torchvision's ToTensor and Normalize give:
// three roundings, in this order, which is why it goes through a table of 256 floats a channel and not
// through one multiply-add. `out` is [1, height, width, 3], its pitch may be wider; what lies between pixels
// is left alone. The resize rule is not applied here: see apply() in resize.h. Error(invalid_argument) with
// both shapes when they differ.
void normalise(const Image&, const Preprocessing&, View out);

}  // namespace atrous
