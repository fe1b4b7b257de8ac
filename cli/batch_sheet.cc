#include "cli/batch_sheet.h"

#include <utility>

#include "runtime/drawing/lettering.h"
#include "runtime/drawing/pictures.h"
#include "runtime/image/png.h"

namespace atrous::cli {

BatchSheet::BatchSheet(int images, const std::vector<std::string>& classes, Palette palette,
                       std::optional<ResizeRule> rule)
    : wanted_(static_cast<std::size_t>(images)),
      classes_(classes),
      palette_(std::move(palette)),
      rule_(rule) {
  palette_.resize(256, {255, 255, 255});
}

void BatchSheet::add(const ScoredImage& image) {
  if (photos_.size() == wanted_) return;
  photos_.push_back(as_compared(image));
  predictions_.push_back(colourise(image.prediction, palette_));
  truths_.push_back(colourise(image.truth, palette_));
  for (const LabelMap* map : {&image.prediction, &image.truth})
    for (const std::uint8_t label : map->labels) seen_[label] = true;
}

std::vector<std::byte> BatchSheet::png() const {
  if (photos_.empty()) return {};
  std::vector<LegendEntry> legend;
  for (std::size_t c = 0; c < classes_.size(); ++c)
    if (seen_[c]) legend.push_back({palette_[c], classes_[c]});
  int columns = 1;
  while (columns * columns < static_cast<int>(photos_.size())) ++columns;
  const Panel panels[] = {{grid(photos_, columns), "images"},
                          {grid(predictions_, columns), "predictions"},
                          {grid(truths_, columns), "truths"}};
  return encode_png(sheet(panels, legend));
}

// Photos are compared as the network takes them, or at their own size.
Image BatchSheet::as_compared(const ScoredImage& image) const {
  const auto fits = [&](const Image& i) {
    return i.width == image.truth.width && i.height == image.truth.height;
  };
  Image photo = rule_ ? apply(*rule_, image.photo) : image.photo;
  return fits(photo) ? photo : resize_bilinear(image.photo, image.truth.width, image.truth.height);
}

}  // namespace atrous::cli
