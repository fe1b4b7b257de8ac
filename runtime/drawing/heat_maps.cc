#include "runtime/drawing/heat_maps.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "layers/base/checked.h"
#include "layers/base/error.h"
#include "runtime/drawing/pictures.h"

namespace atrous {

namespace {

double cube(double v) { return v * v * v; }

// Linear light to a byte of sRGB.
std::uint8_t srgb(double v) {
  v = std::clamp(v, 0.0, 1.0);
  v = v <= 0.0031308 ? 12.92 * v : 1.055 * std::pow(v, 1 / 2.4) - 0.055;
  return static_cast<std::uint8_t>(std::lround(255 * v));
}

Colour from_oklab(double lightness, double a, double b) {
  const double l = cube(lightness + 0.3963377774 * a + 0.2158037573 * b),
               m = cube(lightness - 0.1055613458 * a - 0.0638541728 * b),
               s = cube(lightness - 0.0894841775 * a - 1.2914855480 * b);
  return {srgb(4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s),
          srgb(-1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s),
          srgb(-0.0041960863 * l - 0.7034186147 * m + 1.7076147010 * s)};
}

}  // namespace

Colour heat_colour(double v) {
  const double t = std::min(std::abs(v), 1.0), radians = std::numbers::pi / 180,
               hue = (v > 0 ? 25 + 80 * t : 275 - 75 * t) * radians,
               chroma = (v > 0 ? 0.19 : 0.15) * std::sin(0.8 * std::numbers::pi * t);
  return from_oklab(0.18 + 0.77 * t, chroma * std::cos(hue), chroma * std::sin(hue));
}

std::vector<LegendEntry> heat_legend(bool with_negative, const std::string& of_one) {
  const std::string_view words[] = {"-1", "-0.5", "0", "0.5", of_one};  // from -1 to 1 by halves
  const std::size_t first = with_negative ? 0 : 2;
  std::vector<LegendEntry> entries(std::size(words) - first);
  for (std::size_t i = first; i < std::size(words); ++i) {
    entries[i - first].colour = heat_colour(static_cast<double>(i) / 2 - 1);
    entries[i - first].text = words[i];
  }
  return entries;
}

std::int64_t values_a_pixel(ConstView map, int side) {
  return std::max<std::int64_t>(1, (std::max(map.shape.h, map.shape.w) + side / 2) / side);
}

Image heat_map(ConstView map, std::int64_t channel, double one, int side) {
  check(map, "heat map");
  if (channel < 0 || channel >= map.shape.c || side < 1)
    fail(ErrorCode::invalid_argument, "heat map: channel ", channel, " of ", map.shape.c, " on ", side,
         " pixels");
  const std::int64_t longer = std::max(map.shape.h, map.shape.w), shrink = values_a_pixel(map, side),
                     zoom = shrink > 1 ? 1 : std::max<std::int64_t>(1, (side + longer / 2) / longer);
  const std::int64_t width = divide_up(map.shape.w, shrink), height = divide_up(map.shape.h, shrink);
  Image out = make_image(checked_cast<int>(width * zoom, "heat map"),
                         checked_cast<int>(height * zoom, "heat map"), 3);
  for (std::int64_t y = 0; y < height; ++y)
    for (std::int64_t x = 0; x < width; ++x) {
      const std::int64_t below = std::min((y + 1) * shrink, map.shape.h),
                         right = std::min((x + 1) * shrink, map.shape.w);
      double sum = 0;
      for (std::int64_t v = y * shrink; v < below; ++v)
        for (std::int64_t u = x * shrink; u < right; ++u) sum += map.at(0, v, u, channel);
      const double mean = sum / static_cast<double>((below - y * shrink) * (right - x * shrink));
      fill_rectangle(out, static_cast<int>(x * zoom), static_cast<int>(y * zoom), static_cast<int>(zoom),
                     static_cast<int>(zoom), heat_colour(one > 0 ? mean / one : 0));
    }
  return out;
}

Image heat_over(const Image& picture, const std::vector<double>& cells, int cell, int across) {
  check(picture, "heat over a picture");
  const std::int64_t rows = cell < 1 ? 0 : divide_up(picture.height, cell);
  if (picture.channels != 3 || rows < 1 || across != divide_up(picture.width, cell) ||
      static_cast<std::int64_t>(cells.size()) != rows * across)
    fail(ErrorCode::invalid_argument, "heat over a picture of ", picture.width, "x", picture.height, ": ",
         cells.size(), " cells of ", cell, " pixels, ", across, " in a row");
  Image out = picture;
  for (int y = 0; y < out.height; ++y)
    for (int x = 0; x < out.width; ++x) {
      std::uint8_t* pixel = out.row(y) + std::ptrdiff_t{x} * 3;
      const int grey = (77 * pixel[0] + 150 * pixel[1] + 29 * pixel[2]) / 256;  // luma
      const Colour heat = heat_colour(cells[static_cast<std::size_t>(y / cell * across + x / cell)]);
      for (std::size_t c = 0; c < 3; ++c) pixel[c] = static_cast<std::uint8_t>((3 * heat[c] + grey) / 4);
    }
  return out;
}

void draw_frame(Image& image, int left, int top, int right, int bottom, const Colour& colour) {
  const int line = 1 + contour_width(image.width, image.height);
  fill_rectangle(image, left, top, right - left, line, colour);
  fill_rectangle(image, left, bottom - line, right - left, line, colour);
  fill_rectangle(image, left, top, line, bottom - top, colour);
  fill_rectangle(image, right - line, top, line, bottom - top, colour);
}

}  // namespace atrous
