// The one file that compiles stb_image: static, so that a program with its own copy links, JPEG only, and
// without stdio. It makes no security promise; clean_jpeg stands before it.
#include <cstdlib>

#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_ONLY_JPEG
#define STBI_NO_STDIO
#define STBI_NO_LINEAR
#define STBI_NO_HDR
#define STBI_MAX_DIMENSIONS 65535
#define STBI_ASSERT(condition) ((void)sizeof(condition))  // the library never aborts
// Cleared memory: what no scan writes would otherwise be pixels from the heap.
#define STBI_MALLOC(bytes) std::calloc(1, bytes)
#define STBI_REALLOC(pointer, bytes) std::realloc(pointer, bytes)
#define STBI_FREE(pointer) std::free(pointer)
#include <stb/stb_image.h>

#include <memory>

#include "layers/base/checked.h"
#include "layers/base/error.h"
#include "runtime/image/image_formats.h"

namespace atrous::formats {

namespace {

// The decoder's state, with the planes it decodes to.
struct Decoder {
  stbi__context context;
  stbi__jpeg jpeg;
  Decoder(const stbi_uc* bytes, int size) {
    stbi__start_mem(&context, bytes, size);
    jpeg.s = &context;
    stbi__setup_jpeg(&jpeg);
    context.img_n = 0;  // so many components to free
  }
  ~Decoder() { stbi__cleanup_jpeg(&jpeg); }
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;
};

}  // namespace

Image stb_decode_jpeg(std::span<const std::byte> file, JpegColours colours, std::string_view name) {
  const auto* bytes = reinterpret_cast<const stbi_uc*>(file.data());
  const auto decoder = std::make_unique<Decoder>(bytes, checked_cast<int>(file.size(), name));
  stbi__jpeg& j = decoder->jpeg;
  if (!stbi__decode_jpeg_image(&j))
    fail(ErrorCode::malformed, name, ": the JPEG cannot be decoded: ", stbi_failure_reason());
  std::vector<JpegPlane> planes;
  for (const auto& c : std::span(j.img_comp, static_cast<std::size_t>(j.s->img_n)))
    planes.push_back(
        {c.data, static_cast<std::size_t>(c.w2), c.x, c.y, j.img_h_max / c.h, j.img_v_max / c.v});
  return jpeg_pixels(planes, colours, static_cast<int>(j.s->img_x), static_cast<int>(j.s->img_y));
}

}  // namespace atrous::formats
