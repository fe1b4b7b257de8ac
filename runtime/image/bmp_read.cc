// Windows bitmaps: https://learn.microsoft.com/windows/win32/gdi/bitmap-storage. Uncompressed 1, 4, 8, 24 and
// 32 bits a pixel, and 32 bits with a byte-sized mask a channel, which is what programs write today.
#include <algorithm>
#include <array>

#include "layers/base/error.h"
#include "runtime/image/image_formats.h"
#include "weights_tools/metadata.h"

namespace atrous::formats {

namespace {

constexpr std::size_t file_header = 14;
constexpr std::uint32_t plain = 0, bitfields = 3, alpha_bitfields = 6;

struct BmpHeader {
  int width = 0, height = 0;
  bool top_down = false;
  std::uint32_t bits = 0, compression = plain;
  std::size_t pixels_at = 0;
  Palette palette;
  std::array<std::size_t, 3> byte_of{2, 1, 0};  // where red, green and blue stand in a pixel of 24 or 32 bits
};

// The byte that a channel mask selects.
std::size_t masked_byte(std::uint32_t mask, std::string_view name) {
  for (std::size_t byte = 0; byte < 4; ++byte)
    if (mask == 0xffu << (8 * byte)) return byte;
  fail(ErrorCode::unsupported, name, ": BMP channel mask ", mask, " is not one whole byte");
}

Palette read_colours(const Bytes& file, std::size_t at, std::size_t count, std::size_t entry_bytes) {
  Palette palette(count);
  for (std::size_t i = 0; i < count; ++i, at += entry_bytes)
    palette[i] = {file.u8(at + 2), file.u8(at + 1), file.u8(at)};
  return palette;
}

// The oldest header, OS/2's, has 12 bytes and palette entries of 3; all later ones begin like Windows 3's 40
// bytes.
BmpHeader read_bmp_header(const Bytes& file, std::int64_t max_pixels) {
  const std::string_view name = file.name;
  BmpHeader h;
  h.pixels_at = file.le32(10);
  const std::uint32_t bytes = file.le32(file_header);
  if (bytes != 12 && (bytes < 40 || bytes > 124))
    fail(ErrorCode::unsupported, name, ": BMP header of ", bytes, " bytes");
  if (h.pixels_at < file_header + bytes)
    fail(ErrorCode::malformed, name, ": the BMP's pixels begin at byte ", h.pixels_at,
         ", its header ends at ", file_header + bytes);
  const bool old = bytes == 12;
  const auto side = [&](std::size_t at_old, std::size_t at_new) -> std::int64_t {
    if (old) return file.le16(at_old);
    return static_cast<std::int32_t>(file.le32(at_new));
  };
  const std::int64_t width = side(18, 18), height = side(20, 22);
  h.top_down = height < 0;
  check_dimensions(width, h.top_down ? -height : height, max_pixels, name);
  h.width = static_cast<int>(width);
  h.height = static_cast<int>(h.top_down ? -height : height);
  h.bits = file.le16(old ? 24 : 28);
  h.compression = old ? plain : file.le32(30);

  const bool masked = h.bits == 32 && (h.compression == bitfields || h.compression == alpha_bitfields);
  if (h.compression != plain && !masked)
    fail(ErrorCode::unsupported, name, ": BMP with compression ", h.compression, " and ", h.bits,
         " bits a pixel");
  if (h.bits != 1 && h.bits != 4 && h.bits != 8 && h.bits != 24 && h.bits != 32)
    fail(ErrorCode::unsupported, name, ": BMP with ", h.bits,
         " bits a pixel; 1, 4, 8, 24 and 32 are supported");
  if (masked)
    for (std::size_t c = 0; c < 3; ++c) h.byte_of[c] = masked_byte(file.le32(54 + 4 * c), name);
  if (h.bits <= 8) {
    const std::uint32_t full = 1u << h.bits, used = old ? full : file.le32(46);
    if (used > full)
      fail(ErrorCode::malformed, name, ": BMP palette of ", used, " colours for ", h.bits, " bits a pixel");
    h.palette = read_colours(file, file_header + bytes, used == 0 ? full : used, old ? 3 : 4);
  }
  return h;
}

unsigned index_at(const BmpHeader& h, std::span<const std::byte> row, int x) {
  const std::size_t bit = static_cast<std::size_t>(x) * h.bits;
  return (std::to_integer<unsigned>(row[bit / 8]) >> (8 - h.bits - bit % 8)) & ((1u << h.bits) - 1);
}

void read_indexed(const BmpHeader& h, std::span<const std::byte> row, std::uint8_t* out,
                  std::string_view name) {
  for (int x = 0; x < h.width; ++x, out += 3) {
    const unsigned index = index_at(h, row, x);
    if (index >= h.palette.size())
      fail(ErrorCode::malformed, name, ": palette index ", index, ", but the BMP's palette has ",
           h.palette.size(), " colours");
    std::copy_n(h.palette[index].begin(), 3, out);
  }
}

void read_direct(const BmpHeader& h, std::span<const std::byte> row, std::uint8_t* out) {
  const std::byte* pixel = row.data();
  for (int x = 0; x < h.width; ++x, out += 3, pixel += h.bits / 8)
    for (std::size_t c = 0; c < 3; ++c) out[c] = std::to_integer<std::uint8_t>(pixel[h.byte_of[c]]);
}

void read_indices(const BmpHeader& h, std::span<const std::byte> row, std::uint8_t* out) {
  for (int x = 0; x < h.width; ++x) out[x] = static_cast<std::uint8_t>(index_at(h, row, x));
}

// The rows as stored, each of a whole number of 32 bits; taken before any memory is.
struct Rows {
  std::span<const std::byte> stored;
  std::size_t stride;
  const BmpHeader& header;

