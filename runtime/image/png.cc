#include "runtime/image/png.h"

#include <libdeflate.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <span>
#include <string_view>

#include "layers/base/checked.h"
#include "layers/base/error.h"

namespace atrous {

namespace {

// libdeflate's levels; see png.h for what they were chosen from.
constexpr int photo_level = 1, flat_level = 6;

enum ColourType : std::uint8_t { grey = 0, rgb = 2, indexed = 3, rgb_alpha = 6 };

void append_be32(std::vector<std::byte>& out, std::uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<std::byte>(value >> shift & 255));
}

// Length, type, data, CRC of type and data.
void append_chunk(std::vector<std::byte>& out, std::string_view type, std::span<const std::byte> data) {
  append_be32(out, checked_cast<std::uint32_t>(data.size(), "PNG chunk"));
  const std::size_t begin = out.size();
  const auto letters = std::as_bytes(std::span(type));
  out.insert(out.end(), letters.begin(), letters.end());
  out.insert(out.end(), data.begin(), data.end());
  append_be32(out, libdeflate_crc32(0, out.data() + begin, out.size() - begin));
}

void append_header(std::vector<std::byte>& out, int width, int height, ColourType colour) {
  constexpr std::array<std::uint8_t, 8> signature{0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
  for (const std::uint8_t b : signature) out.push_back(std::byte{b});
  std::vector<std::byte> header;
  append_be32(header, static_cast<std::uint32_t>(width));
  append_be32(header, static_cast<std::uint32_t>(height));
  constexpr std::uint8_t depth = 8, compression = 0, filter = 0, interlace = 0;
  for (const std::uint8_t b : {depth, std::uint8_t{colour}, compression, filter, interlace})
    header.push_back(std::byte{b});
  append_chunk(out, "IHDR", header);
}

void append_data(std::vector<std::byte>& out, std::span<const std::uint8_t> filtered, int level) {
  const std::unique_ptr<libdeflate_compressor, void (*)(libdeflate_compressor*)> deflater(
      libdeflate_alloc_compressor(level), libdeflate_free_compressor);
  if (!deflater) fail(ErrorCode::limit, "PNG: out of memory");
  std::vector<std::byte> compressed(libdeflate_zlib_compress_bound(deflater.get(), filtered.size()));
  compressed.resize(libdeflate_zlib_compress(deflater.get(), filtered.data(), filtered.size(),
                                             compressed.data(), compressed.size()));
  append_chunk(out, "IDAT", compressed);
}

// A row of pixels in front of which stand as many zeros as a pixel has bytes: the left neighbour of the
// first.
using PaddedRow = std::vector<std::uint8_t>;

// Writes row - prediction to `out`, whose first byte names the filter, and returns the sum of the
// differences' magnitudes as signed bytes: the usual estimate of how well they will compress.
template <class Predictor>
std::uint32_t filter_row(std::uint8_t filter, Predictor predict, const PaddedRow& row, const PaddedRow& above,
                         std::size_t step, std::vector<std::uint8_t>& out) {
  out[0] = filter;
  std::uint32_t cost = 0;
  for (std::size_t i = 0; i + step < row.size(); ++i) {
    const auto difference =
        static_cast<std::uint8_t>(row[i + step] - predict(row[i], above[i + step], above[i]));
    out[i + 1] = difference;
    cost += static_cast<std::uint32_t>(std::abs(static_cast<std::int8_t>(difference)));
  }
  return cost;
}

int paeth(int left, int above, int corner) {
  const int to_left = std::abs(above - corner), to_above = std::abs(left - corner);
  const int to_corner = std::abs(left + above - 2 * corner);
  const int nearer = to_above <= to_corner ? above : corner;
  return to_left <= to_above && to_left <= to_corner ? left : nearer;
}

// One row under PNG's filters 1 to 4, each with its predictor from the bytes at the left, above, and above
// left.
class RowFilters {
 public:
  RowFilters(std::size_t row_bytes, std::size_t step) : step_(step) {
    candidates_.fill(std::vector<std::uint8_t>(row_bytes + 1));
  }

  // The cheapest: filter number and filtered bytes.
  const std::vector<std::uint8_t>& best(const PaddedRow& row, const PaddedRow& above) {
    auto& [sub, up, average, nearest] = candidates_;
    const std::array costs{
        filter_row(
            1, [](int left, int, int) { return left; }, row, above, step_, sub),
        filter_row(
            2, [](int, int top, int) { return top; }, row, above, step_, up),
        filter_row(
            3, [](int left, int top, int) { return (left + top) / 2; }, row, above, step_, average),
        filter_row(
            4, [](int left, int top, int corner) { return paeth(left, top, corner); }, row, above, step_,
            nearest)};
    return candidates_[static_cast<std::size_t>(std::ranges::min_element(costs) - costs.begin())];
  }

 private:
  std::size_t step_;
  std::array<std::vector<std::uint8_t>, 4> candidates_;
};

}  // namespace

std::vector<std::byte> encode_png(const Image& image) try {
  check(image, "PNG");
  const std::size_t n = image.row_bytes(), step = static_cast<std::size_t>(image.channels);
  std::vector<std::uint8_t> filtered(checked_multiply(n + 1, static_cast<std::size_t>(image.height), "PNG"));
  PaddedRow row(step + n), above(step + n);
  RowFilters filters(n, step);
  for (int y = 0; y < image.height; ++y) {
    std::copy_n(image.row(y), n, row.data() + step);
    std::ranges::copy(filters.best(row, above), filtered.data() + static_cast<std::size_t>(y) * (n + 1));
    std::swap(row, above);
  }
  std::vector<std::byte> out;
  append_header(out, image.width, image.height,
                image.channels == 1   ? grey
                : image.channels == 3 ? rgb
                                      : rgb_alpha);
  append_data(out, filtered, photo_level);
  append_chunk(out, "IEND", {});
  return out;
} catch (...) {
  rethrow_as_error();
}

std::vector<std::byte> encode_png(const LabelMap& map, const Palette& palette) try {
  check(map, "PNG");
  if (palette.size() > 256)
    fail(ErrorCode::invalid_argument, "PNG: a palette of ", palette.size(),
         " colours; at most 256 are possible");
  const std::uint8_t largest = std::ranges::max(map.labels);
  if (largest >= palette.size())
    fail(ErrorCode::invalid_argument, "PNG: label ", int{largest}, ", but the palette has ", palette.size(),
         " colours");
  const auto width = static_cast<std::size_t>(map.width);
  std::vector<std::uint8_t> filtered(
      checked_multiply(width + 1, static_cast<std::size_t>(map.height), "PNG"));
  for (int y = 0; y < map.height; ++y)  // flat colours compress best as they are: filter 0
    std::copy_n(map.row(y), width, filtered.data() + static_cast<std::size_t>(y) * (width + 1) + 1);
  std::vector<std::byte> out;
  append_header(out, map.width, map.height, indexed);
  append_chunk(out, "PLTE", std::as_bytes(std::span(palette)));
  append_data(out, filtered, flat_level);
  append_chunk(out, "IEND", {});
  return out;
} catch (...) {
  rethrow_as_error();
}

}  // namespace atrous
