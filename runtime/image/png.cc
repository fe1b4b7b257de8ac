#include "runtime/image/png.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <span>
#include <string_view>

#include "layers/base/checked.h"
#include "layers/base/error.h"
#include "runtime/image/png_parts.h"
#include "weights_tools/io/deflate.h"

namespace atrous {

namespace formats {

namespace {

void append_data(std::vector<std::byte>& out, std::span<const std::uint8_t> filtered, int level) {
  append_png_chunk(out, "IDAT", zlib_deflate(std::as_bytes(filtered), level));
}

// Of signed bytes.
[[gnu::noinline]] std::uint32_t sum_of_magnitudes(std::span<const std::uint8_t> bytes) {
  std::uint32_t sum = 0;
  for (const std::uint8_t b : bytes) sum += std::min(b, static_cast<std::uint8_t>(-b));
  return sum;
}

// Writes row - prediction to `out`, whose first byte names the filter, and returns the sum of the
// differences' magnitudes as signed bytes: the usual estimate of how well they will compress. In two loops
// over numbers no wider than they need to be, which compilers turn into vectors: seven times as fast.
template <class Predictor>
std::uint32_t filter_row(std::uint8_t filter, Predictor predict, const std::vector<std::uint8_t>& row,
                         const std::vector<std::uint8_t>& above, std::size_t step,
                         std::vector<std::uint8_t>& out) {
  out[0] = filter;
  const std::size_t count = row.size() - step;
  const std::uint8_t *at = row.data() + step, *left = row.data(), *top = above.data() + step,
                     *corner = above.data();
  std::uint8_t* const __restrict to = out.data() + 1;
  for (std::size_t i = 0; i < count; ++i)
    to[i] = static_cast<std::uint8_t>(at[i] - predict(left[i], top[i], corner[i]));
  return sum_of_magnitudes(std::span(out).subspan(1));
}

// png_paeth() in 16 bits.
using Narrow = std::int16_t;
std::uint8_t narrow_paeth(Narrow left, Narrow above, Narrow corner) {
  const auto magnitude = [](Narrow x) { return std::max(x, static_cast<Narrow>(-x)); };
  const auto of_left = static_cast<Narrow>(above - corner), of_above = static_cast<Narrow>(left - corner);
  const Narrow to_left = magnitude(of_left), to_above = magnitude(of_above),
               to_corner = magnitude(static_cast<Narrow>(of_left + of_above));
  const auto choose = [](bool first, Narrow a, Narrow b) {
    return static_cast<Narrow>(b ^ ((a ^ b) & -first));
  };
  const Narrow nearer = choose(to_above <= to_corner, above, corner);
  return static_cast<std::uint8_t>(choose((to_left <= to_above) & (to_left <= to_corner), left, nearer));
}

}  // namespace

void append_png_be32(std::vector<std::byte>& out, std::uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<std::byte>(value >> shift & 255));
}

void append_png_chunk(std::vector<std::byte>& out, std::string_view type, std::span<const std::byte> data) {
  append_png_be32(out, checked_cast<std::uint32_t>(data.size(), "PNG chunk"));
  const std::size_t begin = out.size();
  const auto letters = std::as_bytes(std::span<const char>(type));
  out.insert(out.end(), letters.begin(), letters.end());
  out.insert(out.end(), data.begin(), data.end());
  append_png_be32(out, crc32(std::span(out).subspan(begin)));
}

void append_png_header(std::vector<std::byte>& out, int width, int height, PngColour colour) {
  constexpr std::array<std::uint8_t, 8> signature{0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
  for (const std::uint8_t b : signature) out.push_back(std::byte{b});
  std::vector<std::byte> header;
  append_png_be32(header, static_cast<std::uint32_t>(width));
  append_png_be32(header, static_cast<std::uint32_t>(height));
  constexpr unsigned depth = 8, compression = 0, filter = 0, interlace = 0;
  for (const unsigned b : {depth, unsigned{colour}, compression, filter, interlace})
    header.push_back(static_cast<std::byte>(b));
  append_png_chunk(out, "IHDR", header);
}

PngColour png_colour_of(int channels) {
  return channels == 1 ? png_grey : channels == 3 ? png_rgb : png_rgb_alpha;
}

void check_png_palette(const Palette& palette, std::span<const std::uint8_t> labels) {
  if (palette.size() > 256)
    fail(ErrorCode::invalid_argument, "PNG: a palette of ", palette.size(),
         " colours; at most 256 are possible");
  const std::uint8_t largest = std::ranges::max(labels);
  if (largest >= palette.size())
    fail(ErrorCode::invalid_argument, "PNG: label ", int{largest}, ", but the palette has ", palette.size(),
         " colours");
}

PngRowFilters::PngRowFilters(std::size_t row_bytes, std::size_t step)
    : step_(step), row_(step + row_bytes), above_(step + row_bytes) {
  candidates_.fill(std::vector<std::uint8_t>(row_bytes + 1));
}

const std::vector<std::uint8_t>& PngRowFilters::filter(const std::uint8_t* row) {
  std::swap(row_, above_);
  std::copy_n(row, row_.size() - step_, row_.data() + step_);
  auto& [sub, up, average, nearest] = candidates_;
  using Byte = std::uint8_t;
  const auto mean = [](Byte a, Byte b) { return static_cast<Byte>((a & b) + ((a ^ b) >> 1)); };
  const std::array costs{
      filter_row(
          1, [](Byte left, Byte, Byte) { return left; }, row_, above_, step_, sub),
      filter_row(
          2, [](Byte, Byte top, Byte) { return top; }, row_, above_, step_, up),
      filter_row(
          3, [&](Byte left, Byte top, Byte) { return mean(left, top); }, row_, above_, step_, average),
      filter_row(
          4, [](Byte left, Byte top, Byte corner) { return narrow_paeth(left, top, corner); }, row_, above_,
          step_, nearest)};
  return candidates_[static_cast<std::size_t>(std::ranges::min_element(costs) - costs.begin())];
}

}  // namespace formats

std::vector<std::byte> encode_png(const Image& image) try {
  check(image, "PNG");
  const std::size_t n = image.row_bytes(), step = static_cast<std::size_t>(image.channels);
  const std::size_t bytes = checked_multiply(n + 1, static_cast<std::size_t>(image.height), "PNG");
  const std::unique_ptr<std::uint8_t[]> filtered(new std::uint8_t[bytes]);
  formats::PngRowFilters filters(n, step);
  for (int y = 0; y < image.height; ++y)
    std::ranges::copy(filters.filter(image.row(y)), filtered.get() + static_cast<std::size_t>(y) * (n + 1));
  std::vector<std::byte> out;
  formats::append_png_header(out, image.width, image.height, formats::png_colour_of(image.channels));
  formats::append_data(out, {filtered.get(), bytes}, formats::png_photo_level);
  formats::append_png_chunk(out, "IEND", {});
  return out;
} catch (...) {
  rethrow_as_error();
}

std::vector<std::byte> encode_png(const LabelMap& map, const Palette& palette) try {
  check(map, "PNG");
  formats::check_png_palette(palette, map.labels);
  const auto width = static_cast<std::size_t>(map.width);
  std::vector<std::uint8_t> filtered(
      checked_multiply(width + 1, static_cast<std::size_t>(map.height), "PNG"));
  for (int y = 0; y < map.height; ++y)  // flat colours compress best as they are: filter 0
    std::copy_n(map.row(y), width, filtered.data() + static_cast<std::size_t>(y) * (width + 1) + 1);
  std::vector<std::byte> out;
  formats::append_png_header(out, map.width, map.height, formats::png_indexed);
  formats::append_png_chunk(out, "PLTE", std::as_bytes(std::span(palette)));
  formats::append_data(out, filtered, formats::png_flat_level);
  formats::append_png_chunk(out, "IEND", {});
  return out;
} catch (...) {
  rethrow_as_error();
}

}  // namespace atrous