  Rows(const Bytes& file, const BmpHeader& h)
      : stride((static_cast<std::size_t>(h.width) * h.bits + 31) / 32 * 4), header(h) {
    stored = file.slice(h.pixels_at, stride * static_cast<std::size_t>(h.height));
  }
  std::span<const std::byte> row(int y) const {
    return stored.subspan(stride * static_cast<std::size_t>(header.top_down ? y : header.height - 1 - y),
                          stride);
  }
};

bool is_grey_ramp(const Palette& palette) {
  for (std::size_t i = 0; i < palette.size(); ++i)
    if (std::ranges::any_of(palette[i], [i](std::uint8_t level) { return level != i; })) return false;
  return true;
}

}  // namespace

bool is_bmp(std::span<const std::byte> file) {
  return file.size() >= 2 && file[0] == std::byte{'B'} && file[1] == std::byte{'M'};
}

bool is_bmp_of_colours(std::span<const std::byte> file) {
  if (file.size() < 30) return false;
  const Bytes header{file, ""};
  return header.le16(header.le32(file_header) == 12 ? 24 : 28) > 8;
}

Decoded read_bmp(const Bytes& file, std::int64_t max_pixels) {
  const BmpHeader h = read_bmp_header(file, max_pixels);
  const Rows rows(file, h);
  Image image = make_image(h.width, h.height, 3);
  for (int y = 0; y < h.height; ++y)
    if (h.bits <= 8)
      read_indexed(h, rows.row(y), image.row(y), file.name);
    else
      read_direct(h, rows.row(y), image.row(y));
  return {std::move(image), 1, h.pixels_at + rows.stored.size()};
}

LabelSamples read_bmp_labels(const Bytes& file, std::int64_t max_pixels) {
  BmpHeader h = read_bmp_header(file, max_pixels);
  if (h.bits > 8) return {read_bmp(file, max_pixels).image, {}};
  const Rows rows(file, h);
  Image samples = make_image(h.width, h.height, 1);
  for (int y = 0; y < h.height; ++y) read_indices(h, rows.row(y), samples.row(y));
  if (h.bits == 8 && is_grey_ramp(h.palette)) h.palette.clear();
  return {std::move(samples), std::move(h.palette)};
}

}  // namespace atrous::formats
