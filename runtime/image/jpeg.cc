// The one file that compiles stb_image_write: static, so that a program with its own copy links, and without
// stdio. Of its formats only JPEG is called, so that the others are not in the program.
#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STB_IMAGE_WRITE_STATIC
#define STBI_WRITE_NO_STDIO
#define STBIW_ASSERT(condition) ((void)sizeof(condition))  // the library never aborts
#include <stb/stb_image_write.h>

#include <limits>

#include "layers/base/error.h"
#include "runtime/image/jpeg.h"

namespace atrous {

namespace {

void append(void* to, void* bytes, int count) {
  const auto* from = static_cast<const std::byte*>(bytes);
  auto& out = *static_cast<std::vector<std::byte>*>(to);
  out.insert(out.end(), from, from + count);
}

}  // namespace

std::vector<std::byte> encode_jpeg(const Image& image, int quality) try {
  constexpr int max_side = 65535;                                     // two bytes in the file
  constexpr std::size_t max_bytes = std::numeric_limits<int>::max();  // stb_image_write counts them in an int
  check(image, "JPEG");
  if (quality < 1 || quality > 100)
    fail(ErrorCode::invalid_argument, "JPEG: a quality of ", quality, " is outside 1..100");
  if (image.channels == 4)
    fail(ErrorCode::invalid_argument, "JPEG: it has no transparency, and the picture has 4 channels");
  if (image.width > max_side || image.height > max_side)
    fail(ErrorCode::limit, "JPEG: ", image.width, "x", image.height, " pixels: a side is over ", max_side);
  if (image.pixels.size() > max_bytes)
    fail(ErrorCode::limit, "JPEG: a picture of ", image.pixels.size(), " bytes, over the limit of ",
         max_bytes);
  std::vector<std::byte> out;
  if (!stbi_write_jpg_to_func(append, &out, image.width, image.height, image.channels, image.pixels.data(),
                              quality))
    fail(ErrorCode::invalid_argument, "JPEG: the picture cannot be written");
  return out;
} catch (...) {
  rethrow_as_error();
}

}  // namespace atrous
