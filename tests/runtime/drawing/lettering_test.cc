#include "runtime/drawing/lettering.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <climits>
#include <map>
#include <utility>

#include "layers/base/visible_text.h"
#include "runtime/drawing/font.h"
#include "runtime/image/palette.h"
#include "runtime/image/pillow_resize.h"
#include "runtime/segment/segmenter.h"
#include "tests/support/image_helpers.h"
#include "tests/support/sanitizers.h"

namespace atrous::lettering_test {

using namespace atrous::testing;

namespace {

constexpr Colour black{0, 0, 0};

Image white(int width, int height) {
  Image image = make_image(width, height, 3);
  std::ranges::fill(image.pixels, std::uint8_t{255});
  return image;
}

Colour at(const Image& image, int x, int y) {
  const std::uint8_t* p = image.row(y) + std::ptrdiff_t{x} * 3;
  return {p[0], p[1], p[2]};
}

// The part of a picture that begins at (x, y).
Image part(const Image& image, int x, int y, int width, int height) {
  Image out = make_image(width, height, 3);
  for (int v = 0; v < height; ++v)
    std::copy_n(image.row(y + v) + std::ptrdiff_t{x} * 3, out.row_bytes(), out.row(v));
  return out;
}

// Black text on white, with room to spare on every side.
Image written(std::string_view text, int scale) {
  Image image = white(text_width(text, scale) + 2 * scale, text_height(scale) + 2 * scale);
  draw_text(image, scale, scale, text, black, scale);
  return image;
}

int count(const Image& image, Colour colour) {
  int n = 0;
  for (int y = 0; y < image.height; ++y)
    for (int x = 0; x < image.width; ++x) n += at(image, x, y) == colour;
  return n;
}

// Where each colour is first met, row by row.
std::map<Colour, std::pair<int, int>> first_places(const Image& image, int top) {
  std::map<Colour, std::pair<int, int>> places;
  for (int y = top; y < image.height; ++y)
    for (int x = 0; x < image.width; ++x) places.try_emplace(at(image, x, y), std::pair{x, y});
  return places;
}

std::vector<char32_t> code_points(std::string_view text) {
  std::vector<char32_t> all;
  while (!text.empty()) all.push_back(next_code_point(text));
  return all;
}

// Saturated colours, different from each other and from anything that a legend is drawn in.
std::vector<LegendEntry> entries(int n, const std::string& name = "name") {
  std::vector<LegendEntry> out;
  for (int i = 0; i < n; ++i)
    out.push_back({{static_cast<std::uint8_t>(i), 255, 1}, name + " " + std::to_string(i), "12.5%"});
  return out;
}

bool holds_all(const Image& image, const std::vector<LegendEntry>& legend) {
  return std::ranges::all_of(legend, [&, places = first_places(image, 0)](const LegendEntry& e) {
    return places.contains(e.colour);
  });
}

}  // namespace

TEST_CASE("every printable ASCII character has a glyph of its own, within its cell") {
  const Glyph box = glyph_of(0xfffd);
  for (char32_t a = 0x20; a < 0x7f; ++a) {
    CAPTURE(static_cast<int>(a));
    const Glyph glyph = glyph_of(a);
    CHECK(glyph != box);
    CHECK(glyph.width >= 1);
    CHECK(glyph.width <= 8);
    bool blank = true;
    for (const std::uint8_t row : glyph.rows) {
      CHECK((row >> glyph.width) == 0);
      blank = blank && row == 0;
    }
    CHECK(blank == (a == ' '));
    // The rows of accents, and the one between lines.
    for (const int y : {0, 1, 2, glyph_height - 1}) CHECK(glyph.rows[static_cast<std::size_t>(y)] == 0);
    for (char32_t b = 0x20; b < a; ++b) CHECK(glyph != glyph_of(b));
  }
}

TEST_CASE("every letter of Latin-1 has a glyph of its own") {
  for (char32_t a = 0xc0; a <= 0xff; ++a) {
    CAPTURE(static_cast<int>(a));
    CHECK(glyph_of(a) != glyph_of(0xfffd));
    CHECK(glyph_of(a).rows[glyph_height - 1] == 0);
    for (const std::uint8_t row : glyph_of(a).rows) CHECK((row >> glyph_of(a).width) == 0);
    for (char32_t b = 0x20; b < a; ++b)
      if (b < 0x7f || b >= 0xc0) CHECK(glyph_of(a) != glyph_of(b));
  }
}

TEST_CASE("an accented letter is its letter with the accent above or below") {
  for (const auto& [accented, base] :
       {std::pair{U'ä', U'a'}, {U'É', U'E'}, {U'ç', U'c'}, {U'ñ', U'n'}, {U'Å', U'A'}}) {
    const Glyph with = glyph_of(accented), without = glyph_of(base);
    int more = 0;
    for (int y = 0; y < glyph_height; ++y)
      for (int x = 0; x < without.width; ++x) {
        if (without.at(x, y)) CHECK(with.at(x, y));
        more += with.at(x, y) && !without.at(x, y);
      }
    CHECK(more >= 2);
  }
  CHECK(glyph_of(U'ï').width == 3);  // wider than i, and its dot has gone
  CHECK(!glyph_of(U'ï').at(1, 3));
}

TEST_CASE("what the font lacks is a box") {
  const Glyph box = glyph_of(0xfffd);
  for (const char32_t c : {0x00u, 0x0au, 0x1fu, 0x7fu, 0x80u, 0x3b1u, 0x6f22u, 0x1f600u, 0x10041u})
    CHECK(glyph_of(c) == box);
  CHECK(glyph_of(0xa0) == glyph_of(' '));
}

TEST_CASE("text is UTF-8, and each byte that is not is a box") {
  using Codes = std::vector<char32_t>;
  const char32_t bad = 0xfffd;
  CHECK(code_points("a\xc3\xa4\xe2\x80\xa6\xf0\x9f\x98\x80z") == Codes{'a', 0xe4, 0x2026, 0x1f600, 'z'});
  CHECK(code_points("\xf4\x8f\xbf\xbf\xee\x80\x80\xed\x9f\xbf") == Codes{0x10ffff, 0xe000, 0xd7ff});
  CHECK(code_points("\xff") == Codes{bad});
  CHECK(code_points("a\x80z") == Codes{'a', bad, 'z'});
  CHECK(code_points("\xc3") == Codes{bad});                     // cut short
  CHECK(code_points("\xe2\x82") == Codes{bad, bad});            // likewise
  CHECK(code_points("\xc3z") == Codes{bad, 'z'});               // no continuation
  CHECK(code_points("\xc0\x80") == Codes{bad, bad});            // overlong
  CHECK(code_points("\xe0\x80\x80") == Codes{bad, bad, bad});   // likewise
  CHECK(code_points("\xf0\x8f\xbf\xbf") == Codes(4, bad));      // likewise
  CHECK(code_points("\xed\xa0\x80") == Codes{bad, bad, bad});   // surrogate
  CHECK(code_points("\xf4\x90\x80\x80") == Codes(4, bad));      // beyond Unicode
  CHECK(code_points("\xf8\x88\x80\x80\x80") == Codes(5, bad));  // five bytes long
}

TEST_CASE("any bytes can be drawn") {
  std::string bytes;
  for (const std::uint8_t v : noise(64, 64, 1).pixels) bytes += static_cast<char>(v);
  Image image = white(300, 20);
  for (std::size_t i = 0; i < bytes.size(); i += 16) draw_text(image, 0, 0, bytes.substr(i, 16), black);
  CHECK(count(image, black) > 0);
}

TEST_CASE("a line is as wide as its glyphs and the gaps between them, times the scale") {
  CHECK(text_width("") == 0);
  CHECK(text_width("i") == 1);
  CHECK(text_width("iM") == 1 + 1 + 7);
  CHECK(text_width("iM", 3) == 27);
  CHECK(text_width("\xc3\xa4") == text_width("a"));
  CHECK(text_width("\xff\xff") == 11);
  CHECK(text_height() == 13);
  CHECK(text_height(4) == 52);
  CHECK(contains(sentence([] { text_width("a", 0); }), "scale 0 is outside 1..16384"));
  CHECK(contains(sentence([] { text_height(16385); }), "scale 16385"));
  CHECK(contains(sentence([] { text_width(std::string(100000, 'M'), 16384); }), "out of range"));
}

TEST_CASE("a line touches all sides of its width and nothing beside it") {
  for (const int scale : {1, 2, 3, 5}) {
    const Image image = written("Mg|\xc3\x85H", scale);
    const int width = text_width("Mg|\xc3\x85H", scale), height = text_height(scale);
    CHECK(count(part(image, scale, scale, width, height), black) == count(image, black));
    CHECK(count(part(image, scale, scale, 1, height), black) > 0);
    CHECK(count(part(image, scale + width - 1, scale, 1, height), black) > 0);
  }
}

TEST_CASE("letters grow by whole pixels, and from scale 2 on steps of slanted strokes are filled") {
  const int upright = count(written("HLT+#", 1), black);
  CHECK(count(written("HLT+#", 2), black) == 4 * upright);
  CHECK(count(written("HLT+#", 7), black) == 49 * upright);
  const int slanted = count(written("/XNo", 1), black);
  CHECK(count(written("/XNo", 2), black) > 4 * slanted);
  for (const int scale : {2, 3, 6}) {
    const Image small = written("/XNo8@%", 1), large = written("/XNo8@%", scale);
    for (int y = 0; y < small.height; ++y)
      for (int x = 0; x < small.width; ++x)
        if (at(small, x, y) == black)
          CHECK(count(part(large, x * scale, y * scale, scale, scale), black) == scale * scale);
  }
}

TEST_CASE("text outside the picture is cut off") {
  const std::string text = "Cut: 100%";
  for (const int scale : {1, 3}) {
    const Image whole = written(text, scale);
    for (const auto& [x, y] : {std::pair{0, 0}, {7, 5}, {20, 9}}) {
      const int width = std::min(13 * scale, whole.width - x), height = std::min(6, whole.height - y);
      Image image = white(width, height);
      draw_text(image, scale - x, scale - y, text, black, scale);
      CHECK(image == part(whole, x, y, width, height));
    }
  }
  Image image = white(5, 5);
  for (const int far : {INT_MIN, -100000, 5, INT_MAX}) {
    draw_text(image, far, 0, text, black, 2);
    draw_text(image, 0, far, text, black, 2);
    draw_text(image, far, far, text, black, 64);
  }
  CHECK(image == white(5, 5));
  draw_text(image, -5, -4 * 16384, "H", black, 16384);  // within its left stem
  CHECK(count(image, black) == 25);
  CHECK(contains(sentence([] {
                   Image grey = make_image(2, 2, 1);
                   draw_text(grey, 0, 0, "a", black);
                 }),
                 "expected 3 channels, found 1"));
}

TEST_CASE("a text that does not fit ends in an ellipsis") {
  const std::string text = "na\xc3\xafve pedestrian";
  for (const int scale : {1, 2}) {
    const int whole = text_width(text, scale);
    CHECK(shortened(text, whole, scale) == text);
    for (int width = 0; width < whole; ++width) {
      CAPTURE(width);
      const std::string cut = shortened(text, width, scale);
      CHECK(text_width(cut, scale) <= width);
      CHECK(std::ranges::count(code_points(cut), char32_t{0xfffd}) == 0);  // no letter is cut in two
      CHECK(cut.ends_with("\u2026") == (width >= 5 * scale));
      // One letter more would not have fitted.
      if (!cut.empty() && cut.size() > 3)
        CHECK(text_width(text.substr(0, cut.size() - 2) + "\u2026", scale) > width - 6 * scale);
    }
  }
  CHECK(shortened("abc", -1) == "");
  CHECK(shortened("", 0) == "");
}

TEST_CASE("the picture above a legend is untouched") {
  for (const auto& [w, h] : {std::pair{1, 1}, {3, 200}, {480, 360}, {1700, 40}}) {
    const Image picture = noise(w, h, 3);
    const Image out = with_legend(picture, entries(11));
    CHECK(part(out, 0, 0, w, h) == picture);
    CHECK(out.height > h);
    CHECK(out.width >= w);
  }
}

TEST_CASE("a legend without entries leaves the picture alone") {
  CHECK(with_legend(noise(9, 7, 3), {}) == noise(9, 7, 3));
}

TEST_CASE("a legend holds every entry's colour, in aligned columns and in order") {
  const Image out = with_legend(white(480, 360), entries(11));
  const auto places = first_places(out, 360);
  std::vector<std::pair<int, int>> swatches;
  for (const LegendEntry& e : entries(11)) {
    REQUIRE(places.contains(e.colour));
    CHECK(count(out, e.colour) == 49);
    swatches.push_back(places.at(e.colour));
  }
  const auto new_row = [&](std::size_t i) { return swatches[i].second > swatches[i - 1].second; };
  std::size_t columns = 1;
  while (!new_row(columns)) ++columns;
  CHECK(columns >= 3);
  for (std::size_t i = 1; i < swatches.size(); ++i) {
    CHECK(new_row(i) == (i % columns == 0));
    if (i >= columns) CHECK(swatches[i].first == swatches[i - columns].first);
  }
}

TEST_CASE("values end at the right edge of their column") {
  const std::vector<LegendEntry> two = {{{0, 255, 1}, "sky", "100.0%"},
                                        {{1, 255, 1}, "a pedestrian", "9.5%"}};
  const Image out = with_legend(white(130, 200), two);  // too narrow for two columns
  const auto right_edge = [&](int top) {
    int x = out.width - 1;
    while (count(part(out, x, top, 1, 13), {255, 255, 255}) == 13) --x;
    return x;
  };
  const auto places = first_places(out, 200);
  const auto [x0, y0] = places.at(two[0].colour);
  const auto [x1, y1] = places.at(two[1].colour);
  CHECK(x0 == x1);
  CHECK(y1 > y0);
  CHECK(right_edge(y0 - 3) == right_edge(y1 - 3));
}

TEST_CASE("a legend's letters grow with the picture's longer side") {
  const auto swatch_pixels = [](int w, int h) {
    return count(with_legend(white(w, h), entries(3)), {1, 255, 1});
  };
  CHECK(swatch_pixels(600, 300) == 7 * 7);
  CHECK(swatch_pixels(1200, 600) == 16 * 16);
  CHECK(swatch_pixels(600, 1200) == 16 * 16);
  CHECK(swatch_pixels(2000, 1500) == 25 * 25);
  // Many classes get smaller letters rather than more room than the picture.
  const Image many = with_legend(white(2000, 1500), entries(256));
  CHECK(holds_all(many, entries(256)));
  CHECK(many.height <= 3000);
}

TEST_CASE("letters are made smaller before names are shortened") {
  const auto swatch_pixels = [](const std::string& name) {
    return count(with_legend(white(250, 900), entries(3, name)), {1, 255, 1});
  };
  CHECK(swatch_pixels("name") == 16 * 16);
  CHECK(swatch_pixels("a rather long name of a class") == 7 * 7);
}

TEST_CASE("names of any length leave room for the values and the other entries") {
  const auto legend = entries(256, std::string(256, 'w'));
  for (const int side : {1, 150, 900}) {
    const Image out = with_legend(white(side, side), legend);
    CHECK(out.width <= std::max(side, 120));
    CHECK(holds_all(out, legend));
  }
  CHECK(holds_all(with_legend(white(64, 64), {{{{9, 255, 1}, "", ""}}}), {{{9, 255, 1}, "", ""}}));
}

TEST_CASE("legends of extreme panoramas fit the limit of a side") {
  SKIP_UNDER_ADDRESS_SANITIZER();
  for (const auto& [w, h] : {std::pair{16384, 1}, {1, 12000}, {16384, 20}}) {
    const Image out = with_legend(white(w, h), entries(21));
    CHECK(std::max(out.width, out.height) <= max_picture_side);
    CHECK(holds_all(out, entries(21)));
  }
  CHECK(contains(sentence([] { with_legend(white(4, 16384), entries(1)); }), "a side is at most 16384"));
  CHECK(contains(sentence([] { with_legend(white(16385, 1), entries(1)); }), "16385x1"));
  CHECK(contains(sentence([] { with_legend(noise(4, 4, 4), entries(1)); }), "expected 3 channels, found 4"));
}

TEST_CASE("a grid has pictures row by row in cells of the largest, two pixels of white between them") {
  const Image pictures[] = {noise(5, 4, 3), noise(3, 7, 3), noise(4, 2, 3)};
  const Image out = grid(pictures, 2);
  CHECK(out.width == 5 + 2 + 5);
  CHECK(out.height == 7 + 2 + 7);
  CHECK(part(out, 0, 0, 5, 4) == pictures[0]);
  CHECK(part(out, 7, 0, 3, 7) == pictures[1]);
  CHECK(part(out, 0, 9, 4, 2) == pictures[2]);
  CHECK(part(out, 5, 0, 2, 16) == white(2, 16));
  CHECK(part(out, 7, 9, 5, 7) == white(5, 7));
  CHECK(grid(std::span(pictures).first(1), 8) == pictures[0]);
  CHECK(contains(sentence([] { grid({}, 1); }), "found 0 and 1"));
  CHECK(contains(sentence([&] { grid(pictures, 0); }), "found 3 and 0"));
}

TEST_CASE("a captioned grid has each picture as it is below its caption, row by row, and a title above") {
  std::vector<Panel> panels{
      {noise(90, 60, 3), "one"}, {noise(90, 50, 3), "two"}, {noise(40, 60, 3), "three"}};
  for (std::uint8_t& v : panels[1].picture.pixels) v = static_cast<std::uint8_t>(255 - v);
  const Image out = captioned_grid("title", panels, 2);
  const Image bare = captioned_grid("", panels, 2);
  CHECK(out.width == bare.width);
  CHECK(out.height == bare.height);
  // Where a picture's top left corner is, the only place that has all of its pixels.
  const auto place = [&](const Image& picture) {
    for (int y = 0; y + picture.height <= out.height; ++y)
      for (int x = 0; x + picture.width <= out.width; ++x)
        if (at(out, x, y) == at(picture, 0, 0) && part(out, x, y, picture.width, picture.height) == picture)
          return std::pair{x, y};
    return std::pair{-1, -1};
  };
  const auto [x0, y0] = place(panels[0].picture);
  const auto [x1, y1] = place(panels[1].picture);
  const auto [x2, y2] = place(panels[2].picture);
  REQUIRE(x0 > 0);
  CHECK(x1 >= x0 + 90);
  CHECK(y1 == y0);
  CHECK(x2 == x0);
  CHECK(y2 >= y0 + 60 + 13);
  CHECK(out.height >= y2 + 60);
  const auto is_white = [](const Image& i) { return count(i, {255, 255, 255}) == i.width * i.height; };
  CHECK(!is_white(part(out, 0, 0, out.width, y0 - 15)));
  CHECK(is_white(part(bare, 0, 0, out.width, y0 - 15)));
  CHECK(!is_white(part(out, x0, y0 - 14, 90, 13)));
  CHECK(!is_white(part(out, x2, y2 - 14, 90, 13)));
  CHECK_THROWS_AS(static_cast<void>(captioned_grid("title", {}, 2)), Error);
  CHECK_THROWS_AS(static_cast<void>(captioned_grid("title", panels, 0)), Error);
}

TEST_CASE("panels of one size stay as they are, side by side under their captions") {
  const Image left = noise(200, 150, 3), right = white(200, 150);
  const Panel panels[] = {{left, "photo"}, {right, "prediction"}};
  const Image out = sheet(panels, entries(5));
  CHECK(holds_all(out, entries(5)));
  int found = 0;
  for (int y = 0; y + 150 <= out.height; ++y) {
    if (part(out, 8, y, 200, 150) == left) {
      ++found;
      CHECK(y > text_height());
      CHECK(part(out, 216, y, 200, 150) == right);
      CHECK(count(part(out, 8, 0, 200, y), {255, 255, 255}) < 200 * y);  // its caption
    }
  }
  CHECK(found == 1);
  CHECK(out.width == 8 + 200 + 8 + 200 + 8);
}

TEST_CASE("panels of different sizes are scaled to the height of the tallest") {
  const Image tall = noise(90, 120, 3), small = noise(40, 30, 3);
  const Panel panels[] = {{tall, "a"}, {small, "b"}};
  const Image out = sheet(panels);
  REQUIRE(out.width == 8 + 90 + 8 + 160 + 8);
  const int top = out.height - 8 - 120;
  CHECK(part(out, 8, top, 90, 120) == tall);
  CHECK(part(out, 106, top, 160, 120) == resize_bilinear(small, 160, 120));
}

TEST_CASE("a sheet that would be too wide has smaller panels") {
  const Panel wide[] = {{white(9000, 50), "a"}, {white(9000, 50), "b"}};
  const Image out = sheet(wide, entries(11));
  CHECK(out.width <= max_picture_side);
  CHECK(out.width > max_picture_side / 4 * 3);
  CHECK(holds_all(out, entries(11)));
  const Panel high[] = {{white(2, 16384), "a"}, {white(2, 16384), "b"}};
  CHECK(sheet(high, entries(2)).height <= max_picture_side);
}

TEST_CASE("a tiny panel beside a tall one is not blown up to its height") {
  const Panel panels[] = {{white(1, 8000), "line"}, {white(100, 100), "square"}};
  const Image out = sheet(panels);
  CHECK(std::int64_t{out.width} * out.height < 500000);
}

TEST_CASE("panels of one pixel have captions nevertheless") {
  const Panel panels[] = {{white(1, 1), "photo"}, {white(1, 1), std::string(300, 'M')}};
  const Image out = sheet(panels, entries(2));
  CHECK(out.width > text_width("photo") + 8 * 3);
  CHECK(out.width <= 8 * 3 + 2 * 120);
  CHECK(holds_all(out, entries(2)));
}

TEST_CASE("sheets without panels, with too many and with pictures that are not RGB are refused") {
  CHECK(contains(sentence([] { sheet({}); }), "no panels"));
  CHECK(contains(sentence([] { sheet(std::vector<Panel>(20000, {white(1, 1), ""})); }), "20000 panels"));
  CHECK(contains(sentence([] { sheet(std::vector<Panel>(1, {noise(3, 3, 1), ""})); }), "found 1"));
}

TEST_CASE("a legend of classes has names, colours and shares in the order given") {
  const std::vector<ClassShare> shares = {{2, 900, 0.98765, 0}, {0, 10, 0.012, 0}, {1, 1, 0.0004, 0}};
  const auto legend = legend_of(shares, {"sky", "road", "car"}, voc_palette(3));
  REQUIRE(legend.size() == 3);
  CHECK(legend[0].text == "car");
  CHECK(legend[0].colour == voc_palette(3)[2]);
  CHECK(legend[0].value == "98.8%");
  CHECK(legend[1].value == "1.2%");
  CHECK(legend[2].value == "<0.1%");
  CHECK(legend_of({{0, 4, 1.0, 0}}, {"sky"}, voc_palette(1))[0].value == "100.0%");
  CHECK(contains(sentence([&] {
                   legend_of(shares, {"sky", "road"}, voc_palette(3));
                 }),
                 "class 2, but there are 2 names and 3 colours"));
  CHECK(contains(sentence([&] { legend_of({{-1, 1, 1, 0}}, {"sky"}, voc_palette(1)); }), "class -1"));
}

}  // namespace atrous::lettering_test
