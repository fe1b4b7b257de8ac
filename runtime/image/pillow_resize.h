// Resizing photos exactly as Pillow does, and torchvision's rules for the size and the crop.
//
// Pillow's BILINEAR is antialiased: the filter is a triangle whose half-width is one source pixel when
// enlarging and `scale = source / target` source pixels when shrinking. Output pixel x is centred at c = (x +
// 0.5) * scale and takes the source pixels i with weight proportional to 1 - |i + 0.5 - c| / max(scale, 1),
// normalised to sum to one. On 8-bit pictures weights are integers in units of 2^-22 and each of the two
// passes, rows first, rounds to 8 bits. Described in
// https://pillow.readthedocs.io/en/stable/handbook/concepts.html#filters and Graphics Gems III, "General
// filtered image rescaling".
#pragma once

#include <utility>

#include "runtime/image/image.h"
#include "weights_tools/metadata.h"

namespace atrous {

constexpr int max_picture_side = 16384;  // of a picture made by any function of this file

// The picture at width x height, equal to Pillow's resize((width, height), BILINEAR) to the bit, for any
// number of channels (RGBA is filtered as four independent channels, not premultiplied) and any number of
// threads. Error(limit) for a target side outside 1..max_picture_side; Error(invalid_argument) for less than
// one thread.
Image resize_bilinear(const Image&, int width, int height, int threads = 1);

// Width and height that the rule resizes a width x height photo to, before its crop. The shorter side's rule
// truncates the longer side, as torchvision does; the longer side's rounds the shorter one, to 1 at least, as
// EncNet's test code does. Error(limit) when a side would be outside 1..max_picture_side.
std::pair<int, int> resized_size(const ResizeRule&, int width, int height);

// The side x side square in the middle; where the picture is smaller it is first padded with zeros, the odd
// row or column of padding after it; the offset is round((size - side) / 2), half to even. torchvision 0.14's
// center_crop.
Image center_crop(const Image&, int side);

// Whether the rule leaves a photo of this size as it is.
bool leaves_alone(const ResizeRule&, int width, int height);

// Bytes of the pictures that apply() makes of a width x height one, as far as they exist at once. Errors as
// resized_size().
std::size_t apply_bytes(const ResizeRule&, int width, int height, int channels);

// Resize, then crop, as the rule says.
Image apply(const ResizeRule&, const Image&, int threads = 1);

}  // namespace atrous
