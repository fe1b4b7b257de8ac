// Words on pictures: a small bitmap font of our own drawing, a legend, a sheet of captioned panels.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/image.h"
#include "weights_tools/metadata.h"

namespace atrous {

// Width and height in pixels of a line of text at `scale` (1: the font's own size). Text is UTF-8; what the
// font lacks is drawn as a box.
int text_width(std::string_view, int scale = 1);
int text_height(int scale = 1);

// Draws a line with its top left corner at (x, y) on an RGB picture; what lies outside is cut off.
void draw_text(Image&, int x, int y, std::string_view, Colour, int scale = 1);

struct LegendEntry {
  Colour colour{};
  std::string text;
};

// The picture with a legend below it, as many rows as it takes; letters grow with the picture so that they
// stay legible where it is shown whole. The picture's own pixels are not touched.
Image with_legend(const Image& picture, std::span<const LegendEntry>);

struct Panel {
  Image picture;  // RGB
  std::string caption;
};

// Panels side by side, scaled to one height (those of one size stay as they are), each under its caption,
// with a legend below them all.
Image sheet(std::span<const Panel>, std::span<const LegendEntry> = {});

}  // namespace atrous
