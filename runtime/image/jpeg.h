// Writing JPEG, by stb_image_write: for pictures that photos are part of, whose PNG is large. Never for
// masks or labels, whose values JPEG changes.
#pragma once

#include <cstddef>
#include <vector>

#include "layers/base/public.h"
#include "runtime/image/image.h"

namespace ATROUS_PUBLIC atrous {

// A baseline JPEG (JFIF, YCbCr) of an RGB or grey picture, the same bytes for the same picture. Colour planes
// of half the width and height (4:2:0) up to a quality of 90, of the picture's size (4:4:4) above.
// Error(invalid_argument) for a quality outside 1..100 and for a picture with alpha, which JPEG cannot hold;
// Error(limit) for a side over 65535 and for a picture of more than 2^31 - 1 bytes.
std::vector<std::byte> encode_jpeg(const Image&, int quality = 90);

}  // namespace atrous
