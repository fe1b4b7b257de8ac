// A bitmap font of our own drawing: printable ASCII and the letters of Latin-1.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace atrous {

// Every glyph stands in a cell of 13 rows: 3 for the accents of capitals, 7 for capitals and digits, the
// lower 5 of which are the small letters', 2 for descenders and one that stays empty. Capitals are thus in
// the middle of it.
constexpr int glyph_height = 13;

struct Glyph {
  int width = 0;                                  // in pixels, without the gap to the next glyph
  std::array<std::uint8_t, glyph_height> rows{};  // pixel (x, y) is bit x of rows[y]

  bool at(int x, int y) const {
    return x >= 0 && x < width && y >= 0 && y < glyph_height &&
           (rows[static_cast<std::size_t>(y)] >> x & 1) != 0;
  }
  bool operator==(const Glyph&) const = default;
};

// The glyph of a Unicode code point: a box for what the font lacks.
Glyph glyph_of(char32_t);

}  // namespace atrous
