#include "runtime/evaluation/evaluation_state.h"

#include <algorithm>
#include <limits>
#include <string_view>
#include <utility>
#include <vector>

#include "layers/base/error.h"
#include "runtime/segment/options_json.h"
#include "runtime/tiles/tiling_json.h"

namespace atrous {

namespace {

// Sums over 256 x 1024 of them stay within an int64.
constexpr std::int64_t largest_count = std::int64_t{1} << 44;
constexpr std::string_view evaluation_kind = "evaluation";

// So that a push_back cannot fail.
void make_room(std::vector<ImageScore>& images) {
  if (images.size() == images.capacity()) images.reserve(2 * images.size() + 1);
}

// All but the cross-entropy.
void add_whole_numbers(ScoreHistogram& all, const ScoreHistogram& image) {
  if (image.classes == 0) return;
  const double sum = all.cross_entropy;
  all.add(image);
  all.cross_entropy = sum;
}

// ---- writing

JsonText hex(const Ratio& ratio) { return ratio ? state_number(*ratio) : JsonText(); }

JsonText sparse(const std::vector<std::int64_t>& counts) {
  std::vector<std::int64_t> out;
  for (const std::int64_t count : counts)
    if (count != 0 || out.empty() || out.back() >= 0)
      out.push_back(count == 0 ? -1 : count);
    else
      --out.back();
  return json_list(out);
}

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
  return json_object({{"positives", sparse(s.positives)},
                      {"all", sparse(s.all)},
                      {"cross_entropy", state_number(s.cross_entropy)},
                      {"pixels", s.pixels}});
}

void add_counts_json(JsonText& out, const ImageCounts& c) {
  add_member(out, "image", in_json(c.score));
  add_member(out, "confusion", sparse(c.confusion.counts));
  add_member(out, "scores", in_json(c.scores));
  add_member(out, "sharpened", sparse(c.sharpened.counts));
}

// ---- reading

struct AboutReader : StateReader {
  float real(const Json& json, std::string_view key) const {
    const std::optional<double> value = member(json, key).number();
    if (!value) refuse(key, " is no number");
    return static_cast<float>(*value);
  }
  int small(const Json& json, std::string_view key, int low = 0) const {
    return static_cast<int>(integer(json, key, low, std::numeric_limits<int>::max()));
  }
  bool flag(const Json& json, std::string_view key) const {
    const bool* value = std::get_if<bool>(&member(json, key).value);
    if (!value) refuse(key, " is neither true nor false");
    return *value;
  }

  TestProtocol protocol(const Json& json) const {
    TestProtocol p;
    const std::string style = plain_text(json, "style");
    for (const TestStyle one : {TestStyle::semseg, TestStyle::encnet, TestStyle::deeplabv2})
      if (style == name_of(one)) p.style = one;
    p.scales.clear();
    for (const Json& scale : list(json, "scales")) p.scales.push_back(scale.number().value_or(0));
    p.flip = flag(json, "flip");
    if (json.find("tile_width")) {
      p.base_size = small(json, "base_size");
      p.tile_width = small(json, "tile_width");
      p.tile_height = small(json, "tile_height");
      if (json.find("overlap")) p.overlap = small(json, "overlap");
    }
    return p;
  }

  CrfParameters crf(const Json& json) const {
    const Json &g = member(json, "gaussian"), &b = member(json, "bilateral");
    return {.iterations = small(json, "iterations"),
            .gaussian = {real(g, "weight"), real(g, "xy")},
            .bilateral = {real(b, "weight"), real(b, "xy"), real(b, "rgb")}};
  }
};

struct CountsReader : StateReader {
  Ratio ratio(const Json& json, const char* key) const {
    const Json& value = member(json, key);
    return value.is_null() ? Ratio() : Ratio(number(value, key));
  }

  // sparse() backwards, into as many zeros as there are counts.
  void counts(const Json& json, const char* key, std::vector<std::int64_t>& into) const {
    std::size_t at = 0;
    const auto room = [&] { return static_cast<std::int64_t>(into.size() - at); };
    for (const Json& one : list(json, key)) {
      const std::int64_t value = integer(one, -room(), largest_count, key);
      if (room() == 0) refuse(key, " has more than ", into.size(), " entries");
      if (value < 0) {
        at += static_cast<std::size_t>(-value);
      } else {
        into[at++] = value;
      }
    }
    if (room() != 0) refuse(key, " has ", at, " entries, expected ", into.size());
  }

