#include "cli/protocol_options.h"

#include <charconv>

#include "layers/base/visible_text.h"
#include "runtime/segment/scale_list.h"

namespace atrous::cli {

namespace {

std::vector<double> scales_in(const std::string& given) {
  if (auto scales = parse_scales(given)) return *std::move(scales);
  throw UsageError{str_cat("--scales ", visible(given), ": expected numbers with commas between them")};
}

bool is_tiled(const std::string& name) { return name == "semseg" || name == "encnet"; }

template <class Asked>
void check_as_usage(const Asked& asked) {
  try {
    atrous::check(asked);
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
  if (!scales.empty()) check_as_usage(TestProtocol{.scales = scales_in(scales)});  // before a model is read
  if (name == "torchvision" && (flip || !scales.empty()))
    throw UsageError{str_cat(flip ? "--flip" : "--scales", ": --protocol torchvision is a single run")};
  if (is_tiled(name)) {
    if (size.rule())
      throw UsageError{str_cat("--resize, --size and --no-resize: --protocol ", name,
                               " has sizes of its own; --base-size is the longer side at scale 1")};
    return;
  }
#if ATROUS_HAS_TILES
  if (tiling()) {
    const std::pair<bool, const char*> others[] = {
        {!scales.empty(), "--scales"}, {flip, "--flip"}, {base_size > 0, "--base-size"}};
    for (const auto& [given, option] : others)
      if (given)
        throw UsageError{
            str_cat(option, ": --tile without --protocol is a large picture at its own size, once")};
    if (const auto rule = size.rule(); rule && rule->kind != ResizeRule::Kind::none)
      throw UsageError{"--resize and --size: with --tile the picture keeps its own size"};
    return;
  }
  if (name.empty() && !overlap.empty())
    throw UsageError{"--overlap: of which tiles? --tile says how large they are"};
#endif
  const char* of_tiles = base_size > 0      ? "--base-size"
                         : !tile.empty()    ? "--tile"
                         : !overlap.empty() ? "--overlap"
                                            : nullptr;
  if (of_tiles) throw UsageError{str_cat(of_tiles, " is for --protocol semseg and encnet")};
}

#if ATROUS_HAS_TILES
std::optional<Tiling> ProtocolArguments::tiling() const {
  if (!name.empty() || tile.empty()) return std::nullopt;
  Tiling out;
  const auto [stop, error] = std::from_chars(tile.data(), tile.data() + tile.size(), out.tile);
  if (error != std::errc() || stop != tile.data() + tile.size())
    throw UsageError{str_cat("--tile ", visible(tile),
                             ": expected one number of pixels, the tiles of large pictures are square")};
  out.overlap = out.tile / 8;
  if (!overlap.empty()) std::from_chars(overlap.data(), overlap.data() + overlap.size(), out.overlap);
  check_as_usage(out);
  return out;
}
#endif

std::optional<TestProtocol> ProtocolArguments::protocol(const Model& model) const {
  if (!given()) return std::nullopt;
#if ATROUS_HAS_TILES
  if (tiling()) return std::nullopt;
#endif
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
#if ATROUS_HAS_TILES
  verb.add_option("--tile", o.tile,
                  "Of these: the tiles that the network sees, N or WIDTHxHEIGHT. Without --protocol: a large "
                  "picture at its own size, in tiles of N pixels, in the memory of a row of them: of PNG, "
                  "labels of eval too; others, and interlaced PNG, are decoded whole")
      .type_name("SIZE")
      .group(group);
  verb.add_option("--overlap", o.overlap,
                  "Pixels that neighbouring tiles share (default: a third; of large pictures an eighth)")
#else
  verb.add_option("--tile", o.tile, "Of these: the tiles that the network sees, N or WIDTHxHEIGHT")
      .type_name("SIZE")
      .group(group);
  verb.add_option("--overlap", o.overlap, "Of these: pixels that neighbouring tiles share (default: a third)")
#endif
      .whole_number(0, 16383)
      .group(group);
}

}  // namespace atrous::cli
