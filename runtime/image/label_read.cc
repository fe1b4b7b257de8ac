#include "runtime/image/label_read.h"

#include <algorithm>
#include <array>
#include <unordered_map>
#include <vector>

#include "layers/base/error.h"
#include "runtime/image/image_formats.h"
#include "runtime/image/npy.h"
#include "runtime/image/pillow_resize.h"
#include "weights_tools/io/bytes.h"
#include "weights_tools/io/file.h"
#include "weights_tools/io/file_kind.h"

namespace atrous {

namespace {

[[noreturn]] void refuse_label_format(std::span<const std::byte> file, std::string_view name) {
  if (file.empty()) fail(ErrorCode::malformed, name, ": is empty");
  const std::string_view found = describe_file(as_text(file));
  fail(ErrorCode::unsupported, name, ": is ", found.empty() ? "no picture in a known format" : found,
       "; labels are read from PNG, BMP, PNM and .npy");
}

formats::LabelSamples decode_labels(const formats::Bytes& file, std::int64_t max_pixels) {
  if (formats::is_png(file.data)) return formats::read_png_labels(file, max_pixels);
  if (formats::is_bmp(file.data)) return formats::read_bmp_labels(file, max_pixels);
  if (formats::is_pnm(file.data)) return formats::read_pnm_labels(file, max_pixels);
  refuse_label_format(file.data, file.name);
}

constexpr int no_colour = -1, several = -2;
using formats::void_label;
constexpr Colour black{0, 0, 0}, white{255, 255, 255};

bool is_grey(const Colour& c) { return c[0] == c[1] && c[1] == c[2]; }

// From colours to labels.
class ColourTable {
 public:
  explicit ColourTable(const LabelColours& colours) {
    for (std::size_t i = 0; i < colours.palette.size(); ++i) add(colours.palette[i], static_cast<int>(i));
    for (const Colour& c : colours.voids)
      if (find(c) == no_colour) add(c, void_label);
  }

  // The label, no_colour, or several.
  int find(const Colour& colour) const {
    const auto found = labels_.find(packed(colour));
    return found == labels_.end() ? no_colour : found->second;
  }

 private:
  static std::uint32_t packed(const Colour& c) {
    return std::uint32_t{c[0]} << 16 | std::uint32_t{c[1]} << 8 | c[2];
  }
  void add(const Colour& colour, int label) {
    const auto [entry, added] = labels_.emplace(packed(colour), label);
    if (!added) entry->second = several;
  }

