// Reading annotations: PNG files whose samples are class indices, not colours.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "runtime/image.h"
#include "runtime/image_read.h"

namespace atrous {

// The indices of a palette PNG of 1 to 8 bits, or the samples of a grey one of 8 bits (of 1, 2 and 4 bits:
// the sample itself, not spread over 0..255). What numpy.asarray(PIL.Image.open(file)) gives, for 1-bit grey
// as 0 and 1. Error(unsupported) for other pictures, which hold colours and no classes (RGB, RGBA, grey with
// alpha, 16 bits), and for other formats; otherwise as read_image. `name` begins every sentence.
LabelMap read_labels(std::span<const std::byte> file, std::string_view name, const ReadOptions& = {});
LabelMap read_labels_file(const std::string& path, const ReadOptions& = {});

// The label map at width x height, by Pillow's resize((width, height), NEAREST): the source pixel under the
// centre of each new one. Error(limit) for a side outside 1..16384.
LabelMap resize_nearest(const LabelMap&, int width, int height);

}  // namespace atrous
