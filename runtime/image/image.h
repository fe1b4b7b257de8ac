// Pictures in memory: 8-bit samples, rows top to bottom, channels interleaved, no padding between rows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "layers/base/public.h"

namespace ATROUS_PUBLIC atrous {

// Sample c of pixel (x, y) is pixels[(y * width + x) * channels + c].
struct Image {
  int width = 0, height = 0;
  int channels =
      0;  // 1: grey, 3: red green blue, 4: red green blue alpha (0 is transparent, not premultiplied)
  std::vector<std::uint8_t> pixels;

  std::size_t row_bytes() const {
    return static_cast<std::size_t>(width) * static_cast<std::size_t>(channels);
  }
  const std::uint8_t* row(int y) const { return pixels.data() + static_cast<std::size_t>(y) * row_bytes(); }
  std::uint8_t* row(int y) { return pixels.data() + static_cast<std::size_t>(y) * row_bytes(); }
  bool operator==(const Image&) const = default;
};

// One class index per pixel; the label of pixel (x, y) is labels[y * width + x]. 255 is the field's void
// label.
struct LabelMap {
  int width = 0, height = 0;
  std::vector<std::uint8_t> labels;

  const std::uint8_t* row(int y) const {
    return labels.data() + static_cast<std::size_t>(y) * static_cast<std::size_t>(width);
  }
  std::uint8_t* row(int y) {
    return labels.data() + static_cast<std::size_t>(y) * static_cast<std::size_t>(width);
  }
  bool operator==(const LabelMap&) const = default;
};

// A picture of zeros. Error(invalid_argument) unless width and height are positive and channels is 1, 3 or 4;
// Error(limit) when the bytes do not fit in memory's address range.
Image make_image(int width, int height, int channels);

// Error(invalid_argument), naming `what` and both numbers, for a picture whose fields contradict each other.
// Every function that takes a picture from a caller begins with it.
void check(const Image&, std::string_view what);
void check(const LabelMap&, std::string_view what);

}  // namespace atrous
