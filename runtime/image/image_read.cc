#include "runtime/image/image_read.h"

#include <array>
#include <cstring>
#include <string>

#include "layers/base/error.h"
#include "layers/base/visible_text.h"
#include "runtime/image/image_formats.h"
#include "weights_tools/io/bytes.h"
#include "weights_tools/io/file.h"
#include "weights_tools/io/file_kind.h"

namespace atrous {

namespace formats {

std::span<const std::byte> Bytes::slice(std::size_t at, std::size_t count) const {
  if (at > data.size() || count > data.size() - at)
    fail(ErrorCode::malformed, name, ": truncated: ", count, " bytes expected at offset ", at,
         ", the file has ", data.size());
  return data.subspan(at, count);
}

std::uint8_t Bytes::u8(std::size_t at) const { return std::to_integer<std::uint8_t>(slice(at, 1)[0]); }

std::uint32_t Bytes::be16(std::size_t at) const {
  const auto b = slice(at, 2);
  return std::to_integer<std::uint32_t>(b[0]) << 8 | std::to_integer<std::uint32_t>(b[1]);
}

std::uint32_t Bytes::be32(std::size_t at) const {
  slice(at, 4);
  return be16(at) << 16 | be16(at + 2);
}

std::uint32_t Bytes::le16(std::size_t at) const {
  const auto b = slice(at, 2);
  return std::to_integer<std::uint32_t>(b[1]) << 8 | std::to_integer<std::uint32_t>(b[0]);
}

std::uint32_t Bytes::le32(std::size_t at) const {
  slice(at, 4);
  return le16(at + 2) << 16 | le16(at);
}

bool is_webp(std::span<const std::byte> file) {
  constexpr std::string_view riff = "RIFF", webp = "WEBP";  // the file's size between them
  return file.size() >= 12 && std::memcmp(file.data(), riff.data(), 4) == 0 &&
         std::memcmp(file.data() + 8, webp.data(), 4) == 0;
}

void check_dimensions(std::int64_t width, std::int64_t height, std::int64_t max_pixels,
                      std::string_view name) {
  constexpr std::int64_t max_side = 65535;
  if (width < 1 || height < 1)
    fail(ErrorCode::malformed, name, ": a picture of ", width, "x", height, " has no pixels");
  if (width > max_side || height > max_side)
    fail(ErrorCode::limit, name, ": ", width, "x", height, " pixels: a side is over ", max_side);
  if (max_pixels == size_alone) throw SizeFound{static_cast<int>(width), static_cast<int>(height)};
  if (width * height > max_pixels)
    fail(ErrorCode::limit, name, ": ", width, "x", height, " is ", width * height,
         " pixels, over the limit of ", max_pixels);
}

std::uint8_t label_of_16_bits(unsigned sample, std::int64_t x, std::int64_t y, std::string_view name) {
  if (sample > 255 && sample != void_sample)
    fail(ErrorCode::malformed, name, ": the 16-bit label ", sample, " at pixel (", x, ", ", y,
         ") is over 255; ", void_sample, " is void");
  return sample == void_sample ? void_label : static_cast<std::uint8_t>(sample);
}

}  // namespace formats

namespace {

using namespace std::string_view_literals;

// What atrous reads, in words.
#if ATROUS_HAS_WEBP
constexpr std::string_view readable = "atrous reads JPEG, PNG, WebP, BMP and PNM";
#else
constexpr std::string_view readable = "this atrous, built without WebP, reads JPEG, PNG, BMP and PNM";
#endif

[[noreturn]] void refuse_format(std::span<const std::byte> file, std::string_view name) {
  if (file.empty()) fail(ErrorCode::malformed, name, ": is empty");
  const std::string_view found = describe_file(as_text(file));
  fail(ErrorCode::unsupported, name, ": is ", found.empty() ? "not a picture in a known format" : found, "; ",
       readable);
}

formats::Decoded decode(const formats::Bytes& file, std::int64_t max_pixels) {
  if (formats::is_png(file.data)) return formats::read_png(file, max_pixels);
  if (formats::is_jpeg(file.data)) return formats::read_jpeg(file, max_pixels);
#if ATROUS_HAS_WEBP
  if (formats::is_webp(file.data)) return formats::read_webp(file, max_pixels);
#endif
  if (formats::is_bmp(file.data)) return formats::read_bmp(file, max_pixels);
  if (formats::is_pnm(file.data)) return formats::read_pnm(file, max_pixels);
  refuse_format(file.data, file.name);
}

}  // namespace

std::span<const std::string_view> picture_extensions() {
  static constexpr std::string_view extensions[] = {
#if ATROUS_HAS_WEBP
    ".webp",
#endif
    ".jpg",
    ".jpeg",
    ".jpe",
    ".jfif",
    ".png",
    ".bmp",
    ".ppm",
    ".pgm",
    ".pnm"
  };
  return extensions;
}

namespace {

bool holds(std::span<const std::byte> file, std::string_view part) {
  return as_text(file).find(part) != std::string_view::npos;
}

bool begins_picture(std::span<const std::byte> file) {
  return formats::is_png(file) || formats::is_jpeg(file) || formats::is_webp(file) || formats::is_bmp(file) ||
         formats::is_pnm(file);
}

// Cameras and phones put further pictures behind a JPEG that announces them: CIPA's Multi-Picture Format in
// an APP2 segment, and the gain maps of Ultra HDR.
bool announces_more(std::span<const std::byte> picture) {
  return formats::is_jpeg(picture) && (holds(picture, "MPF\0"sv) || holds(picture, "hdrgm:"));
}

}  // namespace

Image read_image(std::span<const std::byte> file, std::string_view name, const ReadOptions& options) try {
  const std::string shown = visible(name);
  formats::Decoded decoded = decode({file, shown}, options.max_pixels);
  if (options.alone && begins_picture(file.subspan(decoded.end)) && !announces_more(file.first(decoded.end)))
    fail(ErrorCode::unsupported, shown, ": a second picture begins at byte ", decoded.end, " of ",
         file.size(), "; one at a time is read");
  return formats::upright(std::move(decoded.image), options.exif ? decoded.orientation : 1);
} catch (...) {
  rethrow_as_error();
}

std::pair<int, int> picture_size(std::span<const std::byte> file, std::string_view name) try {
  const std::string shown = visible(name);
  try {
    decode({file, shown}, formats::size_alone);
  } catch (const formats::SizeFound& found) {
    return {found.width, found.height};
  }
  fail(ErrorCode::malformed, shown, ": has no size");
} catch (...) {
  rethrow_as_error();
}

Image read_image_file(const std::string& path, const ReadOptions& options) try {
  return read_image(read_file(path, options.max_file_bytes), path, options);
} catch (...) {
  rethrow_as_error();
}

}  // namespace atrous
