// Boxes with captions on a picture: what a detector found.
#pragma once

#include <span>
#include <string>

#include "layers/base/public.h"
#include "runtime/image/image.h"
#include "weights_tools/metadata.h"

namespace ATROUS_PUBLIC atrous {

struct CaptionedBox {
  float x1 = 0, y1 = 0, x2 = 0, y2 = 0;  // corners in pixels
  Colour colour{};
  std::string caption = {};  // UTF-8
};

// Outlines in the boxes' colours, as wide as contours are (pictures.h), the first box on top; captions in
// black or white, whichever is easier to read, on the box's colour above its top left corner, inside the box
// where there is no room above. Letters grow with the picture's longer side. A corner outside the picture is
// drawn at its border. Error(invalid_argument) for a picture that is not RGB and for a corner that is no
// number.
void draw_boxes(Image&, std::span<const CaptionedBox>);

}  // namespace atrous
