#include "weights_tools/metadata.h"

#include <algorithm>
#include <cmath>
#include <iomanip>
#include <limits>
#include <string_view>

#include "layers/base/error.h"
#include "layers/networks/hyper.h"
#include "weights_tools/io/clean_text.h"
#include "weights_tools/io/json.h"

namespace atrous {

namespace {

using Strings = std::map<std::string, std::string>;

// The newest key decides: what older programs understand is written for them.
constexpr int first_version = 1, second_version = 2, third_version = 3, newest_version = third_version;
constexpr std::size_t name_limit = 256, class_limit = 256, value_limit = std::size_t{1} << 20,
                      self_test_limit = 65536;
constexpr int size_limit = 16384;

// Nine significant digits identify a float. JSON's -0 is the integer 0, so a negative zero takes a point.
JsonText number(float value) {
  if (!std::isfinite(value))
    fail(ErrorCode::invalid_argument, "metadata: the number ", value, " is not finite");
  if (value == 0) return JsonText::verbatim(std::signbit(value) ? "-0.0" : "0");
  return JsonText::verbatim(str_cat(std::setprecision(9), value));
}

template <class Range>
JsonText numbers(const Range& values) {
  return json_list(values, number);
}

JsonText colours(const Palette& palette) {
  return json_list(palette, [](const Colour& c) { return json_list(c); });
}

std::string_view name_of(ResizeRule::Kind kind) {
  switch (kind) {
    case ResizeRule::Kind::none:
      return "none";
    case ResizeRule::Kind::shorter_side:
      return "shorter_side";
    case ResizeRule::Kind::exact:
      return "exact";
    case ResizeRule::Kind::longer_side:
      return "longer_side";
  }
  return "?";
}

// Keys in the order of the alphabet.
JsonText in_json(const ResizeRule& r) {
  JsonText out = json_object();
  if (r.center_crop != 0) add_member(out, "center_crop", r.center_crop);
  if (r.kind == ResizeRule::Kind::exact) add_member(out, "height", r.height);
  add_member(out, "kind", name_of(r.kind));
  if (r.kind != ResizeRule::Kind::none) add_member(out, "width", r.width);
  return out;
}

JsonText in_json(const SelfTest& t) {
  return json_object({{"height", t.height},
                      {"width", t.width},
                      {"indices", json_list(t.logits, [](const ExpectedLogit& l) { return l.index; })},
                      {"values", json_list(t.logits, [](const ExpectedLogit& l) { return number(l.value); })},
                      {"largest", number(t.largest)},
                      {"tolerance", number(t.tolerance)}});
}

JsonText in_json(const CrfParameters& p) {
  return json_object(
      {{"iterations", p.iterations},
       {"gaussian", numbers(std::array{p.gaussian.weight, p.gaussian.xy})},
       {"bilateral", numbers(std::array{p.bilateral.weight, p.bilateral.xy, p.bilateral.rgb})}});
}

JsonText in_json(const std::map<std::string, ValueRange>& activations) {
  JsonText out = json_object();
  for (const auto& [name, range] : activations)
    add_member(out, name, numbers(std::array{range.lowest, range.highest}));
  return out;
}

// Everything below reads; `what` is the key, for sentences.

[[noreturn]] void fail_metadata(std::string_view what, std::string_view problem) {
  fail(ErrorCode::malformed, "metadata: ", what, " ", problem);
}

Json parse(const std::string& value, std::string_view what) {
  if (value.size() > value_limit)
    fail_metadata(what, str_cat("has ", value.size(), " bytes, more than ", value_limit));
  std::optional<Json> json = parse_json(value, 3, str_cat("metadata: ", what));
  if (!json) fail_metadata(what, "is not JSON");
  return *std::move(json);
}

void check_name(std::string_view value, std::string_view what) {
  if (value.size() > name_limit)
    fail_metadata(what, str_cat("has ", value.size(), " bytes, more than ", name_limit));
  if (!is_clean_text(value))
    fail_metadata(what, str_cat("has control characters or is not UTF-8: ", printable(value)));
}

std::int64_t integer(const Json& json, std::int64_t low, std::int64_t high, std::string_view what) {
  const std::int64_t* value = json.integer();
  if (!value) fail_metadata(what, "is not an integer");
  if (*value < low || *value > high)
    fail_metadata(what, str_cat("is ", *value, ", outside ", low, " to ", high));
  return *value;
}

int size(const Json& json, std::string_view what) {
  return static_cast<int>(integer(json, 1, size_limit, what));
}

float finite(const Json& json, std::string_view what) {
  const std::optional<double> value = json.number();
  if (!value) fail_metadata(what, "is not a number");
  if (!(std::abs(*value) <= std::numeric_limits<float>::max())) fail_metadata(what, "is not a finite number");
  return static_cast<float>(*value);
}

const Json::List& list(const Json& json, std::size_t limit, std::string_view what) {
  if (!json.list()) fail_metadata(what, "is not a list");
  if (json.list()->size() > limit)
    fail_metadata(what, str_cat("has ", json.list()->size(), " entries, more than ", limit));
  return *json.list();
}

const Json& member(const Json& json, const char* key, std::string_view what) {
  const Json* found = json.find(key);
  if (!found) fail_metadata(what, str_cat("has no ", key));
  return *found;
}

std::vector<std::string> read_classes(const std::string& value) {
  std::vector<std::string> out;
  const Json json = parse(value, "classes");
  for (const Json& name : list(json, class_limit, "classes")) {
    if (!name.string()) fail_metadata("classes", "has an entry that is not a string");
    out.push_back(*name.string());
    check_name(out.back(), str_cat("class ", out.size() - 1));
  }
  return out;
}

Palette read_palette(const std::string& value) {
  Palette out;
  const Json json = parse(value, "palette");
  for (const Json& colour : list(json, class_limit, "palette")) {
    if (!colour.list() || colour.list()->size() != 3)
      fail_metadata("palette", "has an entry that is not three numbers");
    Colour c;
    for (std::size_t i = 0; i < 3; ++i)
      c[i] = static_cast<std::uint8_t>(integer((*colour.list())[i], 0, 255, "palette"));
    out.push_back(c);
  }
  return out;
}

std::array<float, 3> read_three(const std::string& value, std::string_view what) {
  const Json json = parse(value, what);
  const Json::List* three = json.list();
  if (!three || three->size() != 3) fail_metadata(what, "is not three numbers");
  return {finite((*three)[0], what), finite((*three)[1], what), finite((*three)[2], what)};
}

int read_range(const std::string& value) {
  if (value != "1" && value != "255") fail_metadata("range", "is neither 1 nor 255: " + printable(value));
  return value == "1" ? 1 : 255;
}

ChannelOrder read_order(const std::string& value) {
  for (const ChannelOrder order : {ChannelOrder::rgb, ChannelOrder::bgr})
    if (value == name_of(order)) return order;
  fail_metadata("order", "is neither rgb nor bgr: " + printable(value));
}

ResizeRule read_resize(const std::string& value) {
  const Json json = parse(value, "resize");
  const Json& kind = member(json, "kind", "resize");
  ResizeRule out;
  const auto kinds = {ResizeRule::Kind::none, ResizeRule::Kind::shorter_side, ResizeRule::Kind::exact,
                      ResizeRule::Kind::longer_side};
  const auto found =
      std::ranges::find_if(kinds, [&](auto k) { return kind.string() && *kind.string() == name_of(k); });
  if (found == kinds.end())
    fail_metadata("resize", str_cat("has an unknown kind ", printable(json_text(kind).text)));
  out.kind = *found;
  if (out.kind != ResizeRule::Kind::none) out.width = size(member(json, "width", "resize"), "resize width");
  if (out.kind == ResizeRule::Kind::exact)
    out.height = size(member(json, "height", "resize"), "resize height");
  if (const Json* crop = json.find("center_crop")) out.center_crop = size(*crop, "resize center_crop");
  return out;
}

SelfTest read_self_test(const std::string& value) {
  constexpr std::string_view what = "self_test";
  const Json json = parse(value, what);
  SelfTest out;
  out.height = size(member(json, "height", what), "self_test height");
  out.width = size(member(json, "width", what), "self_test width");
  constexpr std::int64_t last_index = std::int64_t{class_limit} * size_limit * size_limit - 1;
  for (const Json& index : list(member(json, "indices", what), self_test_limit, "self_test indices"))
    out.logits.push_back({integer(index, 0, last_index, "self_test index")});
  const Json::List& values = list(member(json, "values", what), self_test_limit, "self_test values");
  if (values.size() != out.logits.size())
    fail_metadata(what, str_cat("has ", out.logits.size(), " indices, but ", values.size(), " values"));
  for (std::size_t i = 0; i < values.size(); ++i) out.logits[i].value = finite(values[i], "self_test value");
  out.largest = finite(member(json, "largest", what), "self_test largest");
  out.tolerance = finite(member(json, "tolerance", what), "self_test tolerance");
  if (out.largest < 0) fail_metadata("self_test largest", "is negative");
  if (!(out.tolerance > 0)) fail_metadata("self_test tolerance", "is not positive");
  return out;
}

CrfParameters read_crf(const std::string& value) {
  const Json json = parse(value, "crf");
  const auto numbers_of = [&](const char* key, std::size_t count) {
    const std::string what = str_cat("crf ", key);
    std::vector<float> out;
    for (const Json& v : list(member(json, key, "crf"), count, what)) out.push_back(finite(v, what));
    if (out.size() != count) fail_metadata(what, str_cat("has ", out.size(), " numbers, expected ", count));
    return out;
  };
  const std::vector<float> gaussian = numbers_of("gaussian", 2), bilateral = numbers_of("bilateral", 3);
  const CrfParameters out{
      .iterations = static_cast<int>(integer(member(json, "iterations", "crf"), 0, 1000, "crf iterations")),
      .gaussian = {.weight = gaussian[0], .xy = gaussian[1]},
      .bilateral = {.weight = bilateral[0], .xy = bilateral[1], .rgb = bilateral[2]}};
  try {
    check(out);
  } catch (const Error& error) {
    fail_metadata("crf", str_cat("is ", error.what()));
  }
  return out;
}

std::map<std::string, ValueRange> read_activations(const std::string& value) {
  const Json json = parse(value, "activations");
  if (!json.object()) fail_metadata("activations", "is no object");
  std::map<std::string, ValueRange> out;
  for (const auto& [name, range] : *json.object()) {
    check_name(name, "activations");
    const std::string what = str_cat("activations ", name);
    const Json::List& two = list(range, 2, what);
    if (two.size() != 2) fail_metadata(what, str_cat("has ", two.size(), " numbers, expected 2"));
    const ValueRange read{finite(two[0], what), finite(two[1], what)};
    if (read.highest < read.lowest)
      fail_metadata(what, str_cat("goes from ", read.lowest, " to ", read.highest));
    out.emplace(name, read);
  }
  return out;
}

bool read_flag(const std::string& value, std::string_view what) {
  if (value != "true" && value != "false")
    fail_metadata(what, "is neither true nor false: " + printable(value));
  return value == "true";
}

Decision read_decision(const std::string& value) {
  for (const Decision decision : {Decision::softmax, Decision::sigmoid})
    if (value == name_of(decision)) return decision;
  fail_metadata("answer", "is neither softmax nor sigmoid: " + printable(value));
}

int read_background(const std::string& value) {
  if (value == "none") return no_background;
  return static_cast<int>(integer(parse(value, "background"), 0, class_limit - 1, "background"));
}

std::string read_source(const std::string& value) {
  check_name(value, "source");
  if (value.find_first_of("/\\") != value.npos) fail_metadata("source", "has folders: " + printable(value));
  return value;
}

std::string read_sha256(const std::string& value) {
  const bool hex =
      std::ranges::all_of(value, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
  if (!value.empty() && (value.size() != 64 || !hex)) fail_metadata("source_sha256", "is not 64 hex digits");
  return value;
}

std::string read_hyper(const std::string& value) {
  try {
    return Hyper(value).text();
  } catch (const Error& error) {
    fail_metadata("hyper", error.what());
  }
}

void check_version(const std::string& version) {
  for (int known = first_version; known <= newest_version; ++known)
    if (version == str_cat(known)) return;
  const bool digits =
      !version.empty() && std::ranges::all_of(version, [](char c) { return c >= '0' && c <= '9'; });
  if (!digits) fail_metadata("atrous.format", "is not a version: " + printable(version));
  fail_metadata("atrous.format", str_cat("is ", printable(version), ", this atrous knows ", first_version,
                                         " to ", newest_version));
}

}  // namespace

std::optional<Metadata> metadata_from_strings(const Strings& strings) try {
  const auto version = strings.find("atrous.format");
  if (version == strings.end()) return std::nullopt;
  check_version(version->second);
  const auto with = [&strings](const char* key, auto&& use) {
    if (const auto it = strings.find(key); it != strings.end()) use(it->second);
  };
  Metadata m;
  with("architecture", [&](const std::string& v) { check_name(m.architecture = v, "architecture"); });
  with("hyper", [&](const std::string& v) { m.hyper = read_hyper(v); });
  with("classes", [&](const std::string& v) { m.classes = read_classes(v); });
  with("palette", [&](const std::string& v) { m.palette = read_palette(v); });
  with("mean", [&](const std::string& v) { m.preparation.mean = read_three(v, "mean"); });
  with("std", [&](const std::string& v) { m.preparation.std = read_three(v, "std"); });
  with("range", [&](const std::string& v) { m.preparation.range = read_range(v); });
  with("order", [&](const std::string& v) { m.preparation.order = read_order(v); });
  with("resize", [&](const std::string& v) { m.preparation.resize = read_resize(v); });
  with("answer", [&](const std::string& v) { m.decision = read_decision(v); });
  with("align_corners", [&](const std::string& v) { m.align_corners = read_flag(v, "align_corners"); });
  with("crf", [&](const std::string& v) { m.crf = read_crf(v); });
  with("background", [&](const std::string& v) { m.background = read_background(v); });
  with("source", [&](const std::string& v) { m.source = read_source(v); });
  with("source_sha256", [&](const std::string& v) { m.source_sha256 = read_sha256(v); });
  with("self_test", [&](const std::string& v) { m.self_test = read_self_test(v); });
  with("activations", [&](const std::string& v) { m.activations = read_activations(v); });
  if (std::ranges::any_of(m.preparation.std, [](float s) { return !(s > 0); }))
    fail_metadata("std", "is not positive");
  if (!m.palette.empty() && m.palette.size() != m.classes.size())
    fail_metadata("palette",
                  str_cat("has ", m.palette.size(), " colours for ", m.classes.size(), " classes"));
  if (m.background && !m.classes.empty() && *m.background >= static_cast<int>(m.classes.size()))
    fail_metadata("background", str_cat("is class ", *m.background, " of ", m.classes.size()));
  return m;
} catch (...) {
  rethrow_as_error();
}

Strings to_strings(const Metadata& m) try {
  for (const std::string& name : m.classes) check_name(name, "a class");
  const Preparation& p = m.preparation;
  const bool newer = p.range != 1 || p.order != ChannelOrder::rgb || !m.hyper.empty();
  const int version = !m.activations.empty() ? third_version : newer ? second_version : first_version;
  Strings out{{"atrous.format", str_cat(version)},    {"architecture", m.architecture},
              {"classes", json_list(m.classes).text}, {"palette", colours(m.palette).text},
              {"mean", numbers(p.mean).text},         {"std", numbers(p.std).text},
              {"resize", in_json(p.resize).text},     {"source", m.source},
              {"source_sha256", m.source_sha256}};
  if (p.range != 1) out.emplace("range", str_cat(p.range));
  if (p.order != ChannelOrder::rgb) out.emplace("order", name_of(p.order));
  if (m.decision) out.emplace("answer", name_of(*m.decision));
  if (m.align_corners) out.emplace("align_corners", *m.align_corners ? "true" : "false");
  if (m.crf) out.emplace("crf", in_json(*m.crf).text);
  if (m.background)
    out.emplace("background", *m.background == no_background ? "none" : str_cat(*m.background));
  if (!m.hyper.empty()) out.emplace("hyper", m.hyper);
  if (m.self_test) out.emplace("self_test", in_json(*m.self_test).text);
  if (!m.activations.empty()) out.emplace("activations", in_json(m.activations).text);
  metadata_from_strings(out);  // nothing is written that would not be read
  return out;
} catch (...) {
  rethrow_as_error();
}

}  // namespace atrous
