#include <algorithm>
#include <cstddef>
#include <limits>
#include <span>

#include "runtime/c/handles.h"
#include "runtime/image/image_read.h"
#include "runtime/image/palette.h"
#include "runtime/image/png.h"
#include "weights_tools/io/file.h"

namespace atrous::c {

namespace {

Palette palette_of(const std::uint8_t* rgb, std::size_t colours) {
  if (colours > 256) fail(ErrorCode::limit, "palette: at most 256 colours, found ", colours);
  Palette palette(colours);
  for (std::size_t i = 0; i < colours; ++i) std::copy_n(rgb + 3 * i, 3, palette[i].begin());
  return palette;
}

std::vector<std::byte> png_of(const atrous_image* image, const std::uint8_t* palette, std::size_t colours) {
  Image copy = image_of(image, "image");
  if (!palette && colours > 0)
    fail(ErrorCode::invalid_argument, "palette is NULL, and ", colours, " colours were announced");
  if (!palette) return encode_png(copy);
  if (copy.channels != 1)
    fail(ErrorCode::invalid_argument, "image: with a palette expected 1 channel, found ", copy.channels);
  return encode_png(LabelMap{copy.width, copy.height, std::move(copy.pixels)}, palette_of(palette, colours));
}

}  // namespace

Image image_of(const atrous_image* argument, const char* what) {
  const atrous_image& view = given(argument, what);
  given(view.pixels, "the picture's pixels pointer");
  constexpr std::int64_t most = ReadOptions().max_pixels;
  if (view.width > 0 && view.height > 0 && std::int64_t{view.width} * view.height > most)
    fail(ErrorCode::limit, what, ": ", view.width, 'x', view.height, " is more than ", most, " pixels");
  Image image = make_image(view.width, view.height, view.channels);
  const std::size_t row = image.row_bytes(), step = view.row_bytes > 0 ? view.row_bytes : row;
  if (view.row_bytes > std::numeric_limits<std::ptrdiff_t>::max() / static_cast<std::size_t>(view.height))
    fail(ErrorCode::invalid_argument, what, ": ", view.height, " rows of ", view.row_bytes,
         " bytes are more than memory has");
  if (step < row)
    fail(ErrorCode::invalid_argument, what, ": rows of ", step, " bytes for ", view.width, " pixels of ",
         view.channels, " channels, which take ", row);
  for (int y = 0; y < view.height; ++y)
    std::copy_n(view.pixels + static_cast<std::size_t>(y) * step, row, image.row(y));
  return image;
}

Image rgb_of(const atrous_image* argument, const char* what) {
  Image image = image_of(argument, what);
  if (image.channels == 3) return image;
  Image rgb = make_image(image.width, image.height, 3);
  const auto channels = static_cast<std::size_t>(image.channels);
  for (std::size_t i = 0; i < rgb.pixels.size() / 3; ++i)
    for (std::size_t c = 0; c < 3; ++c)
      rgb.pixels[3 * i + c] = image.pixels[channels * i + (channels == 1 ? 0 : c)];
  return rgb;
}

std::unique_ptr<atrous_picture> picture_of(Image image) {
  return std::make_unique<atrous_picture>(atrous_picture{std::move(image)});
}

std::unique_ptr<atrous_bytes> bytes_of(std::vector<std::byte> bytes) {
  return std::make_unique<atrous_bytes>(atrous_bytes{std::move(bytes)});
}

}  // namespace atrous::c

using namespace atrous::c;

extern "C" {

const void* atrous_bytes_data(const atrous_bytes* handle, size_t* size) {
  if (size) *size = handle ? handle->bytes.size() : 0;
  return handle ? handle->bytes.data() : nullptr;
}

void atrous_bytes_free(atrous_bytes* handle) { delete handle; }

atrous_image atrous_picture_image(const atrous_picture* handle) {
  if (!handle) return {};
  const atrous::Image& image = handle->image;
  return {image.pixels.data(), image.width, image.height, image.channels, image.row_bytes()};
}

void atrous_picture_free(atrous_picture* handle) { delete handle; }

atrous_status atrous_picture_read(const char* path, atrous_picture** out) {
  return made(out, [&] { return picture_of(atrous::read_image_file(&given(path, "path"))); });
}

atrous_status atrous_picture_decode(const void* file, size_t size, const char* name, atrous_picture** out) {
  return made(out, [&] {
    if (size > 0) given(static_cast<const std::byte*>(file), "file");
    return picture_of(
        atrous::read_image({static_cast<const std::byte*>(file), size}, name ? name : "picture"));
  });
}

atrous_status atrous_png_encode(const atrous_image* image, const uint8_t* palette, size_t colours,
                                atrous_bytes** out) {
  return made(out, [&] { return bytes_of(png_of(image, palette, colours)); });
}

atrous_status atrous_png_write(const char* path, const atrous_image* image, const uint8_t* palette,
                               size_t colours) {
  return guarded([&] { atrous::write_file(&given(path, "path"), png_of(image, palette, colours)); });
}

atrous_status atrous_voc_palette(size_t colours, uint8_t* rgb) {
  return guarded([&] {
    given(rgb, "rgb");
    if (colours > 256)
      atrous::fail(atrous::ErrorCode::limit, "palette: at most 256 colours, found ", colours);
    for (const atrous::Colour& colour : atrous::voc_palette(static_cast<int>(colours)))
      rgb = std::copy_n(colour.begin(), 3, rgb);
  });
}

}  // extern "C"
