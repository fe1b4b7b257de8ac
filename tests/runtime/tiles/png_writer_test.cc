#include "runtime/tiles/png_writer.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "runtime/image/image_read.h"
#include "runtime/image/label_read.h"
#include "runtime/image/palette.h"
#include "runtime/image/png.h"
#include "tests/support/image_helpers.h"

namespace atrous::png_writer_test {

using namespace atrous::testing;

namespace {

ByteSink into(FileBytes& file) {
  return [&file](std::span<const std::byte> more) { file.insert(file.end(), more.begin(), more.end()); };
}

// The picture written `at_once` rows at a time.
FileBytes written(const Image& image, int at_once) {
  FileBytes file;
  PngWriter writer(image.width, image.height, image.channels, into(file));
  for (int y = 0; y < image.height; y += at_once)
    writer.write(
        {image.row(y), static_cast<std::size_t>(std::min(at_once, image.height - y)) * image.row_bytes()});
  writer.finish();
  return file;
}

// Flat colours, then noise, then a gradient: blocks of deflate of every kind.
Image mixed(int width, int height, int channels) {
  Image image = noise(width, height, channels);
  for (int y = 0; y < height; ++y)
    for (std::size_t i = 0; i < image.row_bytes(); ++i)
      if (y < height / 3)
        image.row(y)[i] = 77;
      else if (y > height / 2)
        image.row(y)[i] = static_cast<std::uint8_t>(i / 7 + static_cast<std::size_t>(y) / 3);
  return image;
}

}  // namespace

TEST_CASE("a PNG written by rows holds the pixels of one written whole") {
  for (const int channels : {1, 3, 4})
    for (const auto& [width, height] : {std::pair{1, 1}, {7, 5}, {33, 64}, {900, 1100}}) {
      const Image image = mixed(width, height, channels);
      const Image whole = read_image(encode_png(image), "whole");
      for (const int at_once : {1, 64, height}) {
        CAPTURE(image.width);
        CAPTURE(image.channels);
        const FileBytes file = written(image, at_once);
        CHECK(read_image(file, "x.png") == whole);
        // Pieces begin without what was before them: hardly a byte more for each megabyte.
        CHECK(file.size() < encode_png(image).size() / 50 * 51 + 128);
      }
    }
}

TEST_CASE("pieces end at any bit of a byte") {  // so that each way to fill one up is taken
  for (int seed = 0; seed < 24; ++seed) {
    Image image = noise(1024, 1200, 1);
    for (std::size_t i = 0; i < image.pixels.size(); ++i)
      image.pixels[i] = i % static_cast<std::size_t>(3 + seed) == 0
                            ? static_cast<std::uint8_t>(image.pixels[i] >> (seed % 8))
                            : std::uint8_t{0};
    REQUIRE(read_image(written(image, 100), "x.png") == read_image(encode_png(image), "whole"));
  }
}

TEST_CASE("labels written by rows are an indexed PNG") {
  const Image indices = mixed(1300, 900, 1);
  const LabelMap map{1300, 900, indices.pixels};
  const Palette palette = voc_palette(256);
  FileBytes file;
  PngWriter writer(1300, 900, palette, into(file));
  for (int y = 0; y < 900; ++y) writer.write({map.row(y), 1300});
  writer.finish();
  CHECK(read_labels(file, "x.png") == map);
  CHECK(read_image(file, "x.png") == read_image(encode_png(map, palette), "whole"));
}

TEST_CASE("a writer says which rows are wrong, and nothing but the sink's errors else") {
  FileBytes file;
  const std::vector<std::uint8_t> rows(5 * 3 * 4, 9);
  const auto refused = [](const auto& action) { return sentence(action); };
  CHECK(contains(refused([&] { PngWriter(0, 4, 3, into(file)); }), "0x4 pixels of 3 channels"));
  CHECK(contains(refused([&] { PngWriter(5, 4, 2, into(file)); }), "2 channels"));
  CHECK(contains(refused([&] { PngWriter(5, 4, Palette(), into(file)); }), "the palette has 0 colours"));
  CHECK(contains(refused([&] { PngWriter(5, 4, Palette(257), into(file)); }), "a palette of 257 colours"));
  PngWriter writer(5, 4, 3, into(file));
  CHECK(contains(refused([&] { writer.write(std::span(rows).first(16)); }),
                 "16 bytes of rows of 15, of which 4 are missing"));
  writer.write(std::span(rows).first(45));
  CHECK(contains(refused([&] { writer.write(std::span(rows).first(30)); }), "of which 1 are missing"));
  CHECK(contains(refused([&] { writer.finish(); }), "3 rows of 4"));
  PngWriter labels(5, 4, Palette(9), into(file));
  CHECK(contains(refused([&] { labels.write(std::span(rows).first(20)); }),
                 "label 9, but the palette has 9 colours"));
  struct Full {};
  CHECK_THROWS_AS(PngWriter(5, 4, 3, [](std::span<const std::byte>) { throw Full(); }), Full);
}

}  // namespace atrous::png_writer_test
