#include "runtime/report/detection_pictures.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "layers/base/error.h"
#include "runtime/drawing/boxes.h"
#include "runtime/drawing/pictures.h"
#include "runtime/image/palette.h"

namespace atrous {

namespace {

// They differ in lightness, not only in hue. The page's legend (page.css) has the same colours.
constexpr Colour right_box{236, 240, 243}, wrong_box{204, 51, 17}, missed_box{255, 190, 30};

// Colours by place; 0 is what no instance covers.
constexpr std::size_t colours_of_instances = 255;

struct DrawnInstance {
  std::size_t colour = 0;  // its place among colours
  std::optional<CocoBox> box = {};
  std::vector<CocoSpan> spans = {};  // empty where no mask is drawn
  std::string caption = {};
};

class DetectionDrawing {
 public:
  DetectionDrawing(const Image& photo, const CocoEvaluation& e, const CocoImage& image,
                   const CocoImageScore& score)
      : photo_(photo), evaluation_(e), image_(image), score_(score) {
    shown_ = score.right;
    for (const auto* places : {&score.wrong, &score.uncounted})
      shown_.insert(shown_.end(), places->begin(), places->end());
    std::ranges::stable_sort(shown_, [&](std::size_t a, std::size_t b) {
      return e.results.detections[a].score > e.results.detections[b].score;
    });
    for (std::size_t i = 0; i < shown_.size(); ++i) colour_[shown_[i]] = i;
  }

  Image found() {
    std::vector<DrawnInstance> all;
    for (std::size_t i = 0; i < shown_.size(); ++i) {
      all.push_back(detection(shown_[i], i));
      add_mask(all.back(), evaluation_.results.detections[shown_[i]].mask);
    }
    return overlaid(all);
  }

  Image truth() {
    std::vector<DrawnInstance> all;
    std::size_t next = shown_.size();
    for (const auto* places : {&score_.found, &score_.missed, &score_.crowds})
      for (const std::size_t place : *places) {
        const auto match = evaluation_.boxes.found50[place];
        const bool is_found = places == &score_.found && match && colour_.contains(*match);
        all.push_back(annotation(place, is_found ? colour_.at(*match) : next++));
        add_mask(all.back(), evaluation_.truth.annotations[place].mask);
      }
    return overlaid(all);
  }

  Image errors() const {
    Image out = photo_;
    for (std::size_t i = 0; i < out.pixels.size(); i += 3) {
      const int luma = (299 * out.pixels[i] + 587 * out.pixels[i + 1] + 114 * out.pixels[i + 2]) / 1000;
      std::fill_n(out.pixels.begin() + static_cast<std::ptrdiff_t>(i), 3,
                  static_cast<std::uint8_t>(luma * 2 / 5));
    }
    std::vector<CaptionedBox> boxes;  // the first on top
    const auto add = [&](const DrawnInstance& one, const Colour& colour, bool has_caption) {
      if (one.box) boxes.push_back(captioned(one, colour, has_caption));
    };
    for (const std::size_t place : score_.missed) add(annotation(place, 0), missed_box, true);
    for (const std::size_t place : score_.wrong) add(detection(place, 0), wrong_box, true);
    for (const std::size_t place : score_.right) add(detection(place, 0), right_box, false);
    draw_boxes(out, boxes);
    return out;
  }

 private:
  std::string name_of(std::int64_t category) const {
    const auto& all = evaluation_.truth.categories;
    const auto found = std::ranges::lower_bound(all, category, {}, &CocoCategory::id);
    const bool named = found != all.end() && found->id == category && !found->name.empty();
    return named ? found->name : str_cat("category ", category);
  }

  void add_mask(DrawnInstance& one, const std::optional<CocoMask>& mask) {
    if (evaluation_.masks && mask) one.spans = coco_spans(*mask, image_.width, image_.height, work_);
  }

  // Where there is a mask alone the box is that around it.
  std::optional<CocoBox> box_of(const std::optional<CocoBox>& box,
                                const std::optional<CocoMask>& mask) const {
    if (box || !mask) return box;
    CocoWork work;
    return coco_box_around(coco_spans(*mask, image_.width, image_.height, work), image_.height);
  }

  DrawnInstance detection(std::size_t place, std::size_t colour) const {
    const CocoDetection& d = evaluation_.results.detections[place];
    char score[320];  // as long as any double with two digits behind the point
    const char* end = std::to_chars(score, score + sizeof score, d.score, std::chars_format::fixed, 2).ptr;
    return {
        colour, box_of(d.box, d.mask), {}, str_cat(name_of(d.category), ' ', std::string_view(score, end))};
  }
  DrawnInstance annotation(std::size_t place, std::size_t colour) const {
    const CocoAnnotation& a = evaluation_.truth.annotations[place];
    return {colour, box_of(a.box, a.mask), {}, name_of(a.category) + (a.crowd ? " (crowd)" : "")};
  }

  static CaptionedBox captioned(const DrawnInstance& one, const Colour& colour, bool has_caption) {
    const CocoBox& b = *one.box;
    return {static_cast<float>(b[0]),
            static_cast<float>(b[1]),
            static_cast<float>(b[0] + b[2]),
            static_cast<float>(b[1] + b[3]),
            colour,
            has_caption ? one.caption : ""};
  }

  // The first on top.
  Image overlaid(const std::vector<DrawnInstance>& all) const {
    const Palette colours = voc_palette(colours_of_instances + 1);
    const auto label = [](const DrawnInstance& one) { return 1 + one.colour % colours_of_instances; };
    LabelMap map{photo_.width, photo_.height, std::vector<std::uint8_t>(photo_.pixels.size() / 3)};
    const auto height = static_cast<std::uint32_t>(map.height);
    std::vector<CaptionedBox> boxes;
    for (const DrawnInstance& one : all)
      if (one.box) boxes.push_back(captioned(one, colours[label(one)], true));
    for (std::size_t i = all.size(); i-- > 0;)
      for (const CocoSpan& span : all[i].spans)  // down the columns
        for (std::uint32_t p = span.begin; p < span.end; ++p)
          map.row(static_cast<int>(p % height))[p / height] = static_cast<std::uint8_t>(label(all[i]));
    Image out = overlay(photo_, map, colours, {.background = 0});
    draw_boxes(out, boxes);
    return out;
  }

  const Image& photo_;
  const CocoEvaluation& evaluation_;
  const CocoImage& image_;
  const CocoImageScore& score_;
  std::vector<std::size_t> shown_;             // results, by falling score
  std::map<std::size_t, std::size_t> colour_;  // of each of them
  CocoWork work_;
};

}  // namespace

DetectionPictures draw_detections(const Image& photo, const CocoEvaluation& e, std::size_t image,
                                  const CocoImageScore& score) {
  const CocoImage& expected = e.truth.images.at(image);
  check(photo, "photo");
  if (photo.channels != 3)
    fail(ErrorCode::invalid_argument, "photo: expected 3 channels, found ", photo.channels);
  if (photo.width != expected.width || photo.height != expected.height)
    fail(ErrorCode::invalid_argument, "photo: expected ", expected.width, "x", expected.height,
         " pixels, as the annotations have it, found ", photo.width, "x", photo.height);
  DetectionDrawing drawing(photo, e, expected, score);
  return {drawing.truth(), drawing.found(), drawing.errors()};
}

}  // namespace atrous
