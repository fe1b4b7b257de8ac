#include "runtime/drawing/boxes.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "layers/base/error.h"
#include "runtime/drawing/lettering.h"

namespace atrous {

namespace {

// The pixel of a corner; of one outside the picture the nearest.
int on_picture(float corner, int side) {
  return static_cast<int>(std::clamp(std::floor(corner), 0.0F, static_cast<float>(side - 1)));
}

// Rec. 601 luma.
bool is_light(const Colour& c) { return 299 * c[0] + 587 * c[1] + 114 * c[2] > 140'000; }

void draw_outline(Image& image, int left, int top, int right, int bottom, int line, const Colour& colour) {
  const int width = right - left + 1, height = bottom - top + 1;
  fill_rectangle(image, left, top, width, line, colour);
  fill_rectangle(image, left, bottom - line + 1, width, line, colour);
  fill_rectangle(image, left, top, line, height, colour);
  fill_rectangle(image, right - line + 1, top, line, height, colour);
}

}  // namespace

void draw_boxes(Image& image, std::span<const CaptionedBox> boxes) try {
  check(image, "picture");
  if (image.channels != 3)
    fail(ErrorCode::invalid_argument, "boxes: expected a picture of 3 channels, found ", image.channels);
  const int longer = std::max(image.width, image.height), line = 1 + (longer - 1) / 800,
            scale = std::max(1, (longer + 600) / 1200);
  for (std::size_t i = boxes.size(); i-- > 0;) {
    const CaptionedBox& box = boxes[i];
    for (const float corner : {box.x1, box.y1, box.x2, box.y2})
      if (!std::isfinite(corner)) fail(ErrorCode::invalid_argument, "box ", i, ": a corner is ", corner);
    const int left = on_picture(box.x1, image.width), top = on_picture(box.y1, image.height),
              right = on_picture(box.x2, image.width), bottom = on_picture(box.y2, image.height);
    draw_outline(image, left, top, right, bottom, line, box.colour);
    if (box.caption.empty()) continue;
    const std::string caption = shortened(box.caption, image.width - 4 * scale, scale);
    const int width = text_width(caption, scale) + 4 * scale, height = text_height(scale) + 2 * scale;
    const int x = std::min(left, std::max(0, image.width - width)),
              y = top >= height ? top - height : top + line;
    fill_rectangle(image, x, y, width, height, box.colour);
    draw_text(image, x + 2 * scale, y + scale, caption,
              is_light(box.colour) ? Colour{0, 0, 0} : Colour{255, 255, 255}, scale);
  }
} catch (...) {
  rethrow_as_error();
}

}  // namespace atrous