  ScoreHistogram scores(const Json& json, int classes) const {
    const Json& of = member(json, "scores");
    if (of.is_null() != (classes == 0)) refuse("scores are ", of.is_null() ? "missing" : "unexpected");
    if (classes == 0) return {};
    ScoreHistogram s(classes);
    counts(of, "positives", s.positives);
    counts(of, "all", s.all);
    s.cross_entropy = number(member(of, "cross_entropy"), "cross_entropy");
    s.pixels = integer(of, "pixels", 0, largest_count);
    return s;
  }
};

}  // namespace

// ---- adding up

void add_counts(Evaluation& e, const EvaluatedImage& image) {
  if (image.seen[1]) e.binary.reset();
  if (image.failed) return;
  e.confusion.add(image.counts.confusion);
  if (e.sharpened) e.sharpened->confusion.add(image.counts.sharpened);
  add_whole_numbers(e.scores, image.counts.scores);
  e.forms.colours += image.forms.colours;
  e.forms.renumbered += image.forms.renumbered;
  e.forms.other_order += image.forms.other_order;
  if (!e.binary) return;
  const ImageCounts& other = image.foreground ? *image.foreground : image.counts;
  e.binary->confusion.add(other.confusion);
  if (e.sharpened) e.binary->sharpened.add(other.sharpened);
  add_whole_numbers(e.binary->scores, other.scores);
  e.binary->zeros = e.binary->zeros || image.seen[0];
  e.binary->foreground = e.binary->foreground || image.seen[2];
}

void add_image(Evaluation& e, EvaluatedImage&& image) {
  if (image.failed) {
    e.failed.emplace_back(std::move(image.name), *std::move(image.failed));
    return;
  }
  make_room(e.images);
  if (e.binary) {
    make_room(e.binary->images);
    ImageCounts& other = image.foreground ? *image.foreground : image.counts;
    e.binary->scores.cross_entropy += other.scores.cross_entropy;
    e.binary->images.push_back(other.score);
  }
  e.scores.cross_entropy += image.counts.scores.cross_entropy;
  e.images.push_back(std::move(image.counts.score));
}

void settle_binary(Evaluation& e) {
  if (e.binary && e.binary->zeros && e.binary->foreground) {
    e.confusion = std::move(e.binary->confusion);
    e.scores = std::move(e.binary->scores);
    e.images = std::move(e.binary->images);
    if (e.sharpened) e.sharpened->confusion = std::move(e.binary->sharpened);
    e.binary_masks = true;
  }
  e.binary.reset();
}

void expect_images(const Evaluation& e) {
  if (e.images.empty() && !e.failed.empty())
    fail(ErrorCode::malformed, "none of ", e.failed.size(), " images could be evaluated; the first, ",
         e.failed.front().first, ": ", e.failed.front().second);
}

// ---- the journal

JournalHead evaluation_head(const Evaluation& empty, const RunIdentity& identity, const Shard& shard,
                            std::size_t images) {
  JsonText about =
      json_object({{"model", state_text(empty.model)},
                   {"architecture", state_text(empty.architecture)},
                   {"dataset", state_text(empty.dataset)},
                   {"size", state_text(empty.size)},
                   {"input", state_text(empty.input)},
                   {"colours", state_text(empty.colours)},
                   {"classes", json_list(empty.classes, [](const auto& name) { return state_text(name); })},
                   {"palette", json_list(empty.palette,
                                         [](const Colour& c) {
                                           return json_list({int{c[0]}, int{c[1]}, int{c[2]}});
                                         })},
                   {"scores", empty.scores.classes},
                   {"binary", empty.binary.has_value()}});
  if (empty.protocol) add_member(about, "protocol", protocol_json(*empty.protocol));
  if (empty.tiling) add_member(about, "tiles", tiling_json(*empty.tiling));
  if (empty.sharpened) add_member(about, "crf", crf_json(empty.sharpened->crf));
  return {evaluation_kind, shard, images, identity, std::move(about)};
}

JsonText evaluation_record(const EvaluatedImage& image) {
  JsonText out = json_object({{"name", state_text(image.name)},
                              {"took", state_number(image.seconds)},
                              {"seen", json_list(image.seen, [](bool seen) { return int{seen}; })}});
  if (image.failed) {
    add_member(out, "failed", state_text(*image.failed));
    return out;
  }
  add_counts_json(out, image.counts);
  add_member(out, "forms", json_list({image.forms.colours, image.forms.renumbered, image.forms.other_order}));
  JsonText foreground;
  if (image.foreground) {
    foreground = json_object();
    add_counts_json(foreground, *image.foreground);
  }
  add_member(out, "foreground", foreground);
  return out;
}

