#include "runtime/image/label_read.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "layers/base/error.h"
#include "runtime/image/image_formats.h"
#include "runtime/image/label_rule.h"
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

LabelMap as_they_are(Image samples) { return {samples.width, samples.height, std::move(samples.pixels)}; }

ReadLabels interpreted(formats::LabelSamples file, const LabelColours& colours, std::string_view name) {
  Image& samples = file.samples;
  if (samples.channels == 1 && colours.palette.empty()) return {as_they_are(std::move(samples))};
  formats::LabelSurvey survey(samples.width, samples.channels, file.palette, colours, name);
  survey.add(samples.pixels);
  const formats::LabelRule rule = survey.rule();
  if (samples.channels == 1) {
    if (!rule.identity) survey.apply(rule, samples.pixels, samples.pixels.data());
    return {as_they_are(std::move(samples)), rule.form, rule.other_order};
  }
  LabelMap map{samples.width, samples.height, std::vector<std::uint8_t>(samples.pixels.size() / 3)};
  survey.apply(rule, samples.pixels, map.labels.data());
  return {std::move(map), rule.form, rule.other_order};
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
  constexpr std::uint64_t head = 64;
  const InputFile whole(path);
  std::vector<std::byte> file(static_cast<std::size_t>(std::min(whole.size(), head)));
  whole.read(0, file);
  if (formats::is_png(file)) return formats::is_png_of_colours(file);
  if (formats::is_bmp(file)) return formats::is_bmp_of_colours(file);
  return formats::is_pnm(file) && formats::is_pnm_of_colours(file);
} catch (...) {
  rethrow_as_error();
}

ReadLabels read_labels(std::span<const std::byte> file, std::string_view name, const LabelColours& colours,
                       const ReadOptions& options) try {
  if (is_npy(file)) return {read_npy_labels(file, name, options.max_pixels)};
  return interpreted(decode_labels({file, name}, options.max_pixels), colours, name);
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
