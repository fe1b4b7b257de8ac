#include "runtime/drawing/heat_maps.h"

#include <doctest/doctest.h>

#include <cmath>

#include "layers/base/error.h"
#include "runtime/image/image.h"

namespace atrous::heat_maps_test {

namespace {

// CIE 1976: L* of the sRGB colour's luminance, 0 to 100.
double lightness(const Colour& colour) {
  const auto linear = [](std::uint8_t byte) {
    const double v = byte / 255.0;
    return v <= 0.04045 ? v / 12.92 : std::pow((v + 0.055) / 1.055, 2.4);
  };
  const double y = 0.2126 * linear(colour[0]) + 0.7152 * linear(colour[1]) + 0.0722 * linear(colour[2]);
  return y > 216.0 / 24389 ? 116 * std::cbrt(y) - 16 : y * 24389 / 27;
}

Colour at(const Image& image, int x, int y) {
  const std::uint8_t* p = image.row(y) + std::ptrdiff_t{x} * 3;
  return {p[0], p[1], p[2]};
}

Tensor ramp(std::int64_t h, std::int64_t w) {
  Tensor map({1, h, w, 2});
  for (std::int64_t i = 0; i < h * w; ++i) {
    map.data()[2 * i] = static_cast<float>(i);
    map.data()[2 * i + 1] = -1;
  }
  return map;
}

}  // namespace

TEST_CASE("colours are ordered as the eye sees them: lightness grows by even steps on both sides of zero") {
  CHECK(lightness(heat_colour(0)) < 8);
  CHECK(lightness(heat_colour(1)) > 90);
  CHECK(lightness(heat_colour(-1)) > 90);
  for (const double sign : {1.0, -1.0})
    for (int i = 0; i < 20; ++i) {
      const double step = lightness(heat_colour(sign * (i + 1) / 20)) - lightness(heat_colour(sign * i / 20));
      CAPTURE(sign * i / 20);
      CHECK(step > 3);
      CHECK(step < 6);
    }
}

TEST_CASE("zero is grey, positive numbers are warm, negative ones cold, and what is beyond 1 is drawn as 1") {
  const Colour zero = heat_colour(0);
  CHECK(zero[0] == zero[1]);
  CHECK(zero[1] == zero[2]);
  for (const double v : {0.1, 0.3, 0.5, 0.7, 0.9, 1.0}) {
    CHECK(heat_colour(v)[0] > heat_colour(v)[2] + 20);
    CHECK(heat_colour(-v)[2] > heat_colour(-v)[0] + 20);
  }
  CHECK(heat_colour(7) == heat_colour(1));
  CHECK(heat_colour(-7) == heat_colour(-1));
}

TEST_CASE("the legend has the colours of the numbers that it names") {
  const auto both = heat_legend(true, "1: most");
  REQUIRE(both.size() == 5);
  CHECK(both[0].text == "-1");
  CHECK(both[0].colour == heat_colour(-1));
  CHECK(both[2].text == "0");
  CHECK(both[2].colour == heat_colour(0));
  CHECK(both[4].text == "1: most");
  CHECK(both[4].colour == heat_colour(1));
  CHECK(heat_legend(false, "1").size() == 3);
}

TEST_CASE("a small map's values become squares, in the colours of their shares of one") {
  const Tensor map = ramp(2, 3);
  const Image picture = heat_map(map.view(), 0, 5, 31);  // 31 / 3: 10 pixels a value
  CHECK(picture.width == 30);
  CHECK(picture.height == 20);
  for (int y = 0; y < 20; ++y)
    for (int x = 0; x < 30; ++x) CHECK(at(picture, x, y) == heat_colour((y / 10 * 3 + x / 10) / 5.0));
  CHECK(at(heat_map(map.view(), 1, 2, 30), 0, 0) == heat_colour(-0.5));
  CHECK(at(heat_map(map.view(), 1, 0, 30), 0, 0) == heat_colour(0));
  CHECK(values_a_pixel(map.view(), 31) == 1);
}

TEST_CASE("a pixel of a large map is the mean of a square of values, at the edges of those there are") {
  const Tensor map = ramp(4, 5);
  CHECK(values_a_pixel(map.view(), 3) == 2);
  const Image picture = heat_map(map.view(), 0, 20, 3);
  CHECK(picture.width == 3);
  CHECK(picture.height == 2);
  CHECK(at(picture, 0, 0) == heat_colour((0 + 1 + 5 + 6) / 4.0 / 20));
  CHECK(at(picture, 2, 1) == heat_colour((14 + 19) / 2.0 / 20));
}

TEST_CASE("a heat map refuses channels and sides that are not there") {
  const Tensor map = ramp(2, 3);
  CHECK_THROWS_AS(static_cast<void>(heat_map(map.view(), 2, 1, 30)), Error);
  CHECK_THROWS_AS(static_cast<void>(heat_map(map.view(), 0, 1, 0)), Error);
  const Image picture = make_image(5, 4, 3);
  CHECK_THROWS_AS(static_cast<void>(heat_over(picture, {0, 0, 0}, 2, 3)), Error);
  CHECK_THROWS_AS(static_cast<void>(heat_over(picture, std::vector<double>(6), 2, 2)), Error);
}

TEST_CASE("heat over a picture covers whole cells, and the picture shows through") {
  Image picture = make_image(5, 4, 3);
  std::ranges::fill(picture.pixels, std::uint8_t{200});
  const std::vector<double> cells{0, 0.5, 1, 0, 0, 0};
  const Image over = heat_over(picture, cells, 2, 3);
  CHECK(at(over, 2, 0) == at(over, 3, 1));
  CHECK(at(over, 2, 0) != at(over, 4, 0));
  CHECK(lightness(at(over, 4, 0)) > lightness(at(over, 2, 0)));
  CHECK(lightness(at(over, 2, 0)) > lightness(at(over, 0, 0)));
  picture.pixels.assign(picture.pixels.size(), 0);
  CHECK(lightness(at(heat_over(picture, cells, 2, 3), 0, 0)) < lightness(at(over, 0, 0)));
}

TEST_CASE("a frame is drawn along its inside, and cut off at the picture's border") {
  Image picture = make_image(12, 10, 3);
  draw_frame(picture, 2, 1, 8, 9, {255, 0, 0});
  int red = 0;
  for (int y = 0; y < 10; ++y)
    for (int x = 0; x < 12; ++x) {
      const bool is_red = at(picture, x, y) == Colour{255, 0, 0};
      const bool inside = x >= 2 && x < 8 && y >= 1 && y < 9, inner = x >= 4 && x < 6 && y >= 3 && y < 7;
      CHECK(is_red == (inside && !inner));
      red += is_red;
    }
  CHECK(red == 40);
  draw_frame(picture, -5, -5, 20, 20, {0, 255, 0});
  CHECK(at(picture, 0, 0) == Colour{0, 0, 0});
}

}  // namespace atrous::heat_maps_test
