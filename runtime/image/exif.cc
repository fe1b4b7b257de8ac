#include <algorithm>

#include "runtime/image/image_formats.h"

namespace atrous::formats {

namespace {

constexpr std::uint32_t orientation_tag = 0x0112;
enum Type : std::uint32_t { type_short = 3, type_long = 4, type_sshort = 8, type_slong = 9 };

std::uint32_t read16(const Bytes& b, std::size_t at, bool big) { return big ? b.be16(at) : b.le16(at); }
std::uint32_t read32(const Bytes& b, std::size_t at, bool big) { return big ? b.be32(at) : b.le32(at); }

}  // namespace

int exif_orientation(std::span<const std::byte> tiff) {
  const Bytes b{tiff, "EXIF"};
  if (b.size() < 8) return 1;
  const bool big = b.u8(0) == 'M' && b.u8(1) == 'M';
  if (!big && !(b.u8(0) == 'I' && b.u8(1) == 'I')) return 1;
  if (read16(b, 2, big) != 42) return 1;
  const std::size_t directory = read32(b, 4, big);
  if (directory > b.size() - 2) return 1;
  const std::size_t entries = read16(b, directory, big);
  int orientation = 1;
  for (std::size_t i = 0; i < entries; ++i) {
    const std::size_t entry = directory + 2 + 12 * i;
    if (entry > b.size() - 2 || b.size() - entry < 12) break;
    if (read16(b, entry, big) != orientation_tag || read32(b, entry + 4, big) != 1) continue;
    const std::uint32_t type = read16(b, entry + 2, big);
    const bool is_short = type == type_short || type == type_sshort;
    if (!is_short && type != type_long && type != type_slong) continue;
    // The last entry counts, as for Pillow, where a tag is there twice.
    const std::uint32_t value = is_short ? read16(b, entry + 8, big) : read32(b, entry + 8, big);
    orientation = value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
  }
  return orientation;
}

Image upright(Image image, int orientation) {
  if (orientation <= 1 || orientation > 8) return image;
  const bool transpose = orientation >= 5;
  const bool mirror_x = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
  const bool mirror_y = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
  constexpr std::size_t channels = 3;  // a constant, so that copying a pixel is no call
  Image out = make_image(transpose ? image.height : image.width, transpose ? image.width : image.height, 3);
  for (int y = 0; y < out.height; ++y) {
    std::uint8_t* to = out.row(y);
    for (int x = 0; x < out.width; ++x, to += channels) {
      const int sx = transpose ? y : x, sy = transpose ? x : y;
      const int from_x = mirror_x ? image.width - 1 - sx : sx;
      const int from_y = mirror_y ? image.height - 1 - sy : sy;
      std::copy_n(image.row(from_y) + static_cast<std::size_t>(from_x) * channels, channels, to);
    }
  }
  return out;
}

}  // namespace atrous::formats
