#include "runtime/report_data.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <span>

#include "weights_tools/sha256.h"

namespace atrous {

namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t curve_points = 200;

// Six digits behind the point are more than a page shows.
Json number(Ratio value, double scale = 1e6) {
  if (!value || !std::isfinite(*value)) return nullptr;
  return std::round(*value * scale) / scale;
}

std::string hex_colour(const Palette& palette, std::size_t c) {
  const Colour colour = c < palette.size() ? palette[c] : Colour{128, 128, 128};
  std::array<char, 8> out;
  std::snprintf(out.data(), out.size(), "#%02x%02x%02x", colour[0], colour[1], colour[2]);
  return out.data();
}

Json summary_json(const Metrics& m) {
  return {{"pixels", m.pixels},
          {"mean_iou", number(m.mean_iou)},
          {"pixel_accuracy", number(m.pixel_accuracy)},
          {"mean_dice", number(m.mean_dice)},
          {"mean_accuracy", number(m.mean_recall)},
          {"mean_precision", number(m.mean_precision)},
          {"frequency_weighted_iou", number(m.frequency_weighted_iou)},
          {"mean_ap", number(m.mean_average_precision)},
          {"loss", number(m.cross_entropy)},
          {"image_mean_iou", number(m.image_mean_iou)}};
}

Json classes_json(const Evaluation& e, const Metrics& m) {
  Json out = Json::array();
  for (std::size_t c = 0; c < m.classes.size(); ++c) {
    const ClassMetrics& k = m.classes[c];
    out.push_back({{"name", c < e.classes.size() ? e.classes[c] : "class " + std::to_string(c)},
                   {"colour", hex_colour(e.palette, c)},
                   {"iou", number(k.iou)},
                   {"dice", number(k.dice)},
                   {"precision", number(k.precision)},
                   {"recall", number(k.recall)},
                   {"ap", number(k.average_precision)},
                   {"image_iou", number(k.iou_per_image)},
                   {"truth", k.truth_pixels},
                   {"predicted", k.predicted_pixels}});
  }
  return out;
}

Json confusion_json(const ConfusionMatrix& confusion) {
  Json rows = Json::array();
  for (int t = 0; t < confusion.classes; ++t) {
    Json row = Json::array();
    for (int p = 0; p < confusion.classes; ++p) row.push_back(confusion.at(t, p));
    rows.push_back(std::move(row));
  }
  return rows;
}

Json curves_json(const ScoreHistogram& scores) {
  Json curves = Json::array();
  for (int c = 0; c < scores.classes; ++c) {
    Json curve = Json::array();
    for (const CurvePoint& p : thin_out(precision_recall(scores, c), curve_points))
      curve.push_back({number(p.threshold, 1e4), number(p.precision, 1e4), number(p.recall, 1e4)});
    curves.push_back(std::move(curve));
  }
  return curves;
}

Json image_json(const ImageScore& image, const ReportPictures& pictures) {
  Json classes = Json::array();
  for (const auto& [c, iou] : image.iou) classes.push_back({c, number(iou, 1e4)});
  Json out = {{"name", image.name},
              {"width", image.width},
              {"height", image.height},
              {"pixels", image.pixels},
              {"iou", number(image.mean_iou)},
              {"accuracy", number(image.pixel_accuracy)},
              {"dice", number(image.mean_dice)},
              {"loss", number(image.cross_entropy)},
              {"seconds", number(image.seconds)},
              {"classes", std::move(classes)}};
  if (!pictures.photo.empty())
    out["pictures"] = {{"photo", pictures.photo},
                       {"truth", pictures.truth},
                       {"prediction", pictures.prediction},
                       {"errors", pictures.errors}};
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

std::string report_data(const Evaluation& e, const std::vector<ReportPictures>& pictures) {
  const Metrics metrics = e.metrics();
  Json images = Json::array(), failed = Json::array();
  for (std::size_t i = 0; i < e.images.size(); ++i) images.push_back(image_json(e.images[i], pictures.at(i)));
  for (const auto& [name, sentence] : e.failed) failed.push_back({name, sentence});
  const Json json = {{"model", e.model},
                     {"architecture", e.architecture},
                     {"dataset", e.dataset},
                     {"size", e.size},
                     {"seconds", number(e.seconds)},
                     {"summary", summary_json(metrics)},
                     {"classes", classes_json(e, metrics)},
                     {"confusion", confusion_json(e.confusion)},
                     {"curves", curves_json(e.scores)},
                     {"images", std::move(images)},
                     {"failed", std::move(failed)}};
  // Beyond ASCII everything becomes \u, and what is no UTF-8 U+FFFD.
  const std::string text = json.dump(-1, ' ', true, Json::error_handler_t::replace);
  std::string out;
  out.reserve(text.size());
  for (const char c : text)  // '<' occurs only within strings
    if (c == '<')
      out += "\\u003c";
    else
      out += c;
  return out;
}

}  // namespace atrous
