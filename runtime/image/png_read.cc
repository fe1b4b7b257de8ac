// PNG decoding, after the PNG specification (W3C Recommendation, second edition): https://www.w3.org/TR/png/
// Ours rather than stb_image's because a PNG must equal Pillow's to the bit or be refused: stb_image 2.27
// checks neither CRC nor Adler-32, reads stale memory for palette indices beyond the palette, and inflates
// without a bound. zlib_inflate() inflates into exactly as many bytes as the header announces.
#include <algorithm>
#include <array>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>

#include "layers/base/checked.h"
#include "layers/base/error.h"
#include "runtime/image/image_formats.h"
#include "runtime/image/png_parts.h"
#include "weights_tools/io/deflate.h"

namespace atrous::formats {

namespace {

constexpr std::array<std::uint8_t, 8> signature{0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};

// A whole file's.
struct Parts : PngParts {
  std::vector<std::byte> compressed;  // the IDAT chunks, joined
  std::size_t end = 0;                // behind IEND
};

// The pixels (x0 + i * dx, y0 + j * dy). A plain picture is one pass, an interlaced one is Adam7's seven.
struct Pass {
  int x0, y0, dx, dy;
  int width(const PngHeader& h) const { return h.width > x0 ? (h.width - x0 + dx - 1) / dx : 0; }
  int height(const PngHeader& h) const { return h.height > y0 ? (h.height - y0 + dy - 1) / dy : 0; }
};
constexpr std::array<Pass, 7> adam7{
    {{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4}, {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2}}};
constexpr std::array<Pass, 1> whole{{{0, 0, 1, 1}}};

std::span<const Pass> passes(const PngHeader& h) {
  if (h.interlaced) return adam7;
  return whole;
}

PngHeader read_header(const Bytes& content, std::int64_t max_pixels) {
  const std::string_view name = content.name;
  if (content.size() != 13)
    fail(ErrorCode::malformed, name, ": the PNG header has ", content.size(), " bytes, not 13");
  check_dimensions(content.be32(0), content.be32(4), max_pixels, name);
  PngHeader h{static_cast<int>(content.be32(0)), static_cast<int>(content.be32(4)), content.u8(8),
              content.u8(9)};
  const bool depth_fits = h.colour == png_grey      ? h.depth <= 16 && std::has_single_bit(h.depth)
                          : h.colour == png_indexed ? h.depth <= 8 && std::has_single_bit(h.depth)
                                                    : h.depth == 8 || h.depth == 16;
  if (h.colour > 6 || h.colour == 1 || h.colour == 5 || !depth_fits)
    fail(ErrorCode::malformed, name, ": PNG colour type ", h.colour, " with ", h.depth,
         " bits a sample does not exist");
  const unsigned compression = content.u8(10), filter = content.u8(11), interlace = content.u8(12);
  if (compression != 0 || filter != 0 || interlace > 1)
    fail(ErrorCode::malformed, name, ": PNG compression ", compression, ", filter ", filter, ", interlace ",
         interlace, " does not exist");
  h.interlaced = interlace == 1;
  return h;
}

Palette read_colours(std::span<const std::byte> content, std::string_view name) {
  if (content.empty() || content.size() % 3 != 0 || content.size() > 768)
    fail(ErrorCode::malformed, name, ": a PNG palette of ", content.size(), " bytes does not exist");
  Palette palette(content.size() / 3);
  std::memcpy(palette.data(), content.data(), content.size());
  return palette;
}

bool crc_holds(const Bytes& file, std::size_t type_at, std::size_t length) {
  const auto covered = file.slice(type_at, length + 4);
  return crc32(covered) == file.be32(type_at + 4 + length);
}

// Chunks come as length, type, data, CRC of type and data. An upper-case first letter marks one that may not
// be ignored.
Parts read_chunks(const Bytes& file, std::int64_t max_pixels) {
  Parts parts;
  std::string previous;
  for (std::size_t at = signature.size(); previous != "IEND";) {
    if (at == file.size()) fail(ErrorCode::malformed, file.name, ": truncated: the PNG ends without IEND");
    const std::size_t length = file.be32(at), data = at + 8;
    const std::string type = png_chunk_type(file.slice(at + 4, 4), at, file.name);
    const auto content = file.slice(data, length);
    take_png_chunk(parts, type, previous, content, crc_holds(file, at + 4, length), at, max_pixels,
                   file.name);
    if (type == "IDAT") {
      parts.compressed.insert(parts.compressed.end(), content.begin(), content.end());
      parts.has_data = !parts.compressed.empty();
    }
    previous = type;
    at = data + length + 4;
    parts.end = at;
  }
  return parts;
}

std::size_t filtered_bytes(const PngHeader& h, std::string_view name) {
  std::size_t total = 0;
  for (const Pass& pass : passes(h)) {
    const int width = pass.width(h), height = pass.height(h);
    if (width == 0) continue;
    total = checked_add(
        total, checked_multiply(static_cast<std::size_t>(height), h.row_bytes(width) + 1, name), name);
  }
  return total;
}

std::vector<std::uint8_t> inflate(const Parts& parts, std::string_view name) {
  const std::size_t expected = filtered_bytes(parts.header, name), compressed = parts.compressed.size();
  check_png_density(parts.header, expected, compressed, name);
  std::vector<std::uint8_t> filtered(expected);
  const auto [outcome, produced] =
      zlib_inflate(parts.compressed, std::as_writable_bytes(std::span(filtered)));
  if (outcome == Inflation::no_room) fail_png_damaged(parts.header, expected, name);
  if (outcome == Inflation::damaged) fail_png_corrupt(name);
  if (produced != expected) fail_png_truncated(expected, produced, name);
  return filtered;
}

// Sample i of a row whose samples have 1, 2 or 4 bits, the first in the high bits.
unsigned packed_sample(const std::uint8_t* row, std::size_t i, unsigned depth) {
  const std::size_t bit = i * depth;
  return (row[bit / 8] >> (8 - depth - bit % 8)) & ((1u << depth) - 1);
}

void expand_indexed(const PngHeader& h, const Palette& palette, const std::uint8_t* row, int count,
                    std::uint8_t* out, std::string_view name) {
  for (int x = 0; x < count; ++x, out += 3) {
    const auto i = static_cast<std::size_t>(x);
    const unsigned index = h.depth == 8 ? row[i] : packed_sample(row, i, h.depth);
    if (index >= palette.size())
      fail(ErrorCode::malformed, name, ": palette index ", index, ", but the PNG's palette has ",
           palette.size(), " colours");
    std::copy_n(palette[index].begin(), 3, out);
  }
}

void expand_packed_grey(unsigned depth, const std::uint8_t* row, int count, std::uint8_t* out) {
  const unsigned spread = 255 / ((1u << depth) - 1);
  for (int x = 0; x < count; ++x, out += 3)
    std::fill_n(out, 3,
                static_cast<std::uint8_t>(spread * packed_sample(row, static_cast<std::size_t>(x), depth)));
}

// Samples of 8 or 16 bits; a 16-bit sample's first byte is its high one.
void expand_bytes(const PngHeader& h, const std::uint8_t* row, int count, std::uint8_t* out) {
  const std::size_t sample = h.depth / 8, pixel = sample * h.samples();
  const std::size_t g = h.samples() >= 3 ? sample : 0, b = 2 * g;
  for (int x = 0; x < count; ++x, row += pixel, out += 3) {
    out[0] = row[0];
    out[1] = row[g];
    out[2] = row[b];
  }
}

// Grey samples or palette indices of at most 8 bits, as they are; of 16 bits those that check_png_labels()
// lets through.
void expand_raw(unsigned depth, const std::uint8_t* row, int count, std::uint8_t* out) {
  if (depth == 8) {
    std::copy_n(row, count, out);
    return;
  }
  if (depth == 16) {
    for (int x = 0; x < count; ++x, row += 2) out[x] = row[0] == 0 ? row[1] : void_label;
    return;
  }
  for (int x = 0; x < count; ++x)
    out[x] = static_cast<std::uint8_t>(packed_sample(row, static_cast<std::size_t>(x), depth));
}

// Decodes one pass from `filtered`; returns what is left of it.
std::span<std::uint8_t> decode_pass(const Parts& parts, const Pass& pass, std::span<std::uint8_t> filtered,
                                    Image& out, std::string_view name) {
  const PngHeader& h = parts.header;
  const int width = pass.width(h), height = pass.height(h);
  if (width == 0) return filtered;
  const std::size_t bytes = h.row_bytes(width), step = h.step();
  const std::vector<std::uint8_t> zeros(bytes);
  const auto channels = static_cast<std::size_t>(out.channels);
  std::vector<std::uint8_t> pixels(static_cast<std::size_t>(width) * channels);
  const std::uint8_t* above = zeros.data();
  for (int j = 0; j < height; ++j) {
    const auto row = filtered.subspan(1, bytes);
    unfilter_png_row(filtered[0], row, above, step, name);
    above = row.data();
    if (channels == 1 && h.depth == 16)
      check_png_labels(row.data(), width, pass.x0, pass.dx, pass.y0 + j * pass.dy, name);
    filtered = filtered.subspan(1 + bytes);
    std::uint8_t* to = out.row(pass.y0 + j * pass.dy);
    if (pass.dx == 1) {
      expand_png_row(parts, row.data(), width, to, out.channels, name);
      continue;
    }
    expand_png_row(parts, row.data(), width, pixels.data(), out.channels, name);
    for (int i = 0; i < width; ++i)
      std::copy_n(pixels.data() + channels * static_cast<std::size_t>(i), channels,
                  to + channels * static_cast<std::size_t>(pass.x0 + i * pass.dx));
  }
  return filtered;
}

Image decode_passes(const Parts& parts, int channels, std::string_view name) {
  if (parts.header.colour == png_indexed && parts.palette.empty())
    fail(ErrorCode::malformed, name, ": a palette PNG without a palette");
  std::vector<std::uint8_t> filtered = inflate(parts, name);
  Image image = make_image(parts.header.width, parts.header.height, channels);
  std::span<std::uint8_t> rest = filtered;
  for (const Pass& pass : passes(parts.header)) rest = decode_pass(parts, pass, rest, image, name);
  return image;
}

std::string_view colour_name(unsigned colour) {
  return colour == png_rgb          ? "RGB"
         : colour == png_rgb_alpha  ? "RGBA"
         : colour == png_grey_alpha ? "grey with alpha"
                                    : "grey";
}

}  // namespace

std::string png_chunk_type(std::span<const std::byte> bytes, std::uint64_t at, std::string_view name) {
  std::string type;
  for (const std::byte byte : bytes.first(4)) {
    const char letter = static_cast<char>(byte);
    if (!((letter >= 'A' && letter <= 'Z') || (letter >= 'a' && letter <= 'z')))
      fail(ErrorCode::malformed, name, ": no PNG chunk begins at offset ", at);
    type += letter;
  }
  return type;
}

void take_png_chunk(PngParts& parts, std::string_view type, std::string_view previous,
                    std::span<const std::byte> content, bool intact, std::uint64_t at,
                    std::int64_t max_pixels, std::string_view name) {
  if (type == "CgBI") fail(ErrorCode::unsupported, name, ": this is Apple's CgBI variant of PNG");
  if (previous.empty() && type != "IHDR")
    fail(ErrorCode::malformed, name, ": the PNG begins with ", type, ", not IHDR");
  const bool critical = type[0] < 'a';
  if (critical && !intact)
    fail(ErrorCode::malformed, name, ": CRC mismatch in PNG chunk ", type, " at offset ", at);
  if (type == "IHDR") {
    if (!previous.empty()) fail(ErrorCode::malformed, name, ": the PNG has two headers");
    parts.header = read_header({content, name}, max_pixels);
  } else if (type == "PLTE") {
    if (!parts.palette.empty() || parts.has_data)
      fail(ErrorCode::malformed, name, ": a second or late PNG palette");
    parts.palette = read_colours(content, name);
  } else if (type == "IDAT") {
    if (parts.has_data && previous != "IDAT")
      fail(ErrorCode::malformed, name, ": the PNG's IDAT chunks do not follow each other");
  } else if (type == "eXIf" && intact) {
    parts.orientation = exif_orientation(content);
  } else if (critical && type != "IEND") {
    fail(ErrorCode::unsupported, name, ": unknown critical PNG chunk ", type);
  }
}

void check_png_density(const PngHeader& h, std::uint64_t expected, std::uint64_t compressed,
                       std::string_view name) {
  constexpr std::uint64_t densest = 1032;
  if (compressed == 0) fail(ErrorCode::malformed, name, ": the PNG has no image data");
  if (expected / densest > compressed)
    fail(ErrorCode::limit, name, ": ", compressed, " compressed bytes cannot hold the ", expected, " of ",
         h.width, "x", h.height, " pixels");
}

void fail_png_damaged(const PngHeader& h, std::uint64_t expected, std::string_view name) {
  fail(ErrorCode::malformed, name, ": the PNG's compressed data is damaged, or more than the ", expected,
       " bytes of ", h.width, "x", h.height, " pixels");
}

void fail_png_corrupt(std::string_view name) {
  fail(ErrorCode::malformed, name, ": the PNG's compressed data is corrupt or truncated");
}

void fail_png_truncated(std::uint64_t expected, std::uint64_t found, std::string_view name) {
  fail(ErrorCode::malformed, name, ": truncated: expected ", expected, " bytes of image data, found ", found);
}

void unfilter_png_row(unsigned filter, std::span<std::uint8_t> row, const std::uint8_t* above,
                      std::size_t step, std::string_view name) {
  const auto add = [&](std::size_t i, int prediction) {
    row[i] = static_cast<std::uint8_t>(row[i] + prediction);
  };
  const std::size_t n = row.size(), first = std::min(step, n);
  switch (filter) {
    case 0:
      return;
    case 1:
      for (std::size_t i = step; i < n; ++i) add(i, row[i - step]);
      return;
    case 2:
      for (std::size_t i = 0; i < n; ++i) add(i, above[i]);
      return;
    case 3:
      for (std::size_t i = 0; i < first; ++i) add(i, above[i] / 2);
      for (std::size_t i = step; i < n; ++i) add(i, (row[i - step] + above[i]) / 2);
      return;
    case 4:
      for (std::size_t i = 0; i < first; ++i) add(i, above[i]);
      for (std::size_t i = step; i < n; ++i) add(i, png_paeth(row[i - step], above[i], above[i - step]));
      return;
    default:
      fail(ErrorCode::malformed, name, ": PNG row filter ", filter, " does not exist");
  }
}

void expand_png_row(const PngParts& parts, const std::uint8_t* row, int count, std::uint8_t* out,
                    int channels, std::string_view name) {
  const PngHeader& h = parts.header;
  if (channels == 1)
    expand_raw(h.depth, row, count, out);
  else if (h.colour == png_indexed)
    expand_indexed(h, parts.palette, row, count, out, name);
  else if (h.depth < 8)
    expand_packed_grey(h.depth, row, count, out);
  else
    expand_bytes(h, row, count, out);
}

int png_label_channels(const PngHeader& h, std::string_view name) {
  if (h.colour == png_grey || h.colour == png_indexed) return 1;
  if (h.depth > 8)
    fail(ErrorCode::unsupported, name,
         ": labels that are colours are read from 8 bits a sample, and only grey ones from 16; this PNG is ",
         colour_name(h.colour), " of ", h.depth, ": save it with 8");
  return 3;
}

void check_png_labels(const std::uint8_t* row, int count, int x0, int dx, int y, std::string_view name) {
  for (int x = 0; x < count; ++x, row += 2)
    label_of_16_bits(static_cast<unsigned>(row[0] << 8 | row[1]), x0 + x * dx, y, name);
}

bool is_png(std::span<const std::byte> file) {
  return file.size() >= signature.size() && std::memcmp(file.data(), signature.data(), signature.size()) == 0;
}

bool is_png_of_colours(std::span<const std::byte> file) {
  constexpr std::size_t colour_at = 25;  // in the header, which is the first chunk
  return file.size() > colour_at && (std::to_integer<unsigned>(file[colour_at]) == png_rgb ||
                                     std::to_integer<unsigned>(file[colour_at]) == png_rgb_alpha);
}

Decoded read_png(const Bytes& file, std::int64_t max_pixels) {
  const Parts parts = read_chunks(file, max_pixels);
  return {decode_passes(parts, 3, file.name), parts.orientation, parts.end};
}

LabelSamples read_png_labels(const Bytes& file, std::int64_t max_pixels) {
  Parts parts = read_chunks(file, max_pixels);
  Image samples = decode_passes(parts, png_label_channels(parts.header, file.name), file.name);
  if (parts.header.colour != png_indexed) parts.palette.clear();
  return {std::move(samples), std::move(parts.palette)};
}

}  // namespace atrous::formats
