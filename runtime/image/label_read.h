// Reading annotations: PNG files whose samples are class indices, not colours.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "runtime/image/image.h"
#include "runtime/image/image_read.h"

namespace atrous {

// The indices of a palette PNG of 1 to 8 bits, or the samples of a grey one as stored: of 2 bits 0..3, not
// spread over 0..255 (as Pillow does for grey of 2 and 4 bits; for all others the result is what
// numpy.asarray(PIL.Image.open(file)) gives). An index beyond the palette is a label like any other: void may
// well have no colour. An EXIF orientation is not applied, since annotations are drawn on what was seen.
// Error(unsupported) for other pictures, which hold colours and no classes (RGB, RGBA, grey with alpha, 16
// bits), and for other formats; otherwise as read_image. `name` begins every sentence.
LabelMap read_labels(std::span<const std::byte> file, std::string_view name, const ReadOptions& = {});
LabelMap read_labels_file(const std::string& path, const ReadOptions& = {});

// The label map at width x height, to the bit as Pillow's resize((width, height), NEAREST): the source pixel
// under the centre of each new one. Error(limit) for a side outside 1..16384.
LabelMap resize_nearest(const LabelMap&, int width, int height);

}  // namespace atrous
