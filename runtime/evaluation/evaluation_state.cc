#include "runtime/evaluation/evaluation_state.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>
#include <string_view>

#include "layers/base/error.h"
#include "weights_tools/io/clean_text.h"
#include "weights_tools/io/file.h"
#include "weights_tools/io/json.h"
#include "weights_tools/io/sha256.h"

namespace atrous {

namespace {

constexpr int format_version = 2;
constexpr std::uint64_t largest_file = std::uint64_t{1} << 30;
// Sums over 256 x 1024 of them stay within an int64.
constexpr std::int64_t largest_count = std::int64_t{1} << 44;

// ---- writing

std::string digest(const std::string& body) { return sha256_of_bytes(std::as_bytes(std::span(body))); }

JsonText hex(double value) {
  char digits[40];
  const char* end = std::to_chars(digits, digits + sizeof digits, value, std::chars_format::hex).ptr;
  return std::string_view(digits, end);
}

JsonText hex(const Ratio& ratio) { return ratio ? hex(*ratio) : JsonText(); }

JsonText in_json(const ImageScore& s) {
  return json_object({{"width", s.width},
                      {"height", s.height},
                      {"pixels", s.pixels},
                      {"pixel_accuracy", hex(s.pixel_accuracy)},
                      {"mean_iou", hex(s.mean_iou)},
                      {"mean_dice", hex(s.mean_dice)},
                      {"cross_entropy", hex(s.cross_entropy)},
                      {"iou", json_list(s.iou,
                                        [](const auto& of_class) {
                                          return json_list({of_class.first, hex(of_class.second)});
                                        })},
                      {"seconds", hex(s.seconds)}});
}

JsonText in_json(const ScoreHistogram& s) {
  if (s.classes == 0) return nullptr;
  return json_object({{"positives", json_list(s.positives)},
                      {"all", json_list(s.all)},
                      {"cross_entropy", hex(s.cross_entropy)},
                      {"pixels", s.pixels}});
}

JsonText in_json(const RunIdentity& identity) {
  return json_list(identity, [](const auto& pair) { return json_list({pair.first, pair.second}); });
}

JsonText images_json(const std::vector<std::string>& names, const Evaluation& e) {
  const std::span done(names.data(), std::min(names.size(), e.images.size() + e.failed.size()));
  std::size_t image = 0, failure = 0;
  return json_list(done, [&](const std::string& name) {
    if (image < e.images.size() && e.images[image].name == name) return in_json(e.images[image++]);
    return json_object({{"failed", e.failed.at(failure++).second}});
  });
}

JsonText in_json(const LabelForms& f) { return json_list({f.colours, f.renumbered, f.other_order}); }

JsonText in_json(const std::optional<BinaryReading>& b, bool sharpened) {
  if (!b) return nullptr;
  JsonText out =
      json_object({{"zeros", std::int64_t{b->zeros}},
                   {"foreground", std::int64_t{b->foreground}},
                   {"confusion", json_list(b->confusion.counts)},
                   {"scores", in_json(b->scores)},
                   {"images", json_list(b->images, [](const ImageScore& s) { return in_json(s); })}});
  if (sharpened) add_member(out, "sharpened", json_list(b->sharpened.counts));
  return out;
}

// ---- reading; everything may be anything

struct Reader {
  const std::string& path;

  template <class... Parts>
  [[noreturn]] void refuse(const Parts&... parts) const {
    fail(ErrorCode::malformed, path, ": ", parts...);
  }

  const Json& member(const Json& json, const char* key) const {
    const Json* found = json.find(key);
    if (!found) refuse("has no ", key);
    return *found;
  }

  std::int64_t integer(const Json& json, std::int64_t low, std::int64_t high, std::string_view what) const {
    const std::int64_t* value = json.integer();
    if (!value || *value < low || *value > high)
      refuse(what, " is ", printable(json_text(json).text), ", expected ", low, " to ", high);
    return *value;
  }

  double number(const Json& json, std::string_view what) const {
    const std::string digits = json.string() ? *json.string() : "";
    const char* end = digits.data() + digits.size();
    double value = 0;
    const auto [stop, error] = std::from_chars(digits.data(), end, value, std::chars_format::hex);
    if (error != std::errc() || stop != end)
      refuse(what, " is ", printable(json_text(json).text), ", expected a hexadecimal number");
    return value;
  }

  Ratio ratio(const Json& json, const char* key) const {
    const Json& value = member(json, key);
    return value.is_null() ? Ratio() : Ratio(number(value, key));
  }

  const Json::List& list(const Json& json, const char* key) const {
    const Json::List* values = member(json, key).list();
    if (!values) refuse(key, " is not a list");
    return *values;
  }

  // As many counts as there are.
  void counts(const Json& json, const char* key, std::vector<std::int64_t>& into) const {
    const Json::List& values = list(json, key);
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
      const Json::List* two = pair.list();
      if (!two || two->size() != 2) refuse("iou has an entry that is no pair");
      s.iou.emplace_back(static_cast<int>(integer((*two)[0], 0, classes - 1, "class")),
                         number((*two)[1], "iou"));
    }
    s.seconds = number(member(json, "seconds"), "seconds");
    return s;
  }

