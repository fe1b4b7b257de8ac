// Reading photos: JPEG, PNG, WebP, BMP and PNM bytes -> RGB. WebP where atrous is built with it.
//
// The result is what Pillow's Image.open(...).convert("RGB") gives, for PNG and WebP to the bit:
// - grey is repeated over the three channels, a palette is looked up, alpha and tRNS are dropped (not
// blended);
// - PNG samples of 1, 2 and 4 bits are spread over 0..255; 16-bit samples become their high byte (Pillow does
// so for
//   colour, but clips 16-bit grey at 255, which turns such photos white);
// - CMYK and YCCK JPEGs are taken in Adobe's inverted convention, as Pillow does, and no ICC or gamma is
// applied;
// - JPEG: libjpeg's upsampling and colours to the bit; stb_image's inverse cosine transform rounds
// differently,
//   by a level or two here and there.
// Unlike convert() alone, and like ImageOps.exif_transpose, an EXIF orientation turns the photo upright
// unless asked not to.
//
// Refused with one sentence that begins with `name`:
// - Error(unsupported): another format (named where its signature is known), arithmetic, lossless,
// hierarchical or
//   12-bit JPEG, animated WebP, compressed or 16-bit BMP, PNM other than P5 and P6, Apple's CgBI PNG;
// - Error(malformed): truncated files (a JPEG without its end marker, a PNG without IEND, fewer pixels than
// announced), CRC
//   or Adler-32 mismatches, palette indices beyond the palette, anything that contradicts the format;
// - Error(limit): more pixels than ReadOptions::max_pixels, or a side over 65535, known from the header
// before any
//   memory is taken; and a file too short for the size it announces.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "layers/base/public.h"
#include "runtime/image/image.h"

namespace ATROUS_PUBLIC atrous {

// How files that read_image reads are called: lower case, with the dot.
std::span<const std::string_view> picture_extensions();

struct ReadOptions {
  bool exif = true;                         // apply the EXIF orientation
  std::int64_t max_pixels = 200'000'000;    // width * height: what the largest phones take
  std::uint64_t max_file_bytes = 1u << 30;  // for read_image_file
  // A second picture behind the first is Error(unsupported), as of a stream of them, and not ignored; but
  // what cameras put behind a JPEG that announces it (Multi-Picture Format, gain maps) is.
  bool alone = false;
};

Image read_image(std::span<const std::byte> file, std::string_view name, const ReadOptions& = {});

// The same from a path, which is also the name. Errors of read_file (weights_tools/io/file.h) pass through.
Image read_image_file(const std::string& path, const ReadOptions& = {});

// Width and height as stored, no EXIF applied, from the file's header: what read_image() would take memory
// for. Errors as read_image()'s for the format and for all that stands before the size.
std::pair<int, int> picture_size(std::span<const std::byte> file, std::string_view name);

}  // namespace atrous
