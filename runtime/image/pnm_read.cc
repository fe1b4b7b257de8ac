// Binary grey (P5) and colour (P6) maps of Netpbm: https://netpbm.sourceforge.net/doc/ppm.html
#include <algorithm>
#include <cmath>

#include "layers/base/error.h"
#include "runtime/image/image_formats.h"

namespace atrous::formats {

namespace {

bool is_space(std::uint8_t c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

// The next decimal number of the header, after white space and comments from # to the end of the line.
std::int64_t read_number(const Bytes& file, std::size_t& at) {
  while (is_space(file.u8(at)) || file.u8(at) == '#') {
    if (file.u8(at) == '#')
      while (file.u8(at) != '\n' && file.u8(at) != '\r') ++at;
    ++at;
  }
  std::int64_t value = 0;
  const std::size_t begin = at;
  for (; file.u8(at) >= '0' && file.u8(at) <= '9'; ++at) {
    if (at - begin == 9)
      fail(ErrorCode::limit, file.name, ": a number of the PNM header has more than 9 digits");
    value = 10 * value + (file.u8(at) - '0');
  }
  if (at == begin) fail(ErrorCode::malformed, file.name, ": the PNM header has no number at offset ", at);
  return value;
}

// A sample of 0..maximum as 0..255, to the nearest as Pillow does it; two-byte samples (high byte first) of
// the full range become their high byte, as everywhere in atrous.
std::uint8_t scaled(std::uint32_t sample, std::int64_t maximum) {
  if (maximum == 65535) return static_cast<std::uint8_t>(sample >> 8);
  const double value = std::nearbyint(static_cast<double>(sample) / static_cast<double>(maximum) * 255);
  return static_cast<std::uint8_t>(std::min(value, 255.0));
}

struct PnmHeader {
  int width = 0, height = 0;
  std::int64_t maximum = 0;
  std::size_t channels = 0, bytes = 0;  // of a pixel, of a sample
  std::size_t pixels_at = 0;

  std::size_t pixels() const { return static_cast<std::size_t>(width) * static_cast<std::size_t>(height); }
};

PnmHeader read_pnm_header(const Bytes& file, std::int64_t max_pixels) {
  const std::uint8_t kind = file.u8(1);
  if (kind != '5' && kind != '6')
    fail(ErrorCode::unsupported, file.name, ": PNM kind P", static_cast<char>(kind),
         "; P5 and P6 are supported");
  std::size_t at = 2;
  const std::int64_t width = read_number(file, at), height = read_number(file, at),
                     maximum = read_number(file, at);
  check_dimensions(width, height, max_pixels, file.name);
  if (maximum < 1 || maximum > 65535)
    fail(ErrorCode::malformed, file.name, ": PNM maximum ", maximum, " is outside 1..65535");
  if (!is_space(file.u8(at)))
    fail(ErrorCode::malformed, file.name, ": the PNM header does not end in white space");
  return {.width = static_cast<int>(width),
          .height = static_cast<int>(height),
          .maximum = maximum,
          .channels = kind == '5' ? 1u : 3u,
          .bytes = maximum < 256 ? 1u : 2u,
          .pixels_at = at + 1};
}

}  // namespace

bool is_pnm(std::span<const std::byte> file) {
  return file.size() >= 3 && file[0] == std::byte{'P'} && file[1] >= std::byte{'1'} &&
         file[1] <= std::byte{'7'} && is_space(std::to_integer<std::uint8_t>(file[2]));
}

bool is_pnm_of_colours(std::span<const std::byte> file) {
  return file.size() > 1 && file[1] == std::byte{'6'};
}

std::size_t pnm_bytes(const Bytes& header, std::int64_t max_pixels) {
  const PnmHeader h = read_pnm_header(header, max_pixels);
  return h.pixels_at + h.pixels() * h.channels * h.bytes;
}

Decoded read_pnm(const Bytes& file, std::int64_t max_pixels) {
  const PnmHeader h = read_pnm_header(file, max_pixels);
  const Bytes stored{file.slice(h.pixels_at, h.pixels() * h.channels * h.bytes), file.name};
  Image image = make_image(h.width, h.height, 3);
  for (std::size_t i = 0; i < 3 * h.pixels(); ++i) {
    const std::size_t sample = h.channels == 3 ? i : i / 3;
    image.pixels[i] = scaled(h.bytes == 1 ? stored.u8(sample) : stored.be16(2 * sample), h.maximum);
  }
  return {std::move(image), 1, h.pixels_at + stored.size()};
}

LabelSamples read_pnm_labels(const Bytes& file, std::int64_t max_pixels) {
  const PnmHeader h = read_pnm_header(file, max_pixels);
  if (h.channels == 3 && h.maximum != 255)
    fail(ErrorCode::unsupported, file.name,
         ": labels that are colours are read from PNM of maximum 255, not ", h.maximum);
  if (h.channels == 3) return {read_pnm(file, max_pixels).image, {}};
  const Bytes stored{file.slice(h.pixels_at, h.pixels() * h.bytes), file.name};
  Image samples = make_image(h.width, h.height, 1);
  for (std::size_t i = 0; i < h.pixels(); ++i) {
    const auto width = static_cast<std::size_t>(h.width);
    samples.pixels[i] = h.bytes == 1
                            ? stored.u8(i)
                            : label_of_16_bits(stored.be16(2 * i), static_cast<std::int64_t>(i % width),
                                               static_cast<std::int64_t>(i / width), file.name);
  }
  return {std::move(samples), {}};
}

}  // namespace atrous::formats
