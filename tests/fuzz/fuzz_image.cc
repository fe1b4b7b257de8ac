// Photos of every format: JPEG, PNG, BMP and PNM. What is read has three channels and no more pixels than
// allowed; a second reading gives the same, so nothing comes from memory that the file did not fill; without
// EXIF it has the same sides, perhaps exchanged. A PNG that is read by rows holds what it holds read whole.
#include "runtime/image/image_formats.h"
#include "runtime/image/image_read.h"
#include "runtime/tiles/png_rows.h"
#include "tests/fuzz/png_repair.h"
#include "tests/fuzz/targets.h"

namespace atrous::fuzz {

namespace {

constexpr std::int64_t max_pixels = 1 << 14;

void read_photo(Bytes file) {
  Image image;
  if (!may_refuse([&] { image = read_image(file, "fuzz", {.max_pixels = max_pixels}); })) return;
  check(image, "fuzz");
  promise(image.channels == 3, image.channels, " channels");
  promise(std::int64_t{image.width} * image.height <= max_pixels, "too many pixels");
  promise(read_image(file, "fuzz", {.max_pixels = max_pixels}) == image, "two readings differ");
  const Image stored = read_image(file, "fuzz", {.exif = false, .max_pixels = max_pixels});
  const bool turned = stored.width == image.height && stored.height == image.width;
  promise(turned || (stored.width == image.width && stored.height == image.height), "EXIF changes ",
          stored.width, "x", stored.height, " to ", image.width, "x", image.height);
}

void read_rows(Bytes bytes) {
  const InputFile file(bytes, "fuzz");
  Image image;
  const bool whole = may_refuse([&] {
    PngRows rows(file, "fuzz");
    if (rows.is_interlaced()) fail(ErrorCode::unsupported, "interlaced");
    if (std::int64_t{rows.width()} * rows.height() > max_pixels) fail(ErrorCode::limit, "large");
    image = make_image(rows.width(), rows.height(), 3);
    for (int y = 0; y < image.height; ++y) rows.read({image.row(y), image.row_bytes()});
  });
  if (whole) promise(read_image(bytes, "fuzz", {.exif = false}) == image, "rows differ from the whole");
}

}  // namespace

void image(Bytes input) {
  read_photo(input);
  if (formats::is_png(input)) {
    const std::vector<std::byte> repaired = with_right_checksums(input);
    read_photo(repaired);
    read_rows(input);
    read_rows(repaired);
  }
  may_refuse([&] { promise(formats::exif_orientation(input) <= 8, "an orientation over 8"); });
}

}  // namespace atrous::fuzz
