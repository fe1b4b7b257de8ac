// The decoders behind read_image, one a format. Each gets the whole file, checks its header against the
// limits before it allocates, and returns RGB. Not for use outside: call read_image or read_labels.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "runtime/image/image.h"
#include "weights_tools/metadata.h"

namespace atrous::formats {

// Bytes with bounds: every read past the end is Error(malformed) "name: truncated: ...".
struct Bytes {
  std::span<const std::byte> data;
  std::string_view name;

  std::size_t size() const { return data.size(); }
  std::span<const std::byte> slice(std::size_t at, std::size_t count) const;
  std::uint8_t u8(std::size_t at) const;
  std::uint32_t be16(std::size_t at) const;
  std::uint32_t be32(std::size_t at) const;
  std::uint32_t le16(std::size_t at) const;
  std::uint32_t le32(std::size_t at) const;
};

struct Decoded {
  Image image;          // RGB, as stored
  int orientation = 1;  // EXIF's, 1..8; 1 when there is none
  std::size_t end = 0;  // in the file: what follows is no part of the picture
};

// In max_pixels' place: the size alone is asked for, and check_dimensions() throws it.
constexpr std::int64_t size_alone = -1;
struct SizeFound {
  int width = 0, height = 0;
};

// Error(malformed) for a zero side, Error(limit) for one over 65535 or for more than max_pixels in all.
void check_dimensions(std::int64_t width, std::int64_t height, std::int64_t max_pixels,
                      std::string_view name);

bool is_png(std::span<const std::byte>);
bool is_jpeg(std::span<const std::byte>);
bool is_webp(std::span<const std::byte>);
bool is_bmp(std::span<const std::byte>);
bool is_pnm(std::span<const std::byte>);  // P1 to P7

// By its header, of a file of that format: RGB or RGBA.
bool is_png_of_colours(std::span<const std::byte>);
bool is_bmp_of_colours(std::span<const std::byte>);
bool is_pnm_of_colours(std::span<const std::byte>);

// What a picture holds where its pixels are labels: one channel of grey samples of 1 to 16 bits or of palette
// indices, as stored, or RGB of 8 bits, alpha dropped. Indices may lie beyond the palette. A 16-bit sample
// over 255 is Error(malformed) with its place, but for 65535, which becomes 255. Error(unsupported) for
// colours of 16 bits, and for a PNM's whose maximum is not 255.
struct LabelSamples {
  Image samples;
  Palette palette;  // of an indexed picture, its own; otherwise empty
};
constexpr unsigned void_sample = 65535;
constexpr std::uint8_t void_label = 255;
LabelSamples read_png_labels(const Bytes&, std::int64_t max_pixels);
// A palette whose colour i is grey i throughout, of 8 bits, is that of a grey picture: BMP knows no other.
LabelSamples read_bmp_labels(const Bytes&, std::int64_t max_pixels);
LabelSamples read_pnm_labels(const Bytes&, std::int64_t max_pixels);
// Error(malformed) for a 16-bit label at that pixel that is neither 0..255 nor void_sample.
std::uint8_t label_of_16_bits(unsigned sample, std::int64_t x, std::int64_t y, std::string_view name);

Decoded read_png(const Bytes&, std::int64_t max_pixels);
Decoded read_jpeg(const Bytes&, std::int64_t max_pixels);
Decoded read_webp(const Bytes&, std::int64_t max_pixels);  // with ATROUS_WEBP alone
Decoded read_bmp(const Bytes&, std::int64_t max_pixels);
Decoded read_pnm(const Bytes&, std::int64_t max_pixels);

// Of a whole PNM, by the bytes of its header, whose errors are read_pnm()'s.
std::size_t pnm_bytes(const Bytes& header, std::int64_t max_pixels);

enum class JpegColours { grey, rgb, ycc, cmyk, ycck };

// A JPEG, walked from marker to marker before any decoding and copied without what the decoder does not need:
// EXIF, colour profiles, comments, stray bytes between segments, restart intervals beyond the last block.
struct CleanJpeg {
  JpegColours colours = JpegColours::grey;  // after the rules of libjpeg's default_decompress_parms
  int orientation = 1;
  std::size_t end = 0;  // behind the end marker, in the file as it was
  std::vector<std::byte> bytes;
};

// Refuses all that stb_image 2.27 does not decode, decodes wrongly, or is known to read or write out of
// bounds for: the bytes returned are fit for it.
CleanJpeg clean_jpeg(const Bytes&, std::int64_t max_pixels);

// The stb_image decoder itself, of bytes from clean_jpeg: RGB, or Error(malformed) with its reason.
Image stb_decode_jpeg(std::span<const std::byte> file, JpegColours, std::string_view name);

// Decoded samples of one component. A sample stands for across x down of the picture's pixels.
struct JpegPlane {
  const std::uint8_t* samples = nullptr;
  std::size_t stride = 0;
  int width = 0, height = 0, across = 1, down = 1;
};

// One plane for grey, three or four for the others.
Image jpeg_pixels(std::span<const JpegPlane>, JpegColours, int width, int height);

// The orientation in a TIFF-structured EXIF block (without JPEG's "Exif\0\0"); 1 for whatever cannot be
// understood, because broken EXIF is common and no reason to refuse a photo. TIFF 6.0, section 2; EXIF 2.3
// tag 0x0112.
int exif_orientation(std::span<const std::byte> tiff);

// The RGB photo turned upright: orientation 2 mirrors, 3 turns by 180 degrees, 4 flips, 5 transposes, 6 turns
// clockwise, 7 transposes across the other diagonal, 8 turns counter-clockwise.
Image upright(Image, int orientation);

}  // namespace atrous::formats
