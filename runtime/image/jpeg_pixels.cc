// From a JPEG's planes to RGB as libjpeg does it, to the bit. stb_image's own way differs where it shows: it
// takes the second to last column of a plane of half the width from the wrong neighbour, and names of
// components for a colour space where libjpeg heeds JFIF's and Adobe's segments.
#include <algorithm>
#include <array>

#include "runtime/image/image_formats.h"

namespace atrous::formats {

namespace {

// Planes of half the width or height are interpolated, the nearer sample weighing three times the farther,
// but no plane of one or two columns whose width is halved; all others are repeated.
class Upsampler {
 public:
  Upsampler(const JpegPlane& plane, int width)
      : plane_(plane),
        interpolates_(plane.across == 1 ? plane.down == 2
                                        : plane.across == 2 && plane.down <= 2 && plane.width > 2),
        column_(static_cast<std::size_t>(plane.width) + 2),
        row_(static_cast<std::size_t>(std::max(width, plane.width * plane.across)) + 1) {}

  // Row y of the picture; valid until the next call.
  const std::uint8_t* row(int y) {
    if (plane_.across == 1 && !interpolates_) return source(y / plane_.down);
    if (!interpolates_)
      repeat(source(y / plane_.down));
    else if (plane_.down == 1)
      widen(plane_row(y), 2, 1, 2);
    else if (plane_.across == 1)
      blend(y);
    else
      widen(column_sums(y), 4, 8, 7);
    return row_.data();
  }

 private:
  const std::uint8_t* source(int y) const {
    return plane_.samples + static_cast<std::size_t>(std::clamp(y, 0, plane_.height - 1)) * plane_.stride;
  }
  void repeat(const std::uint8_t* from) {
    for (int x = 0; x < plane_.width; ++x)
      std::fill_n(row_.begin() + static_cast<std::ptrdiff_t>(x) * plane_.across, plane_.across, from[x]);
  }
  int farther(int y) const { return y % 2 == 0 ? y / 2 - 1 : y / 2 + 1; }
  void blend(int y) {
    const std::uint8_t *near = source(y / 2), *far = source(farther(y));
    const int rounding = y % 2 == 0 ? 1 : 2, width = plane_.width;
    std::uint8_t* to = row_.data();
    for (int x = 0; x < width; ++x) to[x] = static_cast<std::uint8_t>((3 * near[x] + far[x] + rounding) >> 2);
  }
  // With the first and the last once more around them.
  const std::int16_t* padded() {
    column_.front() = column_[1];
    column_.back() = column_[column_.size() - 2];
    return column_.data() + 1;
  }
  const std::int16_t* plane_row(int y) {
    std::copy_n(source(y), plane_.width, column_.begin() + 1);
    return padded();
  }
  const std::int16_t* column_sums(int y) {
    const std::uint8_t *near = source(y / 2), *far = source(farther(y));
    const int width = plane_.width;
    std::int16_t* sums = column_.data() + 1;
    for (int x = 0; x < width; ++x) sums[x] = static_cast<std::int16_t>(3 * near[x] + far[x]);
    return padded();
  }
  void widen(const std::int16_t* from, int shift, int round_left, int round_right) {
    const int width = plane_.width;
    std::uint8_t* to = row_.data();
    for (int x = 0; x < width; ++x) {
      to[2 * x] = static_cast<std::uint8_t>((3 * from[x] + from[x - 1] + round_left) >> shift);
      to[2 * x + 1] = static_cast<std::uint8_t>((3 * from[x] + from[x + 1] + round_right) >> shift);
    }
  }

  JpegPlane plane_;
  bool interpolates_;
  std::vector<std::int16_t> column_;
  std::vector<std::uint8_t> row_;
};

using Rgb = std::array<std::uint8_t, 3>;

// Seldom is a value outside: one comparison for both sides.
inline std::uint8_t clamped(int value) {
  if (static_cast<unsigned>(value) > 255) value = value < 0 ? 0 : 255;
  return static_cast<std::uint8_t>(value);
}

// JFIF 1.02: R = Y + 1.402 Cr, G = Y - 0.34414 Cb - 0.71414 Cr, B = Y + 1.772 Cb, in 16 bits of fraction.
[[gnu::always_inline]] inline Rgb rgb_of_ycc(int y, int cb, int cr) {
  constexpr int half = 1 << 15;
  cb -= 128;
  cr -= 128;
  return {clamped(y + ((91881 * cr + half) >> 16)), clamped(y + ((-22554 * cb - 46802 * cr + half) >> 16)),
          clamped(y + ((116130 * cb + half) >> 16))};
}

// a * b / 255, to the nearest.
std::uint8_t product(unsigned a, unsigned b) {
  const unsigned t = a * b + 128;
  return static_cast<std::uint8_t>((t + (t >> 8)) >> 8);
}

Rgb darkened(const Rgb& c, unsigned black) {
  return {product(c[0], black), product(c[1], black), product(c[2], black)};
}

// Adobe stores inks inverted: 255 is none. YCCK's conversion gives what the inks leave, so it turns back.
template <JpegColours colours>
Rgb rgb_of(int a, int b, int c, unsigned d) {
  if constexpr (colours == JpegColours::ycc) return rgb_of_ycc(a, b, c);
  const Rgb plain{clamped(a), clamped(b), clamped(c)};
  if constexpr (colours == JpegColours::cmyk) return darkened(plain, d);
  if constexpr (colours == JpegColours::ycck) {
    const Rgb left = rgb_of_ycc(a, b, c);
    return darkened({clamped(255 - left[0]), clamped(255 - left[1]), clamped(255 - left[2])}, d);
  }
  return plain;
}

// The rows as arguments: what is written could otherwise be the pointers to them.
template <JpegColours colours>
void fill_row(const std::uint8_t* a, const std::uint8_t* b, const std::uint8_t* c, const std::uint8_t* d,
              int width, std::uint8_t* to) {
  for (int x = 0; x < width; ++x, to += 3) {
    const Rgb rgb = rgb_of<colours>(a[x], b[x], c[x], d[x]);
    to[0] = rgb[0];
    to[1] = rgb[1];
    to[2] = rgb[2];
  }
}

template <JpegColours colours>
void fill(Image& image, std::vector<Upsampler>& planes) {
  for (int y = 0; y < image.height; ++y) {
    // Grey has one plane for all.
    std::array<const std::uint8_t*, 4> rows{};
    for (std::size_t i = 0; i < rows.size(); ++i) rows[i] = i < planes.size() ? planes[i].row(y) : rows[0];
    fill_row<colours>(rows[0], rows[1], rows[2], rows[3], image.width, image.row(y));
  }
}

}  // namespace

Image jpeg_pixels(std::span<const JpegPlane> planes, JpegColours colours, int width, int height) {
  Image image = make_image(width, height, 3);
  std::vector<Upsampler> upsamplers;
  for (const JpegPlane& plane : planes) upsamplers.emplace_back(plane, width);
  switch (colours) {
    case JpegColours::grey:  // the three are one
    case JpegColours::rgb:
      fill<JpegColours::rgb>(image, upsamplers);
      break;
    case JpegColours::ycc:
      fill<JpegColours::ycc>(image, upsamplers);
      break;
    case JpegColours::cmyk:
      fill<JpegColours::cmyk>(image, upsamplers);
      break;
    case JpegColours::ycck:
      fill<JpegColours::ycck>(image, upsamplers);
      break;
  }
  return image;
}

}  // namespace atrous::formats
