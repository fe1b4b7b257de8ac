#include "runtime/report/report_data.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <span>

#include "layers/base/error.h"
#include "runtime/report/report_files.h"
#include "weights_tools/io/sha256.h"

namespace atrous {

namespace {

constexpr std::size_t curve_points = 200;

JsonText number(Ratio value, double scale = 1e6) { return value ? page_number(*value, scale) : JsonText(); }

JsonText summary_json(const Metrics& m) {
  return json_object({{"pixels", m.pixels},
                      {"mean_iou", number(m.mean_iou)},
                      {"pixel_accuracy", number(m.pixel_accuracy)},
                      {"mean_dice", number(m.mean_dice)},
                      {"mean_accuracy", number(m.mean_recall)},
                      {"mean_precision", number(m.mean_precision)},
                      {"frequency_weighted_iou", number(m.frequency_weighted_iou)},
                      {"mean_ap", number(m.mean_average_precision)},
                      {"loss", number(m.cross_entropy)},
                      {"image_mean_iou", number(m.image_mean_iou)}});
}

JsonText classes_json(const Evaluation& e, const Metrics& m) {
  std::size_t c = 0;
  return json_list(m.classes, [&](const ClassMetrics& k) {
    const std::string name = c < e.classes.size() ? e.classes[c] : str_cat("class ", c);
    const Colour colour = c < e.palette.size() ? e.palette[c] : Colour{128, 128, 128};
    ++c;
    return json_object({{"name", page_string(name)},
                        {"colour", page_colour(colour)},
                        {"iou", number(k.iou)},
                        {"dice", number(k.dice)},
                        {"precision", number(k.precision)},
                        {"recall", number(k.recall)},
                        {"ap", number(k.average_precision)},
                        {"image_iou", number(k.iou_per_image)},
                        {"truth", k.truth_pixels},
                        {"predicted", k.predicted_pixels}});
  });
}

// A list of `one` of 0, 1, ...
template <class One>
JsonText numbered_list(int count, One&& one) {
  std::vector<int> numbers(static_cast<std::size_t>(count));
  std::iota(numbers.begin(), numbers.end(), 0);
  return json_list(numbers, one);
}

JsonText confusion_json(const ConfusionMatrix& confusion) {
  return numbered_list(confusion.classes, [&](int t) {
    return numbered_list(confusion.classes, [&](int p) { return confusion.at(t, p); });
  });
}

JsonText curves_json(const ScoreHistogram& scores) {
  return numbered_list(scores.classes, [&](int c) {
    return json_list(thin_out(precision_recall(scores, c), curve_points), [](const CurvePoint& p) {
      return json_list({number(p.threshold, 1e4), number(p.precision, 1e4), number(p.recall, 1e4)});
    });
  });
}

JsonText pictures_json(const ReportPictures& pictures) {
  return json_object({{"photo", page_string(pictures.photo)},
                      {"truth", page_string(pictures.truth)},
                      {"prediction", page_string(pictures.prediction)},
                      {"errors", page_string(pictures.errors)}});
}

JsonText image_json(const ImageScore& image, const ReportPictures& pictures) {
  JsonText out = json_object({{"name", page_string(image.name)},
                              {"width", image.width},
                              {"height", image.height},
                              {"pixels", image.pixels},
                              {"iou", number(image.mean_iou)},
                              {"accuracy", number(image.pixel_accuracy)},
                              {"dice", number(image.mean_dice)},
                              {"loss", number(image.cross_entropy)},
                              {"seconds", number(image.seconds)},
                              {"classes", json_list(image.iou, [](const auto& of_class) {
                                 return json_list({of_class.first, number(of_class.second, 1e4)});
                               })}});
  if (pictures.photo.empty()) return out;
  add_member(out, "pictures", pictures_json(pictures));
  if (pictures.width < image.width || pictures.height < image.height)
    add_member(out, "shown", json_list({pictures.width, pictures.height}));
  return out;
}

}  // namespace

std::string picture_stem(std::string_view image_name) {
  constexpr std::string_view plain = "abcdefghijklmnopqrstuvwxyz0123456789_-.";
  constexpr std::string_view capitals = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
  constexpr std::size_t longest = 100, digits = 12;
  std::string stem(image_name.substr(0, longest));
  for (char& c : stem)
    if (plain.find(c) == plain.npos && capitals.find(c) == capitals.npos) c = '_';
  // A plain name that could itself be a made one is treated as foreign, so that the two cannot meet.
  const bool looks_made = image_name.size() > digits && image_name[image_name.size() - digits - 1] == '-';
  const bool foreign = image_name.find_first_not_of(plain) != std::string_view::npos ||
                       image_name.size() > longest || image_name.empty();
  if (!foreign && !looks_made && stem.front() != '.' && stem.front() != '-') return stem;
  if (stem.empty() || stem.front() == '.' || stem.front() == '-') stem.insert(0, 1, '_');
  return stem + '-' + sha256_of_bytes(std::as_bytes(std::span(image_name))).substr(0, digits);
}

std::vector<CurvePoint> thin_out(const std::vector<CurvePoint>& curve, std::size_t most) {
  if (curve.size() <= most) return curve;
  std::vector<double> length{0};  // of the curve up to each point
  for (std::size_t i = 1; i < curve.size(); ++i)
    length.push_back(length.back() + std::hypot(curve[i].precision - curve[i - 1].precision,
                                                curve[i].recall - curve[i - 1].recall));
  std::vector<CurvePoint> kept{curve.front()};
  const double step = length.back() / static_cast<double>(most - 1);
  for (std::size_t i = 1; i + 1 < curve.size() && kept.size() + 1 < most; ++i)
    if (length[i] >= step * static_cast<double>(kept.size())) kept.push_back(curve[i]);
  kept.push_back(curve.back());
  return kept;
}

JsonText report_data(const Evaluation& e, const std::vector<ReportPictures>& pictures) {
  const Metrics metrics = e.metrics();
  std::size_t i = 0;
  return json_object(
      {{"model", page_string(e.model)},
       {"architecture", page_string(e.architecture)},
       {"dataset", page_string(e.dataset)},
       {"size", page_string(e.size)},
       {"input", page_string(e.input)},
       {"notes", json_list(notes(e), [](const std::string& note) { return page_string(note); })},
       {"seconds", number(e.seconds)},
       {"summary", summary_json(metrics)},
       {"classes", classes_json(e, metrics)},
       {"confusion", confusion_json(e.confusion)},
       {"curves", curves_json(e.scores)},
       {"images", json_list(e.images, [&](const ImageScore& s) { return image_json(s, pictures.at(i++)); })},
       {"failed", json_list(e.failed, [](const auto& failure) {
          return json_list({page_string(failure.first), page_string(failure.second)});
        })}});
}

}  // namespace atrous
