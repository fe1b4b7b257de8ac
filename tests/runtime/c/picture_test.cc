// C: pictures read and written.
#include <doctest/doctest.h>

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "runtime/image/palette.h"
#include "runtime/image/png.h"
#include "tests/support/c_testing.h"

namespace atrous::c_picture_test {

using namespace atrous::c_testing;

TEST_CASE("C: pictures are read, and written as PNG with a palette or without") {
  const TemporaryFolder folder;
  const Image picture = photo(31, 17);
  const atrous_image view = view_of(picture);
  const std::string path = folder / "photo.png";
  REQUIRE(atrous_png_write(path.c_str(), &view, nullptr, 0) == ATROUS_OK);
  const auto read =
      made<atrous_picture>([&](atrous_picture** out) { return atrous_picture_read(path.c_str(), out); });
  CHECK(copy_of(read.get()) == picture);
  const auto encoded =
      made<atrous_bytes>([&](atrous_bytes** out) { return atrous_png_encode(&view, nullptr, 0, out); });
  std::size_t size = 0;
  const void* data = atrous_bytes_data(encoded.get(), &size);
  const auto decoded = made<atrous_picture>(
      [&](atrous_picture** out) { return atrous_picture_decode(data, size, "photo", out); });
  CHECK(copy_of(decoded.get()) == picture);
  const std::vector<std::uint8_t> labels{0, 1, 2, 1, 0, 2};
  const std::uint8_t palette[] = {0, 0, 0, 255, 0, 0, 0, 0, 255};
  const atrous_image map{labels.data(), 3, 2, 1, 0};
  const auto indexed =
      made<atrous_bytes>([&](atrous_bytes** out) { return atrous_png_encode(&map, palette, 3, out); });
  const auto expected = encode_png(LabelMap{3, 2, labels}, Palette{{0, 0, 0}, {255, 0, 0}, {0, 0, 255}});
  data = atrous_bytes_data(indexed.get(), &size);
  REQUIRE(size == expected.size());
  CHECK(std::memcmp(data, expected.data(), size) == 0);
  fails<atrous_bytes>(ATROUS_INVALID_ARGUMENT, "2", [&](atrous_bytes** out) {
    return atrous_png_encode(&map, palette, 2, out);  // label 2 has no colour
  });
  fails<atrous_bytes>(ATROUS_INVALID_ARGUMENT, "expected 1 channel, found 3",
                      [&](atrous_bytes** out) { return atrous_png_encode(&view, palette, 3, out); });
  fails<atrous_picture>(ATROUS_IO, "nosuch", [&](atrous_picture** out) {
    return atrous_picture_read((folder / "nosuch.png").c_str(), out);
  });
  fails<atrous_picture>(ATROUS_UNSUPPORTED, "words", [&](atrous_picture** out) {
    return atrous_picture_decode("plain text, no picture", 22, "words", out);
  });
  CHECK(atrous_png_write("/no/such/folder/x.png", &view, nullptr, 0) == ATROUS_IO);
}

}  // namespace atrous::c_picture_test
