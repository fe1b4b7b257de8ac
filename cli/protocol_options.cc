#include "cli/protocol_options.h"

#include <charconv>

#include "layers/base/visible_text.h"

namespace atrous::cli {

namespace {

std::vector<double> scales_in(const std::string& given) {
  std::vector<double> all;
  const char *at = given.data(), *const end = at + given.size();
  while (true) {
    double scale = 0;
    const auto [stop, error] = std::from_chars(at, end, scale);
    if (error != std::errc()) break;
    all.push_back(scale);
    at = stop;
    if (at == end) return all;
    if (*at++ != ',') break;
  }
  throw UsageError{str_cat("--scales ", visible(given), ": expected numbers with commas between them")};
}

bool is_tiled(const std::string& name) { return name == "semseg" || name == "encnet"; }

void check_as_usage(const TestProtocol& protocol) {
  try {
    atrous::check(protocol);
  } catch (const Error& error) {
    throw UsageError{error.what()};
  }
}

}  // namespace

const char* ProtocolArguments::given() const {
  return !name.empty()      ? "--protocol"
         : !scales.empty()  ? "--scales"
         : flip             ? "--flip"
         : base_size > 0    ? "--base-size"
         : !tile.empty()    ? "--tile"
         : !overlap.empty() ? "--overlap"
                            : nullptr;
}

void ProtocolArguments::check(const SizeOptions& size) const {
  if (!scales.empty()) check_as_usage({.scales = scales_in(scales)});  // before a model is read
  if (name == "torchvision" && (flip || !scales.empty()))
    throw UsageError{str_cat(flip ? "--flip" : "--scales", ": --protocol torchvision is a single run")};
  if (is_tiled(name)) {
    if (size.rule())
      throw UsageError{str_cat("--resize, --size and --no-resize: --protocol ", name,
                               " has sizes of its own; --base-size is the longer side at scale 1")};
    return;
  }
  const char* of_tiles = base_size > 0      ? "--base-size"
                         : !tile.empty()    ? "--tile"
                         : !overlap.empty() ? "--overlap"
                                            : nullptr;
  if (of_tiles) throw UsageError{str_cat(of_tiles, " is for --protocol semseg and encnet")};
}

std::optional<TestProtocol> ProtocolArguments::protocol(const Model& model) const {
  if (!given()) return std::nullopt;
  TestProtocol out = name.empty() ? TestProtocol{} : published_protocol(name, model);
  if (!scales.empty()) {
    if (out.style == TestStyle::deeplabv2 && model.architecture.ends_with("-msc"))
      throw UsageError{str_cat("--scales: the ", model.architecture, " holds its scales itself")};
    out.scales = scales_in(scales);
  }
  out.flip = out.flip || flip;
  if (base_size > 0) out.base_size = base_size;
  if (!tile.empty()) {
    const auto [width, height] = parse_size(tile.find('x') == tile.npos ? str_cat(tile, 'x', tile) : tile);
    out.tile_width = width;
    out.tile_height = height;
  }
  if (!overlap.empty()) std::from_chars(overlap.data(), overlap.data() + overlap.size(), out.overlap);
  check_as_usage(out);
  return out;
}

void add_protocol_options(Verb& verb, ProtocolArguments& o, const std::string& group) {
  verb.add_option("--protocol", o.name,
                  "As this publisher's test code does: sizes, tiles, mirror images, averages")
      .one_of({"semseg", "encnet", "deeplabv2", "torchvision"})
      .group(group);
  verb.add_option("--scales", o.scales, "The photo at these scales, 0.5,0.75,1; probabilities are averaged")
      .type_name("SCALE,...")
      .group(group);
  verb.add_flag("--flip", o.flip, "And mirrored left to right").group(group);
  verb.add_option("--base-size", o.base_size, "Of semseg and encnet: the longer side at scale 1")
      .whole_number(1, 16384)
      .group(group);
  verb.add_option("--tile", o.tile, "Of these: the tiles that the network sees, N or WIDTHxHEIGHT")
      .type_name("SIZE")
      .group(group);
  verb.add_option("--overlap", o.overlap, "Of these: pixels that neighbouring tiles share (default: a third)")
      .whole_number(0, 16383)
      .group(group);
}

JsonText protocol_json(const TestProtocol& p) {
  JsonText out =
      json_object({{"style", name_of(p.style)}, {"scales", json_list(p.scales)}, {"flip", p.flip}});
  if (p.tile_width > 0) {
    add_member(out, "base_size", p.base_size);
    add_member(out, "tile_width", p.tile_width);
    add_member(out, "tile_height", p.tile_height);
    if (p.overlap >= 0) add_member(out, "overlap", p.overlap);
  }
  return out;
}

}  // namespace atrous::cli
