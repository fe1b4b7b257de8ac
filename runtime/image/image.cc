#include "runtime/image/image.h"

#include "layers/base/checked.h"

namespace atrous {

namespace {

std::size_t checked_bytes(int width, int height, int channels, std::string_view what) {
  if (width < 1 || height < 1)
    fail(ErrorCode::invalid_argument, what, ": a picture of ", width, "x", height, " has no pixels");
  return checked_cast<std::size_t>(checked_product({width, height, channels}, what), what);
}

}  // namespace

Image make_image(int width, int height, int channels) try {
  if (channels != 1 && channels != 3 && channels != 4)
    fail(ErrorCode::invalid_argument, "a picture has 1, 3 or 4 channels, not ", channels);
  Image image{width, height, channels, {}};
  image.pixels.resize(checked_bytes(width, height, channels, "picture"));
  return image;
} catch (...) {
  rethrow_as_error();
}

void check(const Image& image, std::string_view what) try {
  if (image.channels != 1 && image.channels != 3 && image.channels != 4)
    fail(ErrorCode::invalid_argument, what, ": a picture has 1, 3 or 4 channels, not ", image.channels);
  const std::size_t expected = checked_bytes(image.width, image.height, image.channels, what);
  if (image.pixels.size() != expected)
    fail(ErrorCode::invalid_argument, what, ": ", image.width, "x", image.height, "x", image.channels,
         " needs ", expected, " bytes, found ", image.pixels.size());
} catch (...) {
  rethrow_as_error();
}

void check(const LabelMap& map, std::string_view what) try {
  const std::size_t expected = checked_bytes(map.width, map.height, 1, what);
  if (map.labels.size() != expected)
    fail(ErrorCode::invalid_argument, what, ": ", map.width, "x", map.height, " needs ", expected,
         " labels, found ", map.labels.size());
} catch (...) {
  rethrow_as_error();
}

}  // namespace atrous
