// JPEGs that we write. image_pillow_test.cc has Pillow read them.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "runtime/image/image_read.h"
#include "runtime/image/jpeg.h"
#include "runtime/image/pillow_resize.h"
#include "tests/support/image_helpers.h"

namespace atrous::jpeg_write_test {

using namespace atrous::testing;

namespace {

// Peak signal to noise ratio in decibels: 10 log10(255^2 / mean squared difference).
double psnr(const Image& a, const Image& b) {
  REQUIRE(a.pixels.size() == b.pixels.size());
  double sum = 0;
  for (std::size_t i = 0; i < a.pixels.size(); ++i) {
    const double d = a.pixels[i] - b.pixels[i];
    sum += d * d;
  }
  return 10 * std::log10(255.0 * 255.0 * static_cast<double>(a.pixels.size()) / sum);
}

// The sampling factors of the first component, in SOF0: 0x22 for colour planes of half the sides.
int sampling(const std::vector<std::byte>& file) {
  for (std::size_t i = 0; i + 11 < file.size(); ++i)
    if (file[i] == std::byte{0xff} && file[i + 1] == std::byte{0xc0})
      return std::to_integer<int>(file[i + 11]);
  return 0;
}

}  // namespace

TEST_CASE("a JPEG written comes back at its size, nearer the higher its quality") {
  const Image photo = resize_bilinear(noise(12, 9, 3), 150, 101);
  double before = 0;
  for (const int quality : {10, 50, 75, 90, 95, 100}) {
    CAPTURE(quality);
    const Image back = read_image(encode_jpeg(photo, quality), "photo");
    CHECK(back.width == 150);
    CHECK(back.height == 101);
    const double now = psnr(photo, back);
    CAPTURE(now);
    CHECK(now > before);
    before = now;
  }
  CHECK(before > 45);  // what rounding to integers leaves
}

TEST_CASE("a JPEG's colour planes have half the sides up to a quality of 90, and 90 is the default") {
  const Image photo = noise(20, 20, 3);
  CHECK(sampling(encode_jpeg(photo, 1)) == 0x22);
  CHECK(sampling(encode_jpeg(photo, 90)) == 0x22);
  CHECK(sampling(encode_jpeg(photo, 91)) == 0x11);
  CHECK(sampling(encode_jpeg(photo, 100)) == 0x11);
  CHECK(encode_jpeg(photo) == encode_jpeg(photo, 90));
}

TEST_CASE("pictures of every size, grey ones and the hardest contrasts come back from a JPEG") {
  for (const auto& size : {std::pair{1, 1}, {1, 17}, {17, 1}, {8, 8}, {16, 16}, {33, 31}})
    for (const int quality : {1, 90, 100})
      for (const int channels : {1, 3}) {
        const int width = size.first, height = size.second;
        CAPTURE(width);
        CAPTURE(quality);
        const Image back = read_image(encode_jpeg(noise(width, height, channels), quality), "photo");
        CHECK(back.width == width);
        CHECK(back.height == height);
      }
  Image extremes = make_image(16, 16, 3);
  for (const int level : {0, 255}) {
    std::ranges::fill(extremes.pixels, static_cast<std::uint8_t>(level));
    CHECK(read_image(encode_jpeg(extremes, 100), "photo") == extremes);
  }
  const Image grey = resize_bilinear(noise(6, 4, 1), 60, 40);
  const Image back = read_image(encode_jpeg(grey, 95), "photo");
  for (std::size_t i = 0; i < grey.pixels.size(); ++i)
    for (std::size_t c = 0; c < 3; ++c) CHECK(std::abs(back.pixels[3 * i + c] - grey.pixels[i]) < 12);
}

TEST_CASE("what cannot be a JPEG is refused") {
  const auto said = [](const Image& image, int quality) {
    return sentence([&] { encode_jpeg(image, quality); });
  };
  CHECK(contains(said(noise(2, 2, 3), 0), "a quality of 0 is outside 1..100"));
  CHECK(contains(said(noise(2, 2, 3), 101), "a quality of 101 is outside 1..100"));
  CHECK(contains(said(noise(2, 2, 4), 90), "no transparency, and the picture has 4 channels"));
  CHECK(contains(said(make_image(65536, 1, 3), 90), "65536x1 pixels: a side is over 65535"));
  CHECK(contains(said(make_image(1, 65536, 1), 90), "1x65536 pixels: a side is over 65535"));
  CHECK(contains(said(Image{2, 2, 3, {}}, 90), "needs 12 bytes, found 0"));
}

}  // namespace atrous::jpeg_write_test
