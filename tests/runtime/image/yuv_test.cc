// Planes of Y'CbCr against BT.601's definition, in double.
#include "runtime/image/yuv.h"

#include <doctest/doctest.h>

#include <array>
#include <cmath>

#include "tests/support/image_helpers.h"

namespace atrous::yuv_test {

using namespace atrous::testing;

namespace {

using Three = std::array<double, 3>;

constexpr YuvFormat plain{Chroma::c444, false}, full{Chroma::c444, true};

// The definition, solved for R, G, B; and as it stands. Samples 0..255 without rounding.
Three defined_rgb(const Three& yuv, bool full_range) {
  const double y = full_range ? yuv[0] / 255 : (yuv[0] - 16) / 219,
               cb = (yuv[1] - 128) / (full_range ? 255 : 224), cr = (yuv[2] - 128) / (full_range ? 255 : 224);
  const double r = y + 1.402 * cr, b = y + 1.772 * cb;
  return {255 * r, 255 * (y - 0.299 * r - 0.114 * b) / 0.587, 255 * b};
}

Three defined_yuv(const Three& rgb, bool full_range) {
  const double r = rgb[0] / 255, g = rgb[1] / 255, b = rgb[2] / 255;
  const double y = 0.299 * r + 0.587 * g + 0.114 * b, cb = (b - y) / 1.772, cr = (r - y) / 1.402;
  if (full_range) return {255 * y, 128 + 255 * cb, 128 + 255 * cr};
  return {16 + 219 * y, 128 + 224 * cb, 128 + 224 * cr};
}

// Every sample to the nearest; 0.01 more for 16 bits of fraction.
template <class Samples>
void check_near(const Samples& found, const Three& defined) {
  for (std::size_t i = 0; i < 3; ++i) {
    const double clamped = std::min(255.0, std::max(0.0, defined[i]));
    if (std::abs(static_cast<double>(found[i]) - clamped) <= 0.51) continue;
    CAPTURE(i);
    CHECK(static_cast<double>(found[i]) == doctest::Approx(clamped));
  }
}

FileBytes grid_planes(const std::vector<std::array<int, 3>>& samples) {
  FileBytes planes;
  for (std::size_t c = 0; c < 3; ++c)
    for (const auto& s : samples) planes.push_back(static_cast<std::byte>(s[c]));
  return planes;
}

std::vector<std::array<int, 3>> grid() {
  std::vector<std::array<int, 3>> all;
  for (int a = 0; a <= 255; a += 15)
    for (int b = 0; b <= 255; b += 15)
      for (int c = 0; c <= 255; c += 15) all.push_back({a, b, c});
  return all;
}

std::array<int, 3> yuv_of(int r, int g, int b) {
  const auto planes = yuv_of_rgb(picture(1, 1, 3, {r, g, b}), plain);
  return {std::to_integer<int>(planes[0]), std::to_integer<int>(planes[1]), std::to_integer<int>(planes[2])};
}

}  // namespace

TEST_CASE("YUV of every pixel size becomes the RGB of BT.601's definition, in limited and full range") {
  const auto samples = grid();
  for (const YuvFormat& format : {plain, full}) {
    const Image rgb = rgb_of_yuv(grid_planes(samples), static_cast<int>(samples.size()), 1, format);
    for (std::size_t i = 0; i < samples.size(); ++i)
      check_near(std::span(rgb.pixels).subspan(3 * i, 3),
                 defined_rgb({double(samples[i][0]), double(samples[i][1]), double(samples[i][2])},
                             format.full_range));
  }
}

TEST_CASE("RGB becomes the YUV of BT.601's definition, and comes back within two levels") {
  const auto samples = grid();
  Image rgb = make_image(static_cast<int>(samples.size()), 1, 3);
  for (std::size_t i = 0; i < rgb.pixels.size(); ++i)
    rgb.pixels[i] = static_cast<std::uint8_t>(samples[i / 3][i % 3]);
  for (const YuvFormat& format : {plain, full}) {
    const auto planes = yuv_of_rgb(rgb, format);
    REQUIRE(planes.size() == rgb.pixels.size());
    const std::size_t n = samples.size();
    for (std::size_t i = 0; i < n; ++i)
      check_near(std::array{std::to_integer<int>(planes[i]), std::to_integer<int>(planes[n + i]),
                            std::to_integer<int>(planes[2 * n + i])},
                 defined_yuv({double(samples[i][0]), double(samples[i][1]), double(samples[i][2])},
                             format.full_range));
    const Image back = rgb_of_yuv(planes, rgb.width, 1, format);
    for (std::size_t i = 0; i < rgb.pixels.size(); ++i)
      if (std::abs(back.pixels[i] - rgb.pixels[i]) > 2) CHECK(int{back.pixels[i]} == int{rgb.pixels[i]});
  }
}

// The 100% colour bars of BT.601 at 8 bits.
TEST_CASE("colour bars have the values that every table of them has") {
  using Bar = std::array<int, 3>;
  CHECK(yuv_of(255, 255, 255) == Bar{235, 128, 128});
  CHECK(yuv_of(255, 255, 0) == Bar{210, 16, 146});
  CHECK(yuv_of(0, 255, 255) == Bar{170, 166, 16});
  CHECK(yuv_of(0, 255, 0) == Bar{145, 54, 34});
  CHECK(yuv_of(255, 0, 255) == Bar{106, 202, 222});
  CHECK(yuv_of(255, 0, 0) == Bar{81, 90, 240});
  CHECK(yuv_of(0, 0, 255) == Bar{41, 240, 110});
  CHECK(yuv_of(0, 0, 0) == Bar{16, 128, 128});
}

// A ramp of Cr, v = 2 x + 3 y at pixel (x, y), read where a format puts its samples, is that ramp again
// between its outermost samples. In full range Y = 0 and Cr = 128 + v give R = 1.402 v.
TEST_CASE("chroma of half the size is interpolated from where its samples lie") {
  struct Siting {
    Chroma chroma;
    int across, down;  // pixels a sample
    double x, y;       // of the first sample
  };
  constexpr int width = 12, height = 10;
  for (const Siting& s : {Siting{Chroma::c420_jpeg, 2, 2, 0.5, 0.5}, Siting{Chroma::c420_mpeg2, 2, 2, 0, 0.5},
                          Siting{Chroma::c420_paldv, 2, 2, 0, 0}, Siting{Chroma::c422, 2, 1, 0, 0}}) {
    CAPTURE(static_cast<int>(s.chroma));
    const int columns = width / s.across, rows = height / s.down;
    FileBytes planes(width * height, std::byte{0}), cr;
    planes.resize(planes.size() + static_cast<std::size_t>(columns * rows), std::byte{128});
    // Doubled twice over, so that samples between pixels are whole numbers.
    for (int k = 0; k < rows; ++k)
      for (int i = 0; i < columns; ++i)
        cr.push_back(static_cast<std::byte>(
            static_cast<int>(128 + 2 * (s.x + i * s.across) + 6 * (s.y + k * s.down) / 2 + 0.5)));
    const Image rgb = rgb_of_yuv(planes + cr, width, height, {s.chroma, true});
    const double rounded = s.x * 2 + s.y * 3 == std::floor(s.x * 2 + s.y * 3) ? 0 : 0.5;
    for (int y = 1; y < height - 2; ++y)
      for (int x = 1; x < width - 2; ++x) {
        const double expected = 1.402 * (2 * x + 3 * y + rounded);
        CHECK(std::abs(rgb.row(y)[3 * x] - expected) <= 0.51);
      }
  }
}

TEST_CASE("chroma of half the size is the average of the pixels around its place") {
  // One red pixel in black, full range: its Cr is 127.5 above the middle, as 0.5 * 255.
  const auto cr_of = [](int x, int y, Chroma chroma) {
    Image rgb = make_image(4, 4, 3);
    rgb.row(y)[3 * x] = 255;
    const auto planes = yuv_of_rgb(rgb, {chroma, true});
    std::vector<int> cr;
    const std::size_t count = (planes.size() - 16) / 2;
    for (std::size_t i = planes.size() - count; i < planes.size(); ++i)
      cr.push_back(std::to_integer<int>(planes[i]) - 128);
    return cr;
  };
  using Plane = std::vector<int>;
  CHECK(cr_of(1, 1, Chroma::c420_jpeg) == Plane{32, 0, 0, 0});  // a quarter
  CHECK(cr_of(2, 2, Chroma::c420_jpeg) == Plane{0, 0, 0, 32});
  CHECK(cr_of(1, 1, Chroma::c420_mpeg2) == Plane{16, 16, 0, 0});  // an eighth each
  CHECK(cr_of(2, 1, Chroma::c420_mpeg2) == Plane{0, 32, 0, 0});
  CHECK(cr_of(1, 1, Chroma::c420_paldv) == Plane{8, 8, 8, 8});
  CHECK(cr_of(2, 2, Chroma::c420_paldv) == Plane{0, 0, 0, 32});
  CHECK(cr_of(2, 1, Chroma::c422) == Plane{0, 0, 0, 64, 0, 0, 0, 0});
  CHECK(cr_of(3, 1, Chroma::c422) == Plane{0, 0, 0, 32, 0, 0, 0, 0});
}

TEST_CASE("a plain colour is the same by every chroma and at every odd size") {
  for (const Chroma chroma :
       {Chroma::c420_jpeg, Chroma::c420_mpeg2, Chroma::c420_paldv, Chroma::c422, Chroma::c444})
    for (const int width : {1, 2, 3, 7})
      for (const int height : {1, 2, 5}) {
        Image rgb = make_image(width, height, 3);
        for (std::size_t i = 0; i < rgb.pixels.size(); ++i)
          rgb.pixels[i] = i % 3 == 0 ? 200 : i % 3 == 1 ? 30 : 90;
        const auto planes = yuv_of_rgb(rgb, {chroma, false});
        REQUIRE(planes.size() == yuv_bytes(width, height, {chroma, false}));
        const Image back = rgb_of_yuv(planes, width, height, {chroma, false}),
                    one = rgb_of_yuv(yuv_of_rgb(picture(1, 1, 3, {200, 30, 90}), plain), 1, 1, plain);
        for (std::size_t i = 0; i < back.pixels.size(); ++i) REQUIRE(back.pixels[i] == one.pixels[i % 3]);
      }
}

TEST_CASE("planes have the bytes that their sides and chroma say") {
  CHECK(yuv_bytes(5, 3, {Chroma::c420_jpeg, false}) == 15 + 2 * 3 * 2);
  CHECK(yuv_bytes(5, 3, {Chroma::c422, false}) == 15 + 2 * 3 * 3);
  CHECK(yuv_bytes(5, 3, {Chroma::c444, false}) == 45);
  CHECK(yuv_bytes(5, 3, {Chroma::mono, false}) == 15);
  CHECK(contains(sentence([] { yuv_bytes(0, 3, {}); }), "0x3"));
  CHECK(contains(sentence([] { rgb_of_yuv(FileBytes(5), 2, 2, {}); }), "have 6 bytes, found 5"));
  CHECK(contains(sentence([] { rgb_of_yuv(FileBytes(4), 2, 2, {Chroma::mono, false}); }), "without colours"));
  CHECK(contains(sentence([] { yuv_of_rgb(make_image(2, 2, 1), {}); }), "3 channels, not 1"));
}

TEST_CASE("grey samples stay as they are in planes of one") {
  const auto planes = yuv_of_rgb(picture(3, 1, 1, {0, 7, 255}), {Chroma::mono, false});
  CHECK(planes == bytes({0, 7, 255}));
}

}  // namespace atrous::yuv_test
