#include "runtime/evaluation/evaluation_state.h"

#include <algorithm>
#include <optional>
#include <span>
#include <string_view>

#include "layers/base/error.h"
#include "runtime/evaluation/run_state.h"
#include "weights_tools/io/json.h"

namespace atrous {

namespace {

constexpr std::string_view state_kind = "atrous_evaluation";
constexpr int format_version = 2;
// Sums over 256 x 1024 of them stay within an int64.
constexpr std::int64_t largest_count = std::int64_t{1} << 44;

// ---- writing

JsonText hex(const Ratio& ratio) { return ratio ? state_number(*ratio) : JsonText(); }

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
                                          return json_list({of_class.first, state_number(of_class.second)});
                                        })},
                      {"seconds", state_number(s.seconds)}});
}

JsonText in_json(const ScoreHistogram& s) {
  if (s.classes == 0) return nullptr;
  return json_object({{"positives", json_list(s.positives)},
                      {"all", json_list(s.all)},
                      {"cross_entropy", state_number(s.cross_entropy)},
                      {"pixels", s.pixels}});
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

struct EvaluationReader : StateReader {
  Ratio ratio(const Json& json, const char* key) const {
    const Json& value = member(json, key);
    return value.is_null() ? Ratio() : Ratio(number(value, key));
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
};

}  // namespace

void save_evaluation(const std::string& path, const RunIdentity& identity,
                     const std::vector<std::string>& names, const Evaluation& e) try {
  JsonText state = json_object({{"identity", state_identity(identity)},
                                {"seconds", state_number(e.seconds)},
                                {"confusion", json_list(e.confusion.counts)},
                                {"scores", in_json(e.scores)},
                                {"images", images_json(names, e)},
                                {"forms", in_json(e.forms)},
                                {"binary", in_json(e.binary, e.sharpened.has_value())}});
  if (e.sharpened) add_member(state, "sharpened", json_list(e.sharpened->confusion.counts));
  write_state(path, state_kind, format_version, state);
} catch (...) {
  rethrow_as_error();
}

void load_evaluation(const std::string& path, const RunIdentity& identity,
                     const std::vector<std::string>& names, Evaluation& evaluation) try {
  const EvaluationReader reader{{path}};
  const Json json = reader.read(state_kind, format_version);
  const Json& state = reader.member(json, "state");
  reader.compare_identity(state, identity);

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
