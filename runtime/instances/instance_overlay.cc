#include "runtime/instances/instance_overlay.h"

#include <iomanip>

#include "layers/base/error.h"
#include "runtime/drawing/boxes.h"
#include "runtime/image/palette.h"

namespace atrous {

namespace {

// Colours by an instance's place; 0 is what no instance covers.
constexpr std::size_t instance_colours = 255;
std::uint8_t colour_index(std::size_t i) { return static_cast<std::uint8_t>(1 + i % instance_colours); }

}  // namespace

Image instance_overlay(const Image& photo, const Instances& instances, const Model& model,
                       const OverlayOptions& style) try {
  check(photo, "photo");
  const Palette colours = voc_palette(256);
  Image out = photo;
  if (model.has_masks()) {
    LabelMap map{photo.width, photo.height, {}};
    map.labels.resize(static_cast<std::size_t>(photo.width) * static_cast<std::size_t>(photo.height));
    for (std::size_t i = instances.found.size(); i-- > 0;) paint_instance(instances, i, colour_index(i), map);
    OverlayOptions own = style;
    own.background = 0;
    out = overlay(photo, map, colours, own);
  }
  std::vector<CaptionedBox> boxes;
  for (std::size_t i = 0; i < instances.found.size(); ++i) {
    const Instance& one = instances.found[i];
    boxes.push_back({one.box.x1, one.box.y1, one.box.x2, one.box.y2, colours[colour_index(i)],
                     str_cat(model.classes[static_cast<std::size_t>(one.label)], ' ', std::fixed,
                             std::setprecision(2), one.score)});
  }
  draw_boxes(out, boxes);
  return out;
} catch (...) {
  rethrow_as_error();
}

}  // namespace atrous
