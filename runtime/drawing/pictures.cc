#include "runtime/drawing/pictures.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "layers/base/error.h"

namespace atrous {

namespace {

void check_pair(const Image& photo, const LabelMap& map, std::string_view what) {
  check(photo, what);
  check(map, what);
  if (photo.channels != 3)
    fail(ErrorCode::invalid_argument, what, ": expected 3 channels, found ", photo.channels);
  if (photo.width != map.width || photo.height != map.height)
    fail(ErrorCode::invalid_argument, what, ": the photo is ", photo.width, "x", photo.height,
         ", the label map ", map.width, "x", map.height);
}

void check_labels(const LabelMap& map, const Palette& palette, std::string_view what) {
  const std::uint8_t largest = std::ranges::max(map.labels);
  if (largest >= palette.size())
    fail(ErrorCode::invalid_argument, what, ": label ", int{largest}, ", but the palette has ",
         palette.size(), " colours");
}

// 1 for every pixel that has another label within `reach` pixels above, below, left or right of it.
std::vector<std::uint8_t> edges(const LabelMap& map, int reach) {
  std::vector<std::uint8_t> edge(map.labels.size());
  for (int y = 0; y < map.height; ++y) {
    const std::uint8_t* row = map.row(y);
    std::uint8_t* out = edge.data() + (row - map.labels.data());
    const int top = std::max(0, y - reach), bottom = std::min(map.height - 1, y + reach);
    for (int other = top; other <= bottom; ++other) {
      const std::uint8_t* near = map.row(other);
      for (int x = 0; x < map.width; ++x) out[x] = static_cast<std::uint8_t>(out[x] | (near[x] != row[x]));
    }
    for (int shift = 1; shift <= reach; ++shift)
      for (int x = shift; x < map.width; ++x) {
        const bool differs = row[x] != row[x - shift];
        out[x] = static_cast<std::uint8_t>(out[x] | differs);
        out[x - shift] = static_cast<std::uint8_t>(out[x - shift] | differs);
      }
  }
  return edge;
}

// blend[v] = v + alpha * (colour - v), rounded.
using Blend = std::array<std::uint8_t, 256>;
Blend blend_table(float alpha, std::uint8_t colour) {
  Blend table;
  for (int v = 0; v < 256; ++v)
    table[static_cast<std::size_t>(v)] = static_cast<std::uint8_t>(
        std::lround(static_cast<float>(v) + alpha * static_cast<float>(colour - v)));
  return table;
}

}  // namespace

Image colourise(const LabelMap& map, const Palette& palette) try {
  check(map, "mask");
  check_labels(map, palette, "mask");
  Image mask = make_image(map.width, map.height, 3);
  std::uint8_t* out = mask.pixels.data();
  for (const std::uint8_t label : map.labels) out = std::copy_n(palette[label].begin(), 3, out);
  return mask;
} catch (...) {
  rethrow_as_error();
}

Image overlay(const Image& photo, const LabelMap& map, const Palette& palette,
              const OverlayOptions& options) try {
  check_pair(photo, map, "overlay");
  check_labels(map, palette, "overlay");
  if (!(options.alpha >= 0 && options.alpha <= 1))
    fail(ErrorCode::invalid_argument, "overlay: alpha ", options.alpha, " is outside 0..1");
  if (options.contour < 0)
    fail(ErrorCode::invalid_argument, "overlay: contours of ", options.contour, " pixels");
  std::vector<std::array<Blend, 3>> blends(palette.size());
  for (std::size_t i = 0; i < palette.size(); ++i)
    for (std::size_t c = 0; c < 3; ++c) blends[i][c] = blend_table(options.alpha, palette[i][c]);
  std::vector<std::uint8_t> edge;
  const int width = options.contour > 0 ? options.contour : contour_width(map.width, map.height);
  if (options.contours) edge = edges(map, width);

  Image out = photo;
  std::uint8_t* pixel = out.pixels.data();
  for (std::size_t i = 0; i < map.labels.size(); ++i, pixel += 3) {
    const std::uint8_t label = map.labels[i];
    if (label == options.background) continue;
    if (options.contours && edge[i])
      std::copy_n(palette[label].begin(), 3, pixel);
    else
      for (std::size_t c = 0; c < 3; ++c) pixel[c] = blends[label][c][pixel[c]];
  }
  return out;
} catch (...) {
  rethrow_as_error();
}

Image cutout(const Image& photo, const LabelMap& map, std::uint8_t cls) try {
  check_pair(photo, map, "cut-out");
  Image out = make_image(photo.width, photo.height, 4);
  const std::uint8_t* from = photo.pixels.data();
  std::uint8_t* to = out.pixels.data();
  for (const std::uint8_t label : map.labels) {
    if (label == cls) {
      std::copy_n(from, 3, to);
      to[3] = 255;
    }
    from += 3;
    to += 4;
  }
  return out;
} catch (...) {
  rethrow_as_error();
}

Image cutout(const Image& photo, const LabelMap& map, std::uint8_t cls, const Colour& elsewhere) try {
  check_pair(photo, map, "cut-out");
  Image out = photo;
  std::uint8_t* to = out.pixels.data();
  for (const std::uint8_t label : map.labels) {
    if (label != cls) std::ranges::copy(elsewhere, to);
    to += 3;
  }
  return out;
} catch (...) {
  rethrow_as_error();
}

Image confidence_picture(std::span<const float> confidence, int w, int h) try {
  Image out = make_image(w, h, 1);
  if (confidence.size() != out.pixels.size())
    fail(ErrorCode::invalid_argument, "confidence: ", w, "x", h, " needs ", out.pixels.size(),
         " values, found ", confidence.size());
  std::ranges::transform(confidence, out.pixels.begin(), [](float v) {
    return v > 0 ? static_cast<std::uint8_t>(std::lround(255 * std::min(v, 1.0f))) : std::uint8_t{0};
  });
  return out;
} catch (...) {
  rethrow_as_error();
}

}  // namespace atrous
