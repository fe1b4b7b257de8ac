#include "runtime/report/detection_report.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <utility>

#include "layers/base/error.h"
#include "layers/base/naming.h"
#include "runtime/image/palette.h"
#include "runtime/image/png.h"
#include "runtime/report/detection_pictures.h"
#include "runtime/report/report_data.h"
#include "runtime/report/report_files.h"
#include "runtime/report/report_page.h"
#include "weights_tools/io/file.h"

namespace atrous {

namespace {

constexpr const char* detection_pictures[] = {"truth", "found", "errors"};

// -1 where no truth counts.
JsonText figure(double value) { return value < 0 ? JsonText() : page_number(value); }

JsonText figures_json(const CocoSummary& s) {
  return json_object({{"ap", figure(s.ap)},
                      {"ap50", figure(s.ap50)},
                      {"ap75", figure(s.ap75)},
                      {"ap_small", figure(s.ap_small)},
                      {"ap_medium", figure(s.ap_medium)},
                      {"ap_large", figure(s.ap_large)},
                      {"ar1", figure(s.ar1)},
                      {"ar10", figure(s.ar10)},
                      {"ar100", figure(s.ar100)},
                      {"ar_small", figure(s.ar_small)},
                      {"ar_medium", figure(s.ar_medium)},
                      {"ar_large", figure(s.ar_large)}});
}

// Of masks too, where they were measured; else null.
template <class Of>
JsonText of_both(const CocoEvaluation& e, Of&& of) {
  return json_object({{"boxes", of(e.boxes)}, {"masks", e.masks ? of(*e.masks) : JsonText()}});
}

JsonText category_json(const CocoEvaluation& e, std::size_t c, const Palette& colours) {
  const CocoCategoryScore& boxes = e.boxes.categories[c];
  const auto measures = [c](const CocoScores& s) {
    const CocoCategoryScore& k = s.categories[c];
    return json_object(
        {{"ap", figure(k.ap)}, {"ap50", figure(k.ap50)}, {"ap75", figure(k.ap75)}, {"ar", figure(k.ar100)}});
  };
  JsonText out =
      json_object({{"name", page_string(boxes.name.empty() ? str_cat("category ", boxes.id) : boxes.name)},
                   {"colour", page_colour(colours[1 + c % (colours.size() - 1)])},
                   {"truths", boxes.truths},
                   {"detections", boxes.detections}});
  add_member(out, "boxes", measures(e.boxes));
  add_member(out, "masks", e.masks ? measures(*e.masks) : JsonText());
  return out;
}

// [[score, precision, recall], ...] up to the recall that is reached.
JsonText curve_json(const CocoCategoryScore& k) {
  std::vector<JsonText> points;
  for (std::size_t p = 0; p < k.precision50.size() && k.precision50[p] > 0; ++p)
    points.push_back(json_list({page_number(k.score50[p], 1e4), page_number(k.precision50[p], 1e4),
                                page_number(static_cast<double>(p) * 0.01, 1e4)}));
  return json_list(points);
}

JsonText detection_image_json(const CocoEvaluation& e, const CocoImage& image, const CocoImageScore& score) {
  const auto class_of = [&](std::int64_t category) {
    const auto& all = e.truth.categories;
    return std::ranges::lower_bound(all, category, {}, &CocoCategory::id) - all.begin();
  };
  const auto detections = [&](const std::vector<std::size_t>& places) {
    return json_list(places, [&](std::size_t place) {
      const CocoDetection& d = e.results.detections[place];
      return json_list({JsonText(class_of(d.category)), page_number(d.score, 1e3)});
    });
  };
  const std::optional<double> f1 = score.f1();
  return json_object(
      {{"name", page_string(image.file_name.empty() ? str_cat("image ", image.id) : image.file_name)},
       {"width", image.width},
       {"height", image.height},
       {"f1", f1 ? page_number(*f1) : JsonText()},
       {"right", detections(score.right)},
       {"wrong", detections(score.wrong)},
       {"missed", json_list(score.missed, [&](std::size_t place) {
          return JsonText(class_of(e.truth.annotations[place].category));
        })}});
}

// Images may have one name, or none: the id tells them apart.
std::string stem_of(const CocoImage& image) { return picture_stem(str_cat(image.file_name, "-", image.id)); }

}  // namespace

DetectionReport::DetectionReport(std::string folder) try : folder_(std::move(folder)) {
  make_report_folder(folder_);
} catch (...) {
  rethrow_as_error();
}

const CocoEvaluation& DetectionReport::evaluation() const {
  if (!evaluation_) fail(ErrorCode::invalid_argument, folder_, ": the report has no evaluation yet");
  return *evaluation_;
}

std::vector<std::size_t> DetectionReport::begin(const CocoEvaluation& evaluation, std::size_t most) try {
  images_ = score_coco_images(evaluation, least_score);
  photos_.clear();
  evaluation_ = &evaluation;
  return worst_coco_images(images_, most);
} catch (...) {
  rethrow_as_error();
}

void DetectionReport::add(std::size_t place, std::span<const std::byte> photo_file, const Image& photo) try {
  const CocoImage& image = evaluation().truth.images.at(place);
  const DetectionPictures drawn =
      naming(image.file_name, [&] { return draw_detections(photo, *evaluation_, place, images_.at(place)); });
  photos_.erase(place);
  const std::string stem = stem_of(image);
  const std::string written = write_report_photo(folder_, stem, photo_file, photo);
  const Image* const pictures[] = {&drawn.truth, &drawn.found, &drawn.errors};
  for (std::size_t i = 0; i < std::size(pictures); ++i)
    write_file(str_cat(folder_, "/images/", stem, '-', detection_pictures[i], ".png"),
               encode_png(*pictures[i]));
  photos_[place] = written;
} catch (...) {
  rethrow_as_error();
}

void DetectionReport::finish() const try {
  const CocoEvaluation& e = evaluation();
  const Palette colours = voc_palette(256);
  std::vector<JsonText> classes, images;
  for (std::size_t c = 0; c < e.boxes.categories.size(); ++c) classes.push_back(category_json(e, c, colours));
  for (std::size_t i = 0; i < images_.size(); ++i) {
    const CocoImage& image = e.truth.images[i];
    images.push_back(detection_image_json(e, image, images_[i]));
    const auto photo = photos_.find(i);
    if (photo == photos_.end()) continue;
    JsonText pictures = json_object({{"photo", page_string(photo->second)}});
    for (const char* kind : detection_pictures)
      add_member(pictures, kind, page_string(str_cat("images/", stem_of(image), '-', kind, ".png")));
    add_member(images.back(), "pictures", pictures);
  }
  const std::string& model = e.model.empty() ? e.results.path : e.model;
  const JsonText data = json_object(
      {{"model", page_string(model)},
       {"architecture", page_string(e.architecture)},
       {"dataset", page_string(e.truth.path)},
       {"notes", json_list(e.notes, [](const std::string& note) { return page_string(note); })},
       {"seconds", e.seconds ? page_number(*e.seconds) : JsonText()},
       {"counts", json_object({{"images", e.boxes.images},
                               {"truths", e.boxes.truths},
                               {"crowds", e.boxes.crowds},
                               {"detections", e.boxes.detections}})},
       {"score", page_number(least_score)},
       {"summary", of_both(e, [](const CocoScores& s) { return figures_json(s.summary); })},
       {"classes", json_list(classes)},
       {"curves", of_both(e, [](const CocoScores& s) { return json_list(s.categories, curve_json); })},
       {"images", json_list(images)},
       {"failed", json_list(e.failed, [](const auto& failure) {
          return json_list({page_string(failure.first), page_string(failure.second)});
        })}});
  write_report_page(folder_, report_detections_html, model + " on " + e.truth.path, data,
                    report_detections_js);
} catch (...) {
  rethrow_as_error();
}

}  // namespace atrous
