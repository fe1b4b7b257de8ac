// WebP files built by hand; image_pillow_test.cc reads those that Pillow writes.
#include <doctest/doctest.h>

#include <array>

#include "runtime/image/image_read.h"
#include "tests/support/image_bytes.h"
#include "weights_tools/io/file.h"

namespace atrous::webp_read_test {

using namespace atrous::testing;

namespace {

constexpr int has_exif = 0x08, has_animation = 0x02;

bool all(const Image& image, std::array<std::uint8_t, 3> colour) {
  for (std::size_t i = 0; i < image.pixels.size(); ++i)
    if (image.pixels[i] != colour[i % 3]) return false;
  return true;
}

// The sides of a picture stored as 7x3.
std::pair<int, int> sides(const FileBytes& chunks, bool heed_exif = true) {
  const Image image = read_image(webp(chunks), "photo", {.exif = heed_exif});
  return {image.width, image.height};
}

}  // namespace

TEST_CASE("a lossless WebP is read, and its alpha is dropped") {
  const Image opaque = read_image(webp(webp_picture(5, 3, 200, 100, 50)), "photo");
  CHECK(opaque.width == 5);
  CHECK(opaque.height == 3);
  CHECK(opaque.channels == 3);
  CHECK(all(opaque, {200, 100, 50}));
  CHECK(all(read_image(webp(webp_picture(5, 3, 200, 100, 50, 7)), "photo"), {200, 100, 50}));
}

TEST_CASE("a WebP's unknown chunks, colour profile, missing padding and trailing bytes do not matter") {
  const FileBytes photo = webp_picture(7, 3, 1, 2, 3);
  CHECK(sides(webp_canvas(0x20, 7, 3) + webp_chunk("ICCP", bytes("a profile")) + photo) == std::pair{7, 3});
  CHECK(sides(photo + webp_chunk("what", bytes("odd"))) == std::pair{7, 3});
  CHECK(sides(photo + first(webp_chunk("what", bytes("odd")), 11)) == std::pair{7, 3});
  CHECK(read_image(webp(photo) + bytes("trailing"), "photo", {.alone = true}).width == 7);
}

TEST_CASE("a second picture behind a WebP is told, and where") {
  const FileBytes one = webp(webp_picture(7, 3, 1, 2, 3));
  CHECK(contains(sentence([&] { read_image(one + one, "photo", {.alone = true}); }),
                 str_cat("a second picture begins at byte ", one.size(), " of ", 2 * one.size())));
}

TEST_CASE("a WebP's EXIF orientation is applied where its header announces EXIF") {
  const FileBytes photo = webp_picture(7, 3, 1, 2, 3), canvas = webp_canvas(has_exif, 7, 3);
  const FileBytes turned = webp_chunk("EXIF", exif(6)), upside_down = webp_chunk("EXIF", exif(3));
  CHECK(sides(canvas + photo + turned) == std::pair{3, 7});
  CHECK(sides(canvas + photo + turned, false) == std::pair{7, 3});
  CHECK(sides(canvas + photo + webp_chunk("EXIF", bytes("Exif") + bytes({0, 0}) + exif(8, true))) ==
        std::pair{3, 7});
  CHECK(sides(canvas + photo + upside_down + turned) == std::pair{7, 3});  // the first counts
  CHECK(sides(webp_canvas(0, 7, 3) + photo + turned) == std::pair{7, 3});
  CHECK(sides(photo + turned) == std::pair{7, 3});
  for (std::size_t n = 0; n < 22; ++n)  // broken EXIF is no reason to refuse a photo
    CHECK(sides(canvas + photo + webp_chunk("EXIF", first(exif(6), n))) == std::pair{7, 3});
}

TEST_CASE("a damaged or animated WebP is refused") {
  const FileBytes photo = webp_picture(7, 3, 1, 2, 3);
  const auto changed = [](FileBytes file, std::size_t at, int byte) {
    file[at] = static_cast<std::byte>(byte);
    return file;
  };
  constexpr std::size_t signature = 20, version = 24;  // of webp(photo)
  const FileBytes key_frame = bytes({0x10, 0, 0, 0x9d, 0x01, 0x2a});
  const struct {
    const char* what;
    FileBytes file;
    ErrorCode code;
    const char* sentence;
  } table[] = {
      {"a size beyond the file", bytes("RIFF....WEBPVP8 "), ErrorCode::malformed, "truncated"},
      {"a chunk beyond the RIFF", webp(bytes("VP8L") + le32(50) + bytes("short")), ErrorCode::malformed,
       "truncated"},
      {"a chunk of 4 GB", webp(bytes("VP8L") + le32(0xffffffff) + bytes("short")), ErrorCode::malformed,
       "truncated"},
      {"nothing inside", webp({}), ErrorCode::malformed, "without a picture"},
      {"no picture", webp(webp_canvas(0, 7, 3)), ErrorCode::malformed, "without a picture"},
      {"a RIFF of no bytes", bytes("RIFF") + le32(0) + bytes("WEBP"), ErrorCode::malformed,
       "without a picture"},
      {"animated",
       webp(webp_canvas(has_animation, 7, 3) + webp_chunk("ANIM", FileBytes(6)) +
            webp_chunk("ANMF", FileBytes(16) + photo)),
       ErrorCode::unsupported, "animation"},
      {"a frame only", webp(webp_canvas(0, 7, 3) + webp_chunk("ANMF", FileBytes(16) + photo)),
       ErrorCode::unsupported, "animation"},
      {"announced as animated", webp(webp_canvas(has_animation, 7, 3) + photo), ErrorCode::unsupported,
       "animation"},
      {"a signature of another kind", changed(webp(photo), signature, 0x2e), ErrorCode::malformed, "corrupt"},
      {"version 1", changed(webp(photo), version, 0x20), ErrorCode::malformed, "corrupt"},
      {"another canvas", webp(webp_canvas(0, 8, 3) + photo), ErrorCode::malformed, "corrupt"},
      {"lossless data that ends early", webp(webp_chunk("VP8L", bytes({0x2f, 6, 0, 1, 0, 0}))),
       ErrorCode::malformed, "corrupt"},
      {"lossy of no width", webp(webp_chunk("VP8 ", key_frame + le16(0) + le16(3) + FileBytes(20))),
       ErrorCode::malformed, "corrupt"},
      {"lossy, between key frames",
       webp(webp_chunk("VP8 ", bytes({0x11, 0, 0}) + le16(7) + le16(3) + FileBytes(20))),
       ErrorCode::malformed, "corrupt"},
      {"lossy, a partition beyond the chunk",
       webp(webp_chunk("VP8 ",
                       bytes({0x10, 0xff, 0xff, 0x9d, 0x01, 0x2a}) + le16(7) + le16(3) + FileBytes(20))),
       ErrorCode::malformed, ""},
      {"bomb", webp(webp_picture(16384, 16384, 1, 2, 3)), ErrorCode::limit,
       "16384x16384 is 268435456 pixels"},
      {"a bomb of a canvas", webp(webp_canvas(0, 1 << 24, 1 << 24) + photo), ErrorCode::malformed, "corrupt"},
  };
  for (const auto& row : table) {
    CAPTURE(row.what);
    try {
      read_image(row.file, "photo");
      FAIL("was read");
    } catch (const Error& error) {
      CAPTURE(error.what());
      CHECK(error.code() == row.code);
      CHECK(std::string(error.what()).starts_with("photo: "));
      CHECK(contains(error.what(), row.sentence));
    }
  }
}

TEST_CASE("every prefix of a WebP is refused") {
  const FileBytes file =
      webp(webp_canvas(has_exif, 7, 3) + webp_picture(7, 3, 1, 2, 3) + webp_chunk("EXIF", exif(6)));
  for (std::size_t n = 0; n < file.size(); ++n) {
    CAPTURE(n);
    CHECK(sentence([&] { read_image(first(file, n), "photo"); }).starts_with("photo: "));
  }
}

}  // namespace atrous::webp_read_test
