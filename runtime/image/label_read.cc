#include "runtime/image/label_read.h"

#include <algorithm>
#include <vector>

#include "layers/base/error.h"
#include "runtime/image/image_formats.h"
#include "runtime/image/pillow_resize.h"
#include "weights_tools/io/file.h"

namespace atrous {

namespace {

[[noreturn]] void refuse_format(std::span<const std::byte> file, std::string_view name) {
  if (file.empty()) fail(ErrorCode::malformed, name, ": the file is empty");
  const std::string_view found = formats::is_jpeg(file)  ? "this is a JPEG file"
                                 : formats::is_bmp(file) ? "this is a BMP file"
                                 : formats::is_pnm(file) ? "this is a PNM file"
                                                         : "this is no PNG file";
  fail(ErrorCode::unsupported, name, ": ", found, "; labels are read from palette and grey PNG");
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

LabelMap read_labels(std::span<const std::byte> file, std::string_view name, const ReadOptions& options) {
  if (!formats::is_png(file)) refuse_format(file, name);
  Image samples = formats::read_png_indices({file, name}, options.max_pixels);
  return {samples.width, samples.height, std::move(samples.pixels)};
}

LabelMap read_labels_file(const std::string& path, const ReadOptions& options) {
  return read_labels(read_file(path, options.max_file_bytes), path, options);
}

LabelMap resize_nearest(const LabelMap& map, int width, int height) {
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
}

}  // namespace atrous
