#include "runtime/serve/photo_request.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "layers/base/error.h"
#include "layers/base/visible_text.h"
#include "runtime/drawing/pictures.h"
#include "runtime/image/image_read.h"
#include "runtime/image/jpeg.h"
#include "runtime/image/png.h"
#include "runtime/instances/instance_overlay.h"
#include "runtime/instances/instances_json.h"
#include "runtime/segment/options_json.h"
#include "runtime/segment/scale_list.h"
#include "runtime/segment/segmentation_json.h"
#include "runtime/segment/segmenter.h"
#include "runtime/serve/output.h"
#include "weights_tools/io/json_output.h"

namespace atrous::serve {

namespace {

constexpr std::size_t longest_name = 255;
constexpr int jpeg_quality = 90;

// Adds the seconds of what happens while it lives.
class Timed {
 public:
  explicit Timed(double& seconds) : seconds_(seconds) {}
  ~Timed() { seconds_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count(); }
  Timed(const Timed&) = delete;
  Timed& operator=(const Timed&) = delete;

 private:
  double& seconds_;
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

enum Stage { queue, decode, preparation, network, labelling, encode };

// RFC 4648.
std::string base64(std::span<const std::byte> bytes) {
  constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::uint32_t group = 0;
    const std::size_t count = std::min<std::size_t>(3, bytes.size() - i);
    for (std::size_t k = 0; k < 3; ++k)
      group = group << 8 | (k < count ? std::to_integer<std::uint32_t>(bytes[i + k]) : 0u);
    for (std::size_t k = 0; k < 4; ++k) out += k <= count ? digits[group >> (18 - 6 * k) & 63u] : '=';
  }
  return out;
}

std::string text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::vector<std::byte> grey_png(const LabelMap& map) {
  return encode_png(Image{map.width, map.height, 1, map.labels});
}

// The photo's name in answers, and in sentences about it.
std::string name_of_photo(const Query& query) {
  const std::string name = query.parameter("name");
  if (name.size() > longest_name)
    throw Problem{400, str_cat("name: ", name.size(), " bytes, at most ", longest_name)};
  return name.empty() ? "photo" : name;
}

// In the JSON of `parts`, pictures as members.
void add_parts(JsonText& json, const std::vector<std::string>& parts,
               const std::function<std::vector<std::byte>(const std::string&)>& png_of) {
  for (const std::string& part : parts) add_member(json, part, base64(png_of(part)));
}

Reply json_reply(const JsonText& json) { return {200, "application/json", json_output(json), {}}; }

OverlayOptions style_of(const Model& model) {
  OverlayOptions style;
  style.background = model.background;
  return style;
}

Reply picture_reply(const Wanted& wanted, const Image& picture) {
  return {200,
          wanted.type,
          text_of(wanted.type == "image/jpeg" ? encode_jpeg(picture, jpeg_quality) : encode_png(picture)),
          {}};
}

std::optional<float> score_of(const Query& query) {
  const std::string digits = query.parameter("score");
  if (digits.empty()) return std::nullopt;
  float value = 0;
  const auto [rest, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error != std::errc() || rest != digits.data() + digits.size() || !(value >= 0 && value < 1))
    throw Problem{400, str_cat("score: expected a number from 0 to below 1, found ", visible(digits))};
  return value;
}

// "1" and "0"; without it 0.
bool flag_of(const Query& query, const char* name) {
  const std::string value = query.parameter(name);
  if (value != "" && value != "0" && value != "1")
    throw Problem{400, str_cat(name, ": expected 0 or 1, found ", visible(value.substr(0, 64)))};
  return value == "1";
}

}  // namespace

PhotoSession::PhotoSession(const Model& model, const SessionOptions& options, std::int64_t max_pixels,
                           const Refinements& refinements)
    : model_(model), max_pixels_(max_pixels), refinements_(refinements) {
  if (model.task() == Task::instances)
    detector_.emplace(model, options);
  else
    session_.emplace(model.program, options);
}

Reply PhotoSession::answer(const Query& query, std::string_view body, StageSeconds& seconds) {
  query.check_parameters({"output", "include", "name", "score", "crf", "scales", "flip"});
  Asked asked{wanted_output(query.parameter("output"), query.accept),
              parts_of_include(query.parameter("include")),
              name_of_photo(query),
              score_of(query),
              flag_of(query, "crf"),
              protocol_of(query)};
  check(asked);
  const std::string& name = asked.name;
  const std::span<const std::byte> file(reinterpret_cast<const std::byte*>(body.data()), body.size());
  if (file.empty()) throw Problem{400, "expected a picture in the body, found none"};
  Image photo;
  {
    const Timed timed(seconds[decode]);
    const auto [width, height] = picture_size(file, name);
    if (std::int64_t{width} * height > max_pixels_)
      throw Problem{413, str_cat(visible(name), ": ", width, "x", height, " are ",
                                 std::int64_t{width} * height, " pixels, at most ", max_pixels_)};
    if (asked.crf && std::int64_t{width} * height > refinements_.crf_pixels)
      throw Problem{413,
                    str_cat(visible(name), ": ", width, "x", height, " are ", std::int64_t{width} * height,
                            " pixels, with crf at most ", refinements_.crf_pixels)};
    photo = read_image(file, name, {.max_pixels = max_pixels_});
  }
  return detector_ ? instances(asked, photo, seconds) : label_map(asked, photo, seconds);
}

// Scales and mirror images; nothing where one run is all.
std::optional<TestProtocol> PhotoSession::protocol_of(const Query& query) const {
  const std::string scales = query.parameter("scales");
  TestProtocol protocol{.flip = flag_of(query, "flip")};
  if (!scales.empty()) {
    auto given = parse_scales(scales);
    if (!given)
      throw Problem{400, str_cat("scales: expected numbers with commas between them, found ",
                                 visible(scales.substr(0, 64)))};
    protocol.scales = *std::move(given);
  }
  if (scales.empty() && !protocol.flip) return std::nullopt;
  try {
    atrous::check(protocol);
  } catch (const Error& error) {
    throw Problem{400, error.what()};
  }
  double runs = 0;
  for (const double scale : protocol.scales) runs += scale * scale * (protocol.flip ? 2 : 1);
  if (runs > refinements_.runs)
    throw Problem{
        413, str_cat("scales and flip: ", runs, " times the work of one run, at most ", refinements_.runs)};
  return protocol;
}

// What the model has nothing for is refused before anything is decoded.
void PhotoSession::check(const Asked& asked) const {
  const auto includes = [&](std::string_view part) {
    return std::ranges::find(asked.parts, part) != asked.parts.end();
  };
  const Output output = asked.wanted.output;
  if (session_ && (output == Output::instances || includes("instance_map") || asked.score))
    throw Problem{400, "the model here gives each pixel a class; it finds no instances"};
  if (session_) return;
  if (asked.crf || asked.protocol)
    throw Problem{400, "the model here finds instances; crf, scales and flip are for label maps"};
  if (output == Output::confidence || includes("confidence"))
    throw Problem{400, "the model here finds instances; no pixel has a confidence"};
  const bool wants_masks =
      output == Output::labels || output == Output::indexed || output == Output::mask || !asked.parts.empty();
  if (wants_masks && !model_.has_masks()) throw Problem{400, "the model here finds boxes; it has no masks"};
}

Reply PhotoSession::label_map(const Asked& asked, const Image& photo, StageSeconds& seconds) {
  const Wanted& wanted = asked.wanted;
  SegmentOptions how;
  how.confidence = wanted.output == Output::json || wanted.output == Output::confidence;
  if (asked.crf) how.crf = model_.answer().crf.value_or(CrfParameters{});
  how.protocol = asked.protocol;
  const Segmentation s = segment(*session_, model_, photo, how);
  seconds[preparation] += s.prepare_seconds;
  seconds[network] += s.network_seconds;
  seconds[labelling] += s.label_seconds;
  const Timed timed(seconds[encode]);
  const auto confidence = [&] {
    return encode_png(confidence_picture(s.confidence, s.labels.width, s.labels.height));
  };
  switch (wanted.output) {
    case Output::labels:
      return {200, wanted.type, text_of(grey_png(s.labels)), {}};
    case Output::indexed:
      return {200, wanted.type, text_of(encode_png(s.labels, model_.palette)), {}};
    case Output::mask:
      return picture_reply(wanted, colourise(s.labels, model_.palette));
    case Output::confidence:
      return {200, wanted.type, text_of(confidence()), {}};
    case Output::overlay:
      return picture_reply(wanted,
                           overlay(picture_under(s, photo), s.labels, model_.palette, style_of(model_)));
    default:
      break;
  }
  std::vector<JsonText> classes;
  for (const ClassShare& c : class_shares(s)) classes.push_back(class_share_json(c, model_));
  JsonText json = segmentation_json(asked.name, model_, s, classes, {});
  if (how.crf) add_member(json, "crf", crf_json(*how.crf));
  if (how.protocol) add_member(json, "protocol", protocol_json(*how.protocol));
  add_parts(json, asked.parts,
            [&](const std::string& part) { return part == "labels" ? grey_png(s.labels) : confidence(); });
  return json_reply(json);
}

Reply PhotoSession::instances(const Asked& asked, const Image& photo, StageSeconds& seconds) {
  const Wanted& wanted = asked.wanted;
  const Instances found = detector_->detect(photo, {.score = asked.score});
  seconds[preparation] += found.prepare_seconds;
  seconds[network] += found.trunk_seconds + found.head_seconds;
  const Timed timed(seconds[encode]);
  switch (wanted.output) {
    case Output::labels:
      return {200, wanted.type, text_of(grey_png(painted_labels(found))), {}};
    case Output::indexed:
      return {200, wanted.type, text_of(encode_png(painted_labels(found), model_.palette)), {}};
    case Output::mask:
      return picture_reply(wanted, colourise(painted_labels(found), model_.palette));
    case Output::overlay:
      return picture_reply(wanted, instance_overlay(photo, found, model_, style_of(model_)));
    default:
      break;
  }
  const JsonText records = json_list(instances_json(found, model_, asked.name, 1));
  if (asked.parts.empty()) return json_reply(records);
  JsonText json = json_object({{"width", found.width},
                               {"height", found.height},
                               {"input_width", found.input_width},
                               {"input_height", found.input_height},
                               {"seconds", json_object({{"prepare", found.prepare_seconds},
                                                        {"network", found.trunk_seconds + found.head_seconds},
                                                        {"label", 0.0}})},
                               {"instances", records}});
  add_parts(json, asked.parts, [&](const std::string& part) {
    if (part == "labels") return grey_png(painted_labels(found));
    LabelMap map{found.width, found.height,
                 std::vector<std::uint8_t>(
                     static_cast<std::size_t>(found.width) * static_cast<std::size_t>(found.height), 255)};
    for (std::size_t i = std::min<std::size_t>(found.found.size(), 255); i-- > 0;)
      paint_instance(found, i, static_cast<std::uint8_t>(i), map);
    return grey_png(map);
  });
  return json_reply(json);
}

}  // namespace atrous::serve