  std::unordered_map<std::uint32_t, int> labels_;
};

Colour colour_at(const Image& picture, std::size_t pixel) {
  const std::uint8_t* c = picture.pixels.data() + 3 * pixel;
  return {c[0], c[1], c[2]};
}

[[noreturn]] void refuse_colour(const Image& picture, std::size_t first, const ColourTable& table,
                                const LabelColours& colours, std::string_view name) {
  const Colour colour = colour_at(picture, first);
  std::size_t same = 0, others = 0;
  for (std::size_t p = first; p < picture.pixels.size() / 3; ++p) {
    const Colour c = colour_at(picture, p);
    if (c == colour)
      ++same;
    else if (table.find(c) < 0)
      ++others;
  }
  const auto width = static_cast<std::size_t>(picture.width);
  const std::string what = str_cat("the colour (", int{colour[0]}, ", ", int{colour[1]}, ", ", int{colour[2]},
                                   ") at pixel (", first % width, ", ", first / width, ")");
  const std::string count = str_cat(same, same == 1 ? " pixel has" : " pixels have", " this colour",
                                    others > 0 ? str_cat(", and ", others, " more no known one") : "");
  if (table.find(colour) == several)
    fail(ErrorCode::malformed, name, ": ", what, " is that of several classes of ", colours.source, "; ",
         count);
  fail(ErrorCode::malformed, name, ": ", what, " is none of the ", colours.palette.size(), " of ",
       colours.source, "; ", count);
}

LabelMap look_up(const Image& picture, const ColourTable& table, const LabelColours& colours,
                 std::string_view name) {
  if (colours.palette.empty())
    fail(ErrorCode::unsupported, name,
         ": this picture holds colours, and no palette says which classes they stand for");
  const std::size_t pixels = picture.pixels.size() / 3;
  LabelMap map{picture.width, picture.height, std::vector<std::uint8_t>(pixels)};
  Colour last = colour_at(picture, 0);
  int label = table.find(last);
  for (std::size_t p = 0; p < pixels; ++p) {
    if (const Colour c = colour_at(picture, p); c != last) label = table.find(last = c);
    if (label < 0) refuse_colour(picture, p, table, colours, name);
    map.labels[p] = static_cast<std::uint8_t>(label);
  }
  return map;
}

bool all_grey(const Image& picture) {
  for (std::size_t i = 0; i < picture.pixels.size(); i += 3)
    if (picture.pixels[i] != picture.pixels[i + 1] || picture.pixels[i] != picture.pixels[i + 2])
      return false;
  return true;
}

std::array<bool, 256> levels_of(const Image& picture) {
  std::array<bool, 256> seen{};
  for (std::size_t i = 0; i < picture.pixels.size(); i += static_cast<std::size_t>(picture.channels))
    seen[picture.pixels[i]] = true;
  return seen;
}

struct Levels {
  bool are_labels = true;   // 0 up to the palette's size, and 255
  bool are_colours = true;  // each is a label's
};

Levels judge(const std::array<bool, 256>& seen, const ColourTable& table, const LabelColours& colours) {
  Levels levels;
  for (std::size_t level = 0; level < seen.size(); ++level) {
    if (!seen[level]) continue;
    const auto grey = static_cast<std::uint8_t>(level);
    if (level >= colours.palette.size() && level != void_label) levels.are_labels = false;
    if (table.find({grey, grey, grey}) < 0) levels.are_colours = false;
  }
  return levels;
}

// Each label through `to`.
LabelMap replaced(Image samples, const std::array<int, 256>& to) {
  for (std::uint8_t& label : samples.pixels) label = static_cast<std::uint8_t>(to[label]);
  return {samples.width, samples.height, std::move(samples.pixels)};
}

LabelMap as_they_are(Image samples) { return {samples.width, samples.height, std::move(samples.pixels)}; }

ReadLabels from_colours(Image picture, const LabelColours& colours, std::string_view name) {
  const ColourTable table(colours);
  if (all_grey(picture)) {
    const Levels levels = judge(levels_of(picture), table, colours);
    const bool meant = levels.are_colours ? colours.of_labels || !levels.are_labels
                                          : colours.of_labels && !levels.are_labels;
    if (!meant) {
      Image grey = make_image(picture.width, picture.height, 1);
      for (std::size_t p = 0; p < grey.pixels.size(); ++p) grey.pixels[p] = picture.pixels[3 * p];
      return {as_they_are(std::move(grey))};
    }
  }
  return {look_up(picture, table, colours, name), LabelForm::colours};
}

ReadLabels from_grey(Image samples, const LabelColours& colours) {
  if (!colours.of_labels || !std::ranges::all_of(colours.palette, is_grey))
    return {as_they_are(std::move(samples))};
  const ColourTable table(colours);
  if (!judge(levels_of(samples), table, colours).are_colours) return {as_they_are(std::move(samples))};
  std::array<int, 256> to{};
  for (std::size_t level = 0; level < to.size(); ++level) {
    const auto grey = static_cast<std::uint8_t>(level);
    to[level] = table.find({grey, grey, grey});
  }
  return {replaced(std::move(samples), to), LabelForm::colours};
}

ReadLabels from_palette(formats::LabelSamples file, const LabelColours& colours) {
  const ColourTable table(colours);
  const std::array<bool, 256> used = levels_of(file.samples);
  std::array<int, 256> to{};
  bool all_known = true, moved = false;
  for (std::size_t i = 0; i < to.size(); ++i) {
    const bool coloured = i < file.palette.size();
    to[i] = static_cast<int>(i);
    if (!used[i] || (!coloured && i == void_label)) continue;
    if (coloured && i < colours.palette.size() && file.palette[i] == colours.palette[i]) continue;
    const int label = coloured ? table.find(file.palette[i]) : no_colour;
    all_known = all_known && (label >= 0 || i == void_label);
    if (label < 0) continue;
    moved = moved || label != to[i];
    to[i] = label;
  }
  if (!moved) return {as_they_are(std::move(file.samples))};
  const bool only_theirs = std::ranges::all_of(
      file.palette, [&](const Colour& c) { return c == black || c == white || table.find(c) != no_colour; });
  if (!all_known || !only_theirs) return {as_they_are(std::move(file.samples)), LabelForm::indices, true};
  return {replaced(std::move(file.samples), to), LabelForm::renumbered};
}

// The source position for each new one.
std::vector<std::size_t> nearest(int source, int target) {
  // A running sum, as Pillow computes it: where a centre falls on the border between two pixels, its rounding
  // decides.
  const double scale = static_cast<double>(source) / target;
  double centre = scale * 0.5;
  std::vector<std::size_t> from(static_cast<std::size_t>(target));
  for (std::size_t& f : from) {
    f = static_cast<std::size_t>(std::min(static_cast<int>(centre), source - 1));
    centre += scale;
  }
  return from;
}

}  // namespace

bool holds_colours(const std::string& path) try {
  const std::vector<std::byte> file = read_file(path, ReadOptions().max_file_bytes);
  if (formats::is_png(file)) return formats::is_png_of_colours(file);
  if (formats::is_bmp(file)) return formats::is_bmp_of_colours(file);
  return formats::is_pnm(file) && formats::is_pnm_of_colours(file);
} catch (...) {
  rethrow_as_error();
}

ReadLabels read_labels(std::span<const std::byte> file, std::string_view name, const LabelColours& colours,
                       const ReadOptions& options) try {
  if (is_npy(file)) return {read_npy_labels(file, name, options.max_pixels)};
  formats::LabelSamples read = decode_labels({file, name}, options.max_pixels);
  if (read.samples.channels == 3) return from_colours(std::move(read.samples), colours, name);
  if (colours.palette.empty()) return {as_they_are(std::move(read.samples))};
  return read.palette.empty() ? from_grey(std::move(read.samples), colours)
                              : from_palette(std::move(read), colours);
} catch (...) {
  rethrow_as_error();
}

ReadLabels read_labels_file(const std::string& path, const LabelColours& colours,
                            const ReadOptions& options) try {
  return read_labels(read_file(path, options.max_file_bytes), path, colours, options);
} catch (...) {
  rethrow_as_error();
}

LabelMap read_labels(std::span<const std::byte> file, std::string_view name, const ReadOptions& options) try {
  return read_labels(file, name, LabelColours{}, options).map;
} catch (...) {
  rethrow_as_error();
}

LabelMap read_labels_file(const std::string& path, const ReadOptions& options) try {
  return read_labels_file(path, LabelColours{}, options).map;
} catch (...) {
  rethrow_as_error();
}

LabelMap resize_nearest(const LabelMap& map, int width, int height) try {
  check(map, "resize");
  for (const int side : {width, height})
    if (side < 1 || side > max_picture_side)
      fail(ErrorCode::limit, "resize to ", width, "x", height, ": a side is outside 1..", max_picture_side);
  const std::vector<std::size_t> columns = nearest(map.width, width), rows = nearest(map.height, height);
  LabelMap out{width, height, {}};
  out.labels.resize(columns.size() * rows.size());
  for (int y = 0; y < height; ++y) {
    const std::uint8_t* from = map.row(static_cast<int>(rows[static_cast<std::size_t>(y)]));
    std::ranges::transform(columns, out.row(y), [from](std::size_t x) { return from[x]; });
  }
  return out;
} catch (...) {
  rethrow_as_error();
}

}  // namespace atrous
