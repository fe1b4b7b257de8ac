#include "runtime/evaluation_state.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <nlohmann/json.hpp>
#include <string_view>

#include "layers/error.h"
#include "weights_tools/file.h"
#include "weights_tools/names.h"
#include "weights_tools/sha256.h"

namespace atrous {

namespace {

using Json = nlohmann::ordered_json;

constexpr int format_version = 1;
constexpr std::uint64_t largest_file = std::uint64_t{1} << 30;
// Sums over 256 x 1024 of them stay within an int64.
constexpr std::int64_t largest_count = std::int64_t{1} << 44;

// ---- writing

// Names and sentences may hold any bytes; what is no UTF-8 is replaced.
std::string dump(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

std::string digest(const std::string& body) { return sha256_of_bytes(std::as_bytes(std::span(body))); }

std::string hex(double value) {
  char digits[40];
  return {digits, std::to_chars(digits, digits + sizeof digits, value, std::chars_format::hex).ptr};
}

Json hex(const Ratio& ratio) { return ratio ? Json(hex(*ratio)) : Json(nullptr); }

Json to_json(const ImageScore& s) {
  Json iou = Json::array();
  for (const auto& [c, value] : s.iou) iou.push_back(Json::array({c, hex(value)}));
  return {{"width", s.width},
          {"height", s.height},
          {"pixels", s.pixels},
          {"pixel_accuracy", hex(s.pixel_accuracy)},
          {"mean_iou", hex(s.mean_iou)},
          {"mean_dice", hex(s.mean_dice)},
          {"cross_entropy", hex(s.cross_entropy)},
          {"iou", std::move(iou)},
          {"seconds", hex(s.seconds)}};
}

Json to_json(const ScoreHistogram& s) {
  if (s.classes == 0) return nullptr;
  return {{"positives", s.positives},
          {"all", s.all},
          {"cross_entropy", hex(s.cross_entropy)},
          {"pixels", s.pixels}};
}

Json to_json(const RunIdentity& identity) {
  Json list = Json::array();
  for (const auto& [what, value] : identity) list.push_back(Json::array({what, value}));
  return list;
}

Json images_json(const std::vector<std::string>& names, const Evaluation& e) {
  Json list = Json::array();
  std::size_t image = 0, failure = 0;
  for (std::size_t i = 0; i < e.images.size() + e.failed.size(); ++i) {
    if (image < e.images.size() && e.images[image].name == names.at(i))
      list.push_back(to_json(e.images[image++]));
    else
      list.push_back({{"failed", e.failed.at(failure++).second}});
  }
  return list;
}

// ---- reading; everything may be anything

struct Reader {
  const std::string& path;

  template <class... Parts>
  [[noreturn]] void refuse(const Parts&... parts) const {
    fail(ErrorCode::malformed, path, ": ", parts...);
  }

  const Json& member(const Json& json, const char* key) const {
    if (!json.is_object() || !json.contains(key)) refuse("has no ", key);
    return json[key];
  }

  std::int64_t integer(const Json& json, std::int64_t low, std::int64_t high, std::string_view what) const {
    const bool fits =
        json.is_number_integer() && (!json.is_number_unsigned() ||
                                     json.get<std::uint64_t>() <= static_cast<std::uint64_t>(largest_count));
    const std::int64_t value = fits ? json.get<std::int64_t>() : -1;
    if (!fits || value < low || value > high)
      refuse(what, " is ", printable(dump(json)), ", expected ", low, " to ", high);
    return value;
  }

  double number(const Json& json, std::string_view what) const {
    const std::string digits = json.is_string() ? json.get<std::string>() : "";
    const char* end = digits.data() + digits.size();
    double value = 0;
    const auto [stop, error] = std::from_chars(digits.data(), end, value, std::chars_format::hex);
    if (error != std::errc() || stop != end)
      refuse(what, " is ", printable(dump(json)), ", expected a hexadecimal number");
    return value;
  }

  Ratio ratio(const Json& json, const char* key) const {
    const Json& value = member(json, key);
    return value.is_null() ? Ratio() : Ratio(number(value, key));
  }

  const Json& list(const Json& json, const char* key) const {
    const Json& value = member(json, key);
    if (!value.is_array()) refuse(key, " is not a list");
    return value;
  }

  // As many counts as there are.
  void counts(const Json& json, const char* key, std::vector<std::int64_t>& into) const {
    const Json& values = list(json, key);
    if (values.size() != into.size()) refuse(key, " has ", values.size(), " entries, expected ", into.size());
    std::ranges::transform(values, into.begin(),
                           [&](const Json& v) { return integer(v, 0, largest_count, key); });
  }

  ImageScore image(const Json& json, std::string name, int classes) const {
    ImageScore s;
    s.name = std::move(name);
    s.width = static_cast<int>(integer(member(json, "width"), 1, 65535, "width"));
    s.height = static_cast<int>(integer(member(json, "height"), 1, 65535, "height"));
    s.pixels = integer(member(json, "pixels"), 0, static_cast<std::int64_t>(s.width) * s.height, "pixels");
    s.pixel_accuracy = ratio(json, "pixel_accuracy");
    s.mean_iou = ratio(json, "mean_iou");
    s.mean_dice = ratio(json, "mean_dice");
    s.cross_entropy = ratio(json, "cross_entropy");
    for (const Json& pair : list(json, "iou")) {
      if (!pair.is_array() || pair.size() != 2) refuse("iou has an entry that is no pair");
      s.iou.emplace_back(static_cast<int>(integer(pair[0], 0, classes - 1, "class")), number(pair[1], "iou"));
    }
    s.seconds = number(member(json, "seconds"), "seconds");
    return s;
  }

  void images(const Json& state, const std::vector<std::string>& names, Evaluation& e) const {
    const Json& all = list(state, "images");
    if (all.size() > names.size()) refuse("counts ", all.size(), " images, the dataset has ", names.size());
    for (std::size_t i = 0; i < all.size(); ++i) {
      if (!all[i].is_object() || !all[i].contains("failed")) {
        e.images.push_back(image(all[i], names[i], e.confusion.classes));
        continue;
      }
      if (!all[i]["failed"].is_string()) refuse("failed is not a sentence");
      e.failed.emplace_back(names[i], all[i]["failed"].get<std::string>());
    }
  }

  void scores(const Json& state, ScoreHistogram& s) const {
    const Json& json = member(state, "scores");
    if (json.is_null() != (s.classes == 0)) refuse("scores are ", json.is_null() ? "missing" : "unexpected");
    if (json.is_null()) return;
    counts(json, "positives", s.positives);
    counts(json, "all", s.all);
    s.cross_entropy = number(member(json, "cross_entropy"), "cross_entropy");
    s.pixels = integer(member(json, "pixels"), 0, largest_count, "pixels");
  }

  Json parse(const std::vector<std::byte>& file) const {
    const auto refuse_depth = [this](int depth, Json::parse_event_t, Json&) {
      if (depth > 6) refuse("nests too deep");
      return true;
    };
    const auto* begin = reinterpret_cast<const char*>(file.data());
    Json json = Json::parse(begin, begin + file.size(), refuse_depth, false);
    if (!json.is_object() || !json.contains("atrous_evaluation")) refuse("is not the state of an evaluation");
    if (json["atrous_evaluation"] != format_version)
      refuse("is of version ", printable(dump(json["atrous_evaluation"])), ", expected ", format_version);
    if (member(json, "sha256") != digest(dump(member(json, "state"))))
      refuse("is damaged: its sha256 does not fit");
    return json;
  }

  // {"model": "a sha256", ...}
  std::map<std::string, std::string> pairs(const Json& identity) const {
    std::map<std::string, std::string> all;
    for (const Json& pair : identity) {
      if (!pair.is_array() || pair.size() != 2 || !pair[0].is_string() || !pair[1].is_string())
        refuse("identity has an entry that is no pair of texts");
      all.emplace(pair[0].get<std::string>(), pair[1].get<std::string>());
    }
    return all;
  }

  void compare(const Json& found, const Json& expected) const {
    const auto was = pairs(found), is = pairs(expected);
    const auto value = [](const auto& all, const std::string& what) {
      const auto at = all.find(what);
      return at == all.end() ? "nothing" : at->second;
    };
    for (const auto& all : {is, was})
      for (const auto& [what, ignored] : all) {
        const std::string before = value(was, what), now = value(is, what);
        if (before != now)
          fail(ErrorCode::mismatch, path, ": is the state of another run: ", printable(what), " was ",
               printable(before), ", is ", printable(now));
      }
  }
};

}  // namespace

void save_evaluation(const std::string& path, const RunIdentity& identity,
                     const std::vector<std::string>& names, const Evaluation& e) {
  const Json state = {{"identity", to_json(identity)},
                      {"seconds", hex(e.seconds)},
                      {"confusion", e.confusion.counts},
                      {"scores", to_json(e.scores)},
                      {"images", images_json(names, e)}};
  const std::string body = dump(state);
  const std::string file = text("{\"atrous_evaluation\": ", format_version, ", \"sha256\": \"", digest(body),
                                "\",\n\"state\": ", body, "}\n");
  write_file(path, std::as_bytes(std::span(file)));
}

void load_evaluation(const std::string& path, const RunIdentity& identity,
                     const std::vector<std::string>& names, Evaluation& evaluation) {
  const Reader reader{path};
  const Json json = reader.parse(read_file(path, largest_file));
  const Json& state = json["state"];
  // Through text once, as the file's went.
  reader.compare(reader.list(state, "identity"), Json::parse(dump(to_json(identity))));

  Evaluation e = evaluation;
  e.seconds = reader.number(reader.member(state, "seconds"), "seconds");
  reader.counts(state, "confusion", e.confusion.counts);
  reader.scores(state, e.scores);
  reader.images(state, names, e);
  std::int64_t pixels = 0;
  for (const ImageScore& s : e.images) pixels += s.pixels;
  if (pixels != e.confusion.pixels())
    reader.refuse("counts ", e.confusion.pixels(), " pixels, its images ", pixels);
  evaluation = std::move(e);
}

}  // namespace atrous
