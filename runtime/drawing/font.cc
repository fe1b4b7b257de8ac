#include "runtime/drawing/font.h"

#include <algorithm>
#include <bit>

namespace atrous {

namespace {

constexpr std::size_t accent_rows = 3, drawn_rows = 9;

// Glyphs side by side, parted by a blank; drawn without the rows of accents and without the last, empty one.
struct Drawing {
  std::u32string_view characters;
  std::array<std::string_view, drawn_rows> rows;
};

// clang-format off
constexpr Drawing drawings[] = {
    {U"ABCDEFGHIJKLM",
     {"..#.. ####. .###. ####. ##### ##### .###. #...# ### ...# #...# #... #.....#",
      ".#.#. #...# #...# #...# #.... #.... #...# #...# .#. ...# #..#. #... ##...##",
      "#...# #...# #.... #...# #.... #.... #.... #...# .#. ...# #.#.. #... #.#.#.#",
      "#...# ####. #.... #...# ####. ####. #.### ##### .#. ...# ##... #... #..#..#",
      "##### #...# #.... #...# #.... #.... #...# #...# .#. ...# #.#.. #... #.....#",
      "#...# #...# #...# #...# #.... #.... #...# #...# .#. #..# #..#. #... #.....#",
      "#...# ####. .###. ####. ##### #.... .###. #...# ### .##. #...# #### #.....#",
      "..... ..... ..... ..... ..... ..... ..... ..... ... .... ..... .... .......",
      "..... ..... ..... ..... ..... ..... ..... ..... ... .... ..... .... ......."}},
    {U"NOPQRSTUVWXYZ",
     {"#...# .####. ####. .####. ####. .###. ##### #...# #...# #.....# #...# #...# #####",
      "##..# #....# #...# #....# #...# #...# ..#.. #...# #...# #.....# #...# #...# ....#",
      "##..# #....# #...# #....# #...# #.... ..#.. #...# #...# #..#..# .#.#. .#.#. ...#.",
      "#.#.# #....# ####. #....# ####. .###. ..#.. #...# #...# #..#..# ..#.. ..#.. ..#..",
      "#..## #....# #.... #..#.# #.#.. ....# ..#.. #...# .#.#. #.#.#.# .#.#. ..#.. .#...",
      "#..## #....# #.... #...#. #..#. #...# ..#.. #...# .#.#. ##...## #...# ..#.. #....",
      "#...# .####. #.... .###.# #...# .###. ..#.. .###. ..#.. #.....# #...# ..#.. #####",
      "..... ...... ..... ...... ..... ..... ..... ..... ..... ....... ..... ..... .....",
      "..... ...... ..... ...... ..... ..... ..... ..... ..... ....... ..... ..... ....."}},
    {U"abcdefghijklm",
     {"..... #.... ..... ....# ..... ..## ..... #.... # ..# #... # .......",
      "..... #.... ..... ....# ..... .#.. ..... #.... . ... #... # .......",
      ".###. #.##. .###. .##.# .###. #### .##.# #.##. # ..# #..# # ###.##.",
      "....# ##..# #...# #..## #...# .#.. #..## ##..# # ..# #.#. # #..#..#",
      ".#### #...# #.... #...# ##### .#.. #...# #...# # ..# ##.. # #..#..#",
      "#...# #...# #...# #...# #.... .#.. #...# #...# # ..# #.#. # #..#..#",
      ".#### ####. .###. .#### .#### .#.. .#### #...# # ..# #..# # #..#..#",
      "..... ..... ..... ..... ..... .... ....# ..... . ..# .... . .......",
      "..... ..... ..... ..... ..... .... .###. ..... . ##. .... . ......."}},
    {U"nopqrstuvwxyz",
     {"..... ..... ..... ..... .... .... .... ..... ..... ....... ..... ..... .....",
      "..... ..... ..... ..... .... .... .#.. ..... ..... ....... ..... ..... .....",
      "#.##. .###. #.##. .##.# #.## .### #### #...# #...# #.....# #...# #...# #####",
      "##..# #...# ##..# #..## ##.. #... .#.. #...# #...# #..#..# .#.#. #...# ...#.",
      "#...# #...# #...# #...# #... .##. .#.. #...# #...# #..#..# ..#.. #...# ..#..",
      "#...# #...# #...# #...# #... ...# .#.. #..## .#.#. #.#.#.# .#.#. #..## .#...",
      "#...# .###. ####. .#### #... ###. ..## .##.# ..#.. .#...#. #...# .##.# #####",
      "..... ..... #.... ....# .... .... .... ..... ..... ....... ..... ....# .....",
      "..... ..... #.... ....# .... .... .... ..... ..... ....... ..... .###. ....."}},
    {U"0123456789",
     {".###. ..#.. .###. .###. ...#. ##### ..##. ##### .###. .###.",
      "#...# .##.. #...# #...# ..##. #.... .#... ....# #...# #...#",
      "#...# ..#.. ....# ....# .#.#. ####. #.... ...#. #...# #...#",
      "#...# ..#.. ...#. ..##. #..#. ....# ####. ...#. .###. .####",
      "#...# ..#.. ..#.. ....# ##### ....# #...# ..#.. #...# ....#",
      "#...# ..#.. .#... #...# ...#. #...# #...# ..#.. #...# ...#.",
      ".###. .###. ##### .###. ...#. .###. .###. ..#.. .###. .##..",
      "..... ..... ..... ..... ..... ..... ..... ..... ..... .....",
      "..... ..... ..... ..... ..... ..... ..... ..... ..... ....."}},
    {U" !\"#$%&'()*+,-./",
     {"... # #.# .#.#. ..#.. ##....# .##.. # .# #. ..#.. ..... .. ... . ..#",
      "... # #.# .#.#. .#### ##...#. #..#. # #. .# #.#.# ..... .. ... . ..#",
      "... # ... ##### #.#.. ....#.. #.#.. . #. .# .###. ..#.. .. ... . .#.",
      "... # ... .#.#. .###. ...#... .#... . #. .# #.#.# ..#.. .. ... . .#.",
      "... # ... ##### ..#.# ..#.... #.#.# . #. .# ..#.. ##### .. ### . .#.",
      "... . ... .#.#. ####. .#...## #..#. . #. .# ..... ..#.. .. ... . #..",
      "... # ... .#.#. ..#.. #....## .##.# . #. .# ..... ..#.. .# ... # #..",
      "... . ... ..... ..... ....... ..... . .# #. ..... ..... .# ... . ...",
      "... . ... ..... ..... ....... ..... . .. .. ..... ..... #. ... . ..."}},
    {U":;<=>?@[\\]^_`{|}~",
     {". .. ...# .... #... .###. .#####. ## #.. ## ..#.. ..... #. ..# # #.. .....",
      ". .. ..#. .... .#.. #...# #.....# #. #.. .# .#.#. ..... .# .#. # .#. .....",
      ". .. .#.. .... ..#. ....# #..##.# #. .#. .# #...# ..... .. .#. # .#. .....",
      "# .# #... #### ...# ...#. #.#.#.# #. .#. .# ..... ..... .. #.. # ..# .#...",
      ". .. .#.. .... ..#. ..#.. #.####. #. .#. .# ..... ..... .. .#. # .#. #.#.#",
      ". .. ..#. #### .#.. ..... #...... #. ..# .# ..... ..... .. .#. # .#. ...#.",
      "# .# ...# .... #... ..#.. .####.. #. ..# .# ..... ..... .. ..# # #.. .....",
      ". .# .... .... .... ..... ....... ## ... ## ..... ##### .. ... # ... .....",
      ". #. .... .... .... ..... ....... .. ... .. ..... ..... .. ... # ... ....."}},
    {U"\u00b0\u00b5\u00c6\u00d0\u00d7\u00d8\u00de\u00df",
     {".#. ..... .###### .####. ... .####. #.... .###.",
      "#.# ..... #..#... .#...# ... #...## ####. #...#",
      ".#. #...# #..#... .#...# ... #..#.# #...# #...#",
      "... #...# ######. ###..# #.# #.##.# #...# #.##.",
      "... #...# #..#... .#...# .#. #.#..# ####. #...#",
      "... #..## #..#... .#...# #.# ##...# #.... #...#",
      "... ###.# #..#### .####. ... .####. #.... #.##.",
      "... #.... ....... ...... ... ...... ..... .....",
      "... #.... ....... ...... ... ...... ..... ....."}},
    {U"\u00e6\u00f0\u00f7\u00f8\u00fe\u0131\u2013\u2026\ufffd",
     {"....... .#.#. ..... ..... #.... . .... ..... #####",
      "....... ..#.. ..... ..... #.... . .... ..... #...#",
      ".##.##. .#.#. ..#.. .###. #.##. # .... ..... #...#",
      "...#..# .#### ..... #..## ##..# # .... ..... #...#",
      ".###### #...# ##### #.#.# #...# # #### ..... #...#",
      "#..#... #...# ..... ##..# #...# # .... ..... #...#",
      ".##.### .###. ..#.. .###. ####. # .... #.#.# #####",
      "....... ..... ..... ..... #.... . .... ..... .....",
      "....... ..... ..... ..... #.... . .... ..... ....."}},
};
// clang-format on

// A drawing as bits. Made by the compiler, so that the program holds these and not the drawings.
struct Drawn {
  char16_t character = 0;
  std::uint8_t width = 0;
  std::array<std::uint8_t, drawn_rows> rows{};
};

constexpr std::size_t count_drawn() {
  std::size_t count = 0;
  for (const Drawing& d : drawings) count += d.characters.size();
  return count;
}

consteval std::array<Drawn, count_drawn()> bits_of_drawings() {
  std::array<Drawn, count_drawn()> out{};
  Drawn* glyph = out.data();
  for (const Drawing& d : drawings) {
    std::size_t left = 0;
    for (const char32_t character : d.characters) {
      const std::size_t right = std::min(d.rows[0].find(' ', left), d.rows[0].size());
      glyph->character = static_cast<char16_t>(character);
      glyph->width = static_cast<std::uint8_t>(right - left);
      for (std::size_t y = 0; y < drawn_rows; ++y)
        for (std::size_t x = left; x < right; ++x)
          if (d.rows[y][x] == '#') glyph->rows[y] |= static_cast<std::uint8_t>(1 << (x - left));
      left = right + 1;
      ++glyph;
    }
    for (const std::string_view row : d.rows)
      if (row.size() + 1 != left) throw "a row of a drawing is longer or shorter than its characters";
  }
  return out;
}
constexpr auto font = bits_of_drawings();

const Drawn* find(char32_t character) {
  const auto found = std::ranges::find(font, character, &Drawn::character);
  return found == font.end() ? nullptr : &*found;
}

// Letters of Latin-1 from U+00C0 on: what stands below the accent, and the accent ('.': none, drawn above).
constexpr std::string_view bases = "AAAAAA.CEEEEIIII.NOOOOO..UUUUY..aaaaaa.ceeeeiiii.nooooo..uuuuy.y";
constexpr std::string_view marks = "`'^~:o.,`'^:`'^:.~`'^~:..`'^:'..`'^~:o.,`'^:`'^:.~`'^~:..`'^:'.:";

struct Accent {
  char mark;
  int width, row;                     // its first row, counted from the top of a capital
  std::array<std::uint8_t, 2> shape;  // pixel x is bit x: the drawing mirrored
};
// Above a small letter they stand two rows lower.
constexpr Accent accents[] = {
    {'`', 2, -3, {0b01, 0b10}},       {'\'', 2, -3, {0b10, 0b01}},  {'^', 3, -3, {0b010, 0b101}},
    {'~', 5, -3, {0b10010, 0b01101}}, {':', 3, -2, {0b101, 0b000}}, {'o', 2, -3, {0b11, 0b11}},
    {',', 2, 7, {0b10, 0b01}},
};

Glyph plain(const Drawn& drawn) {
  Glyph glyph;
  glyph.width = drawn.width;
  std::ranges::copy(drawn.rows, glyph.rows.begin() + accent_rows);
  return glyph;
}

Glyph accented(char base, char mark) {
  const bool small = base >= 'a';
  const Accent& accent = *std::ranges::find(accents, mark, &Accent::mark);
  Glyph glyph = plain(*find(base == 'i' ? U'\u0131' : static_cast<char32_t>(base)));
  const int width = std::max(glyph.width, accent.width);
  const int shift = (width - glyph.width) / 2;
  for (std::uint8_t& row : glyph.rows) row = static_cast<std::uint8_t>(row << shift);
  const bool below = accent.row > 0;
  const int first = static_cast<int>(accent_rows) + accent.row + (small && !below ? 2 : 0);
  for (std::size_t i = 0; i < accent.shape.size(); ++i)
    glyph.rows[static_cast<std::size_t>(first) + i] |=
        static_cast<std::uint8_t>(accent.shape[i] << (width - accent.width) / 2);
  glyph.width = width;
  return glyph;
}

}  // namespace

Glyph glyph_of(char32_t character) {
  if (character == U'\u00a0') character = U' ';
  if (const Drawn* drawn = find(character)) return plain(*drawn);
  if (character >= 0xc0 && character <= 0xff)
    return accented(bases[character - 0xc0], marks[character - 0xc0]);
  return plain(*find(U'\ufffd'));
}

char32_t next_code_point(std::string_view& text) {
  const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(text[i]); };
  const std::uint8_t lead = byte(0);
  // Leading ones of the first byte: the length of the sequence, but 0 for a single byte.
  const int ones = std::countl_one(lead);
  const std::size_t length = ones == 0 ? 1 : static_cast<std::size_t>(ones);
  constexpr char32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
  char32_t code = ones == 0 ? lead : lead & (0x7fu >> ones);
  bool valid = ones != 1 && ones <= 4 && length <= text.size();
  for (std::size_t i = 1; valid && i < length; ++i) {
    valid = (byte(i) & 0xc0) == 0x80;
    code = code << 6 | (byte(i) & 0x3fu);
  }
  valid = valid && code >= smallest[ones] && code <= 0x10ffff && !(code >= 0xd800 && code <= 0xdfff);
  text.remove_prefix(valid ? length : 1);
  return valid ? code : U'\ufffd';
}

}  // namespace atrous
