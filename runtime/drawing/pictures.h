// What people look at: masks, overlays, cut-outs and confidence, made from a label map.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "layers/base/public.h"
#include "runtime/image/image.h"
#include "weights_tools/metadata.h"

namespace ATROUS_PUBLIC atrous {

// Every function: Error(invalid_argument), with both numbers, for a photo and a label map of different sizes,
// for a label that the palette has no colour for, for a photo that is not RGB.

// The RGB mask: each label's colour.
Image colourise(const LabelMap&, const Palette&);

// How wide the contours of an overlay are, in pixels: one for photos up to 800 pixels on the longer side, one
// more for each further 800.
inline int contour_width(int width, int height) { return 1 + ((width > height ? width : height) - 1) / 800; }

struct OverlayOptions {
  float alpha = 0.5f;                  // how much of the colour, 0..1: out = photo + alpha * (colour - photo)
  bool contours = true;                // outline every region in its pure colour; see overlay()
  std::optional<int> background = {};  // Model::background stays as the photo is; none: all classes tinted
  int contour = 0;                     // their width in pixels; 0: contour_width() of the photo
};

// The photo, tinted by class. A contour lies inside the region it bounds, where the label differs from one
// within the line's width. The background has none of its own. Error(invalid_argument) too for an alpha
// outside 0..1 and a width below 0.
Image overlay(const Image& photo, const LabelMap&, const Palette&, const OverlayOptions& = {});

// RGBA: the photo where the label is `cls`, elsewhere transparent and black, so that nothing of it is left in
// the file.
Image cutout(const Image& photo, const LabelMap&, std::uint8_t cls);

// RGB: the photo where the label is `cls`, elsewhere a colour.
Image cutout(const Image& photo, const LabelMap&, std::uint8_t cls, const Colour& elsewhere);

// Grey: confidence 0..1 as 0..255, rounded; values outside are clamped and NaN is 0. Error(invalid_argument)
// unless there are w * h values.
Image confidence_picture(std::span<const float> confidence, int w, int h);

}  // namespace atrous
