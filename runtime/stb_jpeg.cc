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

#include <cstring>
#include <memory>

#include "layers/checked.h"
#include "layers/error.h"
#include "runtime/image_formats.h"

namespace atrous::formats {

Image stb_decode_jpeg(std::span<const std::byte> file, std::string_view name) {
  int width = 0, height = 0, components = 0;
  const auto* bytes = reinterpret_cast<const stbi_uc*>(file.data());
  const std::unique_ptr<stbi_uc, void (*)(void*)> pixels(
      stbi_load_from_memory(bytes, checked_cast<int>(file.size(), name), &width, &height, &components, 3),
      stbi_image_free);
  if (!pixels) fail(ErrorCode::malformed, name, ": the JPEG cannot be decoded: ", stbi_failure_reason());
  Image image = make_image(width, height, 3);
  std::memcpy(image.pixels.data(), pixels.get(), image.pixels.size());
  return image;
}

}  // namespace atrous::formats
