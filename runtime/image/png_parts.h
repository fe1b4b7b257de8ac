// What readers and writers of PNG share. Specification: https://www.w3.org/TR/png/
// Not for use outside: call read_image, encode_png, PngRows or PngWriter.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/image/image_formats.h"

namespace atrous::formats {

enum PngColour : unsigned {
  png_grey = 0,
  png_rgb = 2,
  png_indexed = 3,
  png_grey_alpha = 4,
  png_rgb_alpha = 6
};

struct PngHeader {
  int width = 0, height = 0;
  unsigned depth = 0, colour = 0;
  bool interlaced = false;

  unsigned samples() const {
    return colour == png_rgb ? 3 : colour == png_rgb_alpha ? 4 : colour == png_grey_alpha ? 2 : 1;
  }
  std::size_t bits() const { return std::size_t{samples()} * depth; }
  std::size_t row_bytes(int width_of_pass) const {
    return (static_cast<std::size_t>(width_of_pass) * bits() + 7) / 8;
  }
  // From a byte to that of the pixel at its left.
  std::size_t step() const { return bits() < 8 ? 1 : bits() / 8; }
};

// What the pixels need beside the compressed rows.
struct PngParts {
  PngHeader header;
  Palette palette;
  int orientation = 1;
  bool has_data = false;  // whether there was an IDAT chunk
};

// Takes what a chunk says that begins at `at` and follows `previous`, which is empty at the beginning; of an
// IDAT its order alone, so that `content` may be empty there. intact: whether its CRC holds.
void take_png_chunk(PngParts&, std::string_view type, std::string_view previous,
                    std::span<const std::byte> content, bool intact, std::uint64_t at,
                    std::int64_t max_pixels, std::string_view name);

// The four letters at bytes[0..3] of a chunk that begins at `at`.
std::string png_chunk_type(std::span<const std::byte> bytes, std::uint64_t at, std::string_view name);

// Deflate's densest code is 258 bytes in two bits: Error(limit) for `expected` bytes that cannot be in
// `compressed` ones, Error(malformed) where there are none.
void check_png_density(const PngHeader&, std::uint64_t expected, std::uint64_t compressed,
                       std::string_view name);

[[noreturn]] void fail_png_damaged(const PngHeader&, std::uint64_t expected, std::string_view name);
[[noreturn]] void fail_png_corrupt(std::string_view name);
[[noreturn]] void fail_png_truncated(std::uint64_t expected, std::uint64_t found, std::string_view name);

// Undoes the filter of one row in place. `above` is the row before, zeros for the first; `step` as
// PngHeader's.
void unfilter_png_row(unsigned filter, std::span<std::uint8_t> row, const std::uint8_t* above,
                      std::size_t step, std::string_view name);

// Channels of what is read as labels: one of grey samples or indices, three of colours. Error(unsupported)
// for colours of 16 bits.
int png_label_channels(const PngHeader&, std::string_view name);

// A row of 16-bit samples that are to be labels, of the pixels (x0 + i * dx, y): Error(malformed) unless each
// is 0..255 or 65535.
void check_png_labels(const std::uint8_t* row, int count, int x0, int dx, int y, std::string_view name);

// `count` pixels of a row to RGB for three channels, to raw samples for one.
void expand_png_row(const PngParts&, const std::uint8_t* row, int count, std::uint8_t* out, int channels,
                    std::string_view name);

// The prediction of filter 4: whichever of three neighbours is nearest to left + above - corner.
inline int png_paeth(int left, int above, int corner) {
  const int to_left = std::abs(above - corner), to_above = std::abs(left - corner);
  const int to_corner = std::abs(left + above - 2 * corner);
  const int nearer = to_above <= to_corner ? above : corner;
  return to_left <= to_above && to_left <= to_corner ? left : nearer;
}

// ---- writing

void append_png_be32(std::vector<std::byte>& out, std::uint32_t value);

// Length, type, data, CRC of type and data.
void append_png_chunk(std::vector<std::byte>& out, std::string_view type, std::span<const std::byte> data);

// Signature and header, of 8 bits a sample.
void append_png_header(std::vector<std::byte>& out, int width, int height, PngColour);

// The colour type of a picture of 1, 3 or 4 channels.
PngColour png_colour_of(int channels);

// Error(invalid_argument) for a palette over 256 colours, or with fewer than a label.
void check_png_palette(const Palette&, std::span<const std::uint8_t> labels);

// libdeflate's levels; see png.h for what they were chosen from.
constexpr int png_photo_level = 1, png_flat_level = 6;

// Rows one after another, each under whichever of PNG's filters 1 to 4 leaves the smallest differences.
class PngRowFilters {
 public:
  PngRowFilters(std::size_t row_bytes, std::size_t step);

  // Filter number and filtered bytes, until the next call.
  const std::vector<std::uint8_t>& filter(const std::uint8_t* row);

 private:
  // In front of a row's pixels stand as many zeros as a pixel has bytes: the left neighbour of the first.
  std::size_t step_;
  std::vector<std::uint8_t> row_, above_;
  std::array<std::vector<std::uint8_t>, 4> candidates_;
};

}  // namespace atrous::formats