  void images(const Json& state, const std::vector<std::string>& names, Evaluation& e) const {
    const Json::List& all = list(state, "images");
    if (all.size() > names.size()) refuse("counts ", all.size(), " images, the dataset has ", names.size());
    for (std::size_t i = 0; i < all.size(); ++i) {
      const Json* failed = all[i].find("failed");
      if (!failed) {
        e.images.push_back(image(all[i], names[i], e.confusion.classes));
        continue;
      }
      if (!failed->string()) refuse("failed is not a sentence");
      e.failed.emplace_back(names[i], *failed->string());
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

  void forms(const Json& state, LabelForms& f) const {
    std::vector<std::int64_t> all(3);
    counts(state, "forms", all);
    f = {all[0], all[1], all[2]};
  }

  // The images that were scored, as often as `images` has them.
  void binary(const Json& state, const std::vector<ImageScore>& images, bool sharpened,
              std::optional<BinaryReading>& b) const {
    const Json& json = member(state, "binary");
    if (json.is_null()) return b.reset();
    if (!b) refuse("binary is unexpected");
    b->zeros = integer(member(json, "zeros"), 0, 1, "zeros") == 1;
    b->foreground = integer(member(json, "foreground"), 0, 1, "foreground") == 1;
    counts(json, "confusion", b->confusion.counts);
    scores(json, b->scores);
    const Json::List& all = list(json, "images");
    if (all.size() != images.size())
      refuse("binary counts ", all.size(), " images, expected ", images.size());
    b->images.clear();
    for (std::size_t i = 0; i < all.size(); ++i)
      b->images.push_back(image(all[i], images[i].name, b->confusion.classes));
    expect_pixels(b->images, b->confusion);
    if (sharpened) {
      counts(json, "sharpened", b->sharpened.counts);
      expect_pixels(b->images, b->sharpened);
    }
  }

  void expect_pixels(const std::vector<ImageScore>& images, const ConfusionMatrix& confusion) const {
    std::int64_t pixels = 0;
    for (const ImageScore& s : images) pixels += s.pixels;
    if (pixels != confusion.pixels()) refuse("counts ", confusion.pixels(), " pixels, its images ", pixels);
  }

  Json parse(const std::vector<std::byte>& file) const {
    const std::string_view content(reinterpret_cast<const char*>(file.data()), file.size());
    std::optional<Json> json = parse_json(content, 7, path + ':');
    const Json* version = json ? json->find("atrous_evaluation") : nullptr;
    if (!version) refuse("is not the state of an evaluation");
    if (!version->integer() || *version->integer() != format_version)
      refuse("is of version ", printable(json_text(*version).text), ", expected ", format_version);
    const std::string* checksum = member(*json, "sha256").string();
    if (!checksum || *checksum != digest(json_text(member(*json, "state")).text))
      refuse("is damaged: its sha256 does not fit");
    return *std::move(json);
  }

  // {"model": "a sha256", ...}
  std::map<std::string, std::string> pairs(const Json::List& identity) const {
    std::map<std::string, std::string> all;
    for (const Json& pair : identity) {
      const Json::List* two = pair.list();
      if (!two || two->size() != 2 || !(*two)[0].string() || !(*two)[1].string())
        refuse("identity has an entry that is no pair of texts");
      all.emplace(*(*two)[0].string(), *(*two)[1].string());
    }
    return all;
  }

  void compare(const Json::List& found, const Json::List& expected) const {
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
                     const std::vector<std::string>& names, const Evaluation& e) try {
  JsonText state = json_object({{"identity", in_json(identity)},
                                {"seconds", hex(e.seconds)},
                                {"confusion", json_list(e.confusion.counts)},
                                {"scores", in_json(e.scores)},
                                {"images", images_json(names, e)},
                                {"forms", in_json(e.forms)},
                                {"binary", in_json(e.binary, e.sharpened.has_value())}});
  if (e.sharpened) add_member(state, "sharpened", json_list(e.sharpened->confusion.counts));
  const std::string& body = state.text;
  const std::string file = str_cat("{\"atrous_evaluation\": ", format_version, ", \"sha256\": \"",
                                   digest(body), "\",\n\"state\": ", body, "}\n");
  write_file(path, std::as_bytes(std::span(file)));
} catch (...) {
  rethrow_as_error();
}

void load_evaluation(const std::string& path, const RunIdentity& identity,
                     const std::vector<std::string>& names, Evaluation& evaluation) try {
  const Reader reader{path};
  const Json json = reader.parse(read_file(path, largest_file));
  const Json& state = reader.member(json, "state");
  // Through text once, as the file's went.
  const std::optional<Json> expected = parse_json(in_json(identity).text, 2, "identity");
  reader.compare(reader.list(state, "identity"), *expected->list());

  Evaluation e = evaluation;
  e.seconds = reader.number(reader.member(state, "seconds"), "seconds");
  reader.counts(state, "confusion", e.confusion.counts);
  reader.scores(state, e.scores);
  reader.images(state, names, e);
  reader.expect_pixels(e.images, e.confusion);
  reader.forms(state, e.forms);
  reader.binary(state, e.images, e.sharpened.has_value(), e.binary);
  if (e.sharpened) {
    reader.counts(state, "sharpened", e.sharpened->confusion.counts);
    reader.expect_pixels(e.images, e.sharpened->confusion);
  }
  evaluation = std::move(e);
} catch (...) {
  rethrow_as_error();
}

}  // namespace atrous
