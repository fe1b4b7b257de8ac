// WebP photos on the command line, where the program is built with them.
#include "tests/support/cli_testing.h"
#include "tests/support/image_bytes.h"

namespace atrous::webp_test {

using namespace atrous::cli_testing;
using testing::operator+;
using testing::webp;
using testing::webp_canvas;
using testing::webp_chunk;
using testing::webp_picture;

TEST_CASE_FIXTURE(Bench, "a folder's WebP photos are segmented, upright by their EXIF") {
  constexpr int has_exif = 0x08;
  std::filesystem::create_directory(folder / "in");
  write_file(folder / "in/a.webp", webp(webp_picture(48, 32, 200, 100, 50)));
  write_file(folder / "in/B.WEBP", webp(webp_canvas(has_exif, 48, 32) + webp_picture(48, 32, 1, 2, 3) +
                                        webp_chunk("EXIF", testing::exif(6))));
  const std::string said = succeed(segment({folder / "in"}));
  CHECK(names_in(folder / "in") ==
        Names{"B.WEBP", "B.mask.png", "B.overlay.png", "a.mask.png", "a.overlay.png", "a.webp"});
  CHECK(mentions(said, "a.webp: 48x32, "));
  CHECK(mentions(said, "B.WEBP: 32x48, "));
}

TEST_CASE_FIXTURE(Bench, "a WebP that is cut short or an animation is refused by name") {
  auto file = webp(webp_picture(48, 32, 200, 100, 50));
  file.pop_back();
  write_file(folder / "cut.webp", file);
  refuse(1, segment({folder / "cut.webp"}), {"cut.webp", "truncated"});
  write_file(folder / "film.webp", webp(webp_chunk("ANIM", testing::FileBytes(6))));
  refuse(1, segment({folder / "film.webp"}), {"film.webp", "animation"});
}

}  // namespace atrous::webp_test
