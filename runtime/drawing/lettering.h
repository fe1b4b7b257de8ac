// Words on pictures: lines of text (runtime/drawing/font.h), a legend, a sheet of captioned panels.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "layers/base/public.h"
#include "runtime/image/class_share.h"
#include "runtime/image/image.h"
#include "weights_tools/metadata.h"

namespace ATROUS_PUBLIC atrous {

// Width and height in pixels of a line of text at `scale` (1: the font's own size). Text is UTF-8; what the
// font lacks, and every byte that is not UTF-8, is drawn as a box. Error(invalid_argument) for a scale
// outside 1..max_picture_side; Error(limit) for a width that is no int.
int text_width(std::string_view, int scale = 1);
int text_height(int scale = 1);

// The text, or as much of its beginning as fits into `width` with an ellipsis behind it; nothing where not
// even that fits.
std::string shortened(std::string_view, int width, int scale = 1);

// Draws a line with its top left corner at (x, y) on an RGB picture; what lies outside is cut off. From scale
// 2 on, steps of slanted strokes are filled.
void draw_text(Image&, int x, int y, std::string_view, Colour, int scale = 1);

// A rectangle of one colour on an RGB picture; what lies outside is cut off.
void fill_rectangle(Image&, int x, int y, int width, int height, const Colour&);

struct LegendEntry {
  Colour colour{};
  std::string text;
  std::string value = {};  // such as "12.3%": paler, at the right edge of its column
};

// The classes of a label map, as class_shares() lists them, with their shares in percent.
// Error(invalid_argument) for a class without a name or a colour.
std::vector<LegendEntry> legend_of(const std::vector<ClassShare>&, const std::vector<std::string>& classes,
                                   const Palette&);

// The RGB picture with a legend on white below it, row by row in aligned columns. Letters grow with the
// picture's longer side so that they stay legible where it is shown whole, unless the legend would need much
// more room than the picture has. The picture is the top left part of the result and is not touched; where
// it is too narrow for the legend's longest line, the result is wider. Long texts end in an ellipsis. Without
// entries the result is the picture. Error(limit) where a side would be over max_picture_side.
Image with_legend(const Image& picture, std::span<const LegendEntry>);

// RGB pictures row by row, `columns` of them in each, in cells as large as the largest and two pixels of
// white between them, as torchvision.utils.make_grid has them. Error(invalid_argument) without pictures or
// columns; Error(limit) where a side would be over max_picture_side.
Image grid(std::span<const Image>, int columns);

struct Panel {
  Image picture;  // RGB
  std::string caption;
};

// Panels row by row on white, `columns` of them in each, every one under its caption in a cell as large as
// the largest, a title above them all. Letters are as large as a sheet's where the captions fit into the
// cells, otherwise smaller; captions that do not fit even so end in an ellipsis. Error(invalid_argument)
// without panels or columns; Error(limit) where a side would be over max_picture_side.
Image captioned_grid(std::string_view title, std::span<const Panel>, int columns);

// Panels side by side on white, each under its caption, with a legend below them all. They are scaled to the
// height of the tallest (those of one size stay as they are), and then made smaller where the sheet's side
// would be over max_picture_side or its panels would take over four times their pixels. Long captions end in
// an ellipsis. Error(invalid_argument) without panels; Error(limit) for more of them than fit.
Image sheet(std::span<const Panel>, std::span<const LegendEntry> = {});

}  // namespace atrous