Evaluation EvaluationReader::empty(const Json& head) const {
  const AboutReader about{{path}};
  const Json& json = member(head, "about");
  Evaluation e;
  e.model = text(json, "model");
  e.architecture = text(json, "architecture");
  e.dataset = text(json, "dataset");
  e.size = text(json, "size");
  e.input = text(json, "input");
  e.colours = text(json, "colours");
  for (const Json& name : list(json, "classes")) e.classes.push_back(text_of(name, "classes"));
  for (const Json& colour : list(json, "palette")) {
    const Json::List* three = colour.list();
    if (!three || three->size() != 3) refuse("palette has an entry that is no colour");
    Colour c{};
    std::ranges::transform(*three, c.begin(), [&](const Json& v) {
      return static_cast<std::uint8_t>(integer(v, 0, 255, "colour"));
    });
    e.palette.push_back(c);
  }
  if (e.classes.empty() || e.classes.size() > 256)
    refuse("has ", e.classes.size(), " classes, expected 1 to 256");
  const auto classes = static_cast<int>(e.classes.size());
  e.confusion = ConfusionMatrix(classes);
  if (const std::int64_t scored = integer(json, "scores", 0, classes); scored > 0)
    e.scores = ScoreHistogram(static_cast<int>(scored));
  if (json.find("protocol")) e.protocol = about.protocol(member(json, "protocol"));
  if (json.find("tiles")) {
    const Json& tiles = member(json, "tiles");
    e.tiling = Tiling{about.small(tiles, "tile", 1), about.small(tiles, "overlap")};
  }
  if (json.find("crf")) e.sharpened = {about.crf(member(json, "crf")), ConfusionMatrix(classes)};
  if (about.flag(json, "binary")) {
    if (classes != 2) refuse("binary is unexpected");
    e.binary.emplace();
    e.binary->scores = e.scores;
  }
  return e;
}

ImageScore EvaluationReader::score(const Json& json, const std::string& name, int classes) const {
  const CountsReader reader{{path}};
  ImageScore s;
  s.name = name;
  s.width = static_cast<int>(integer(json, "width", 1, 65535));
  s.height = static_cast<int>(integer(json, "height", 1, 65535));
  s.pixels = integer(json, "pixels", 0, static_cast<std::int64_t>(s.width) * s.height);
  s.pixel_accuracy = reader.ratio(json, "pixel_accuracy");
  s.mean_iou = reader.ratio(json, "mean_iou");
  s.mean_dice = reader.ratio(json, "mean_dice");
  s.cross_entropy = reader.ratio(json, "cross_entropy");
  for (const Json& pair : list(json, "iou")) {
    const Json::List* two = pair.list();
    if (!two || two->size() != 2) refuse("iou has an entry that is no pair");
    s.iou.emplace_back(static_cast<int>(integer((*two)[0], 0, classes - 1, "class")),
                       number((*two)[1], "iou"));
  }
  s.seconds = number(member(json, "seconds"), "seconds");
  return s;
}

ImageCounts EvaluationReader::counts(const Json& json, const std::string& name,
                                     const Evaluation& empty) const {
  const CountsReader reader{{path}};
  const int classes = empty.confusion.classes;
  ImageCounts c{score(member(json, "image"), name, classes), ConfusionMatrix(classes),
                reader.scores(json, empty.scores.classes), ConfusionMatrix(classes)};
  reader.counts(json, "confusion", c.confusion.counts);
  reader.counts(json, "sharpened", c.sharpened.counts);
  if (c.confusion.pixels() != c.score.pixels)
    refuse("counts ", c.confusion.pixels(), " pixels, its image ", c.score.pixels);
  if (empty.sharpened && c.sharpened.pixels() != c.score.pixels)
    refuse("counts ", c.sharpened.pixels(), " pixels, its image ", c.score.pixels);
  return c;
}

EvaluatedImage EvaluationReader::image(const Json& record, const Evaluation& empty) const {
  EvaluatedImage image;
  image.name = text(record, "name");
  image.seconds = number(member(record, "took"), "took");
  const auto three = [&](const char* key) {
    const Json::List& values = list(record, key);
    if (values.size() != 3) refuse(key, " has ", values.size(), " entries, expected 3");
    std::array<std::int64_t, 3> all{};
    std::ranges::transform(values, all.begin(), [&](const Json& v) { return integer(v, 0, 1, key); });
    return all;
  };
  std::ranges::transform(three("seen"), image.seen.begin(), [](std::int64_t v) { return v == 1; });
  if (record.find("failed")) {
    image.failed = text(record, "failed");
    return image;
  }
  image.counts = counts(record, image.name, empty);
  const auto forms = three("forms");
  image.forms = {forms[0], forms[1], forms[2]};
  if (const Json& foreground = member(record, "foreground"); !foreground.is_null())
    image.foreground = counts(foreground, image.name, empty);
  return image;
}

}  // namespace atrous
