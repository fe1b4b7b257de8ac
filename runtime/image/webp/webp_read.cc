// Reading WebP by libwebp's decoder. The file is walked chunk by chunk first: container
// https://developers.google.com/speed/webp/docs/riff_container
#include <webp/decode.h>

#include <cstring>

#include "layers/base/error.h"
#include "runtime/image/image_formats.h"

namespace atrous::formats {

namespace {

using namespace std::string_view_literals;

constexpr std::size_t chunk_header = 8;
constexpr std::uint8_t has_exif_flag = 0x08;  // in the first byte of VP8X

bool is_at(const Bytes& file, std::size_t at, std::string_view letters) {
  return file.size() >= at + letters.size() &&
         std::memcmp(file.data.data() + at, letters.data(), letters.size()) == 0;
}

struct Container {
  std::span<const std::byte> riff;  // all that the RIFF header announces, with the header
  int orientation = 1;
};

// EXIF stands bare in its chunk, but some write JPEG's "Exif\0\0" before it.
int orientation_in(std::span<const std::byte> exif) {
  constexpr std::string_view prefix = "Exif\0\0"sv;
  const bool prefixed = is_at({exif, ""}, 0, prefix);
  return exif_orientation(prefixed ? exif.subspan(prefix.size()) : exif);
}

Container read_container(const Bytes& file) {
  Container out{.riff = file.slice(0, chunk_header + std::size_t{file.le32(4)})};
  const Bytes riff{out.riff, file.name};
  bool extended = false, has_picture = false, has_exif = false;
  for (std::size_t at = 12; at + chunk_header <= riff.size();) {
    const std::size_t size = riff.le32(at + 4);
    const auto content = riff.slice(at + chunk_header, size);
    if (is_at(riff, at, "ANIM"sv) || is_at(riff, at, "ANMF"sv))
      fail(ErrorCode::unsupported, file.name, ": this WebP is an animation; still pictures are read");
    if (is_at(riff, at, "VP8X"sv) && at == 12)
      extended = size > 0 && (riff.u8(at + chunk_header) & has_exif_flag);
    has_picture = has_picture || is_at(riff, at, "VP8 "sv) || is_at(riff, at, "VP8L"sv);
    if (is_at(riff, at, "EXIF"sv) && extended && !has_exif) {
      has_exif = true;
      out.orientation = orientation_in(content);
    }
    at += chunk_header + size + size % 2;
  }
  if (!has_picture) fail(ErrorCode::malformed, file.name, ": a WebP without a picture in it");
  return out;
}

[[noreturn]] void refuse(VP8StatusCode status, std::string_view name) {
  switch (status) {
    case VP8_STATUS_OUT_OF_MEMORY:
      fail(ErrorCode::limit, name, ": out of memory for the WebP's decoder");
    case VP8_STATUS_UNSUPPORTED_FEATURE:
      fail(ErrorCode::unsupported, name, ": a WebP with a feature that libwebp does not decode");
    case VP8_STATUS_SUSPENDED:
    case VP8_STATUS_NOT_ENOUGH_DATA:
      fail(ErrorCode::malformed, name, ": truncated: the WebP's picture ends before its last pixel");
    default:
      fail(ErrorCode::malformed, name, ": the WebP's picture is corrupt");
  }
}

}  // namespace

Decoded read_webp(const Bytes& file, std::int64_t max_pixels) {
  const Container container = read_container(file);
  const auto* const data = reinterpret_cast<const std::uint8_t*>(container.riff.data());
  const std::size_t size = container.riff.size();
  WebPDecoderConfig config;
  if (!WebPInitDecoderConfig(&config))
    fail(ErrorCode::unsupported, file.name, ": libwebp is of another version than its header");
  if (const auto status = WebPGetFeatures(data, size, &config.input); status != VP8_STATUS_OK)
    refuse(status, file.name);
  if (config.input.has_animation)
    fail(ErrorCode::unsupported, file.name, ": this WebP is an animation; still pictures are read");
  check_dimensions(config.input.width, config.input.height, max_pixels, file.name);
  Image image = make_image(config.input.width, config.input.height, 3);
  config.output.colorspace = MODE_RGB;
  config.output.is_external_memory = 1;
  config.output.u.RGBA = {image.pixels.data(), static_cast<int>(image.row_bytes()), image.pixels.size()};
  const auto status = WebPDecode(data, size, &config);
  WebPFreeDecBuffer(&config.output);
  if (status != VP8_STATUS_OK) refuse(status, file.name);
  return {std::move(image), container.orientation, size};
}

}  // namespace atrous::formats
