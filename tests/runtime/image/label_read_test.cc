#include "runtime/image/label_read.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "runtime/image/image_formats.h"
#include "runtime/image/palette.h"
#include "runtime/image/png.h"
#include "tests/support/image_bytes.h"
#include "tests/support/image_helpers.h"
#include "tests/support/temporary.h"
#include "weights_tools/io/file.h"

namespace atrous::label_read_test {

using namespace atrous::testing;

namespace {

constexpr int grey = 0, rgb = 2, indexed = 3, grey_alpha = 4, rgb_alpha = 6;

// Of `filtered`: each row's filter number and bytes. Palette PNGs get `colours` colours.
FileBytes label_png(std::size_t width, std::size_t height, int depth, int colour, const FileBytes& filtered,
                    int colours = 2, int interlace = 0) {
  const FileBytes palette = chunk("PLTE", FileBytes(static_cast<std::size_t>(colours) * 3, std::byte{77}));
  return png(png_header(width, height, depth, colour, interlace) +
             (colour == indexed ? palette : FileBytes()) + chunk("IDAT", zlib(filtered)));
}

LabelMap map_of(int width, int height, const std::vector<int>& labels) {
  LabelMap map{width, height, {}};
  for (const int l : labels) map.labels.push_back(static_cast<std::uint8_t>(l));
  return map;
}

LabelMap read(const FileBytes& file) { return read_labels(file, "label"); }

void check_refused(const FileBytes& file, ErrorCode code, const std::string& part) {
  CAPTURE(part);
  try {
    read(file);
    FAIL_CHECK("it was read");
  } catch (const Error& error) {
    const std::string said = error.what();
    CAPTURE(said);
    CHECK(error.code() == code);
    CHECK(said.starts_with("label: "));
    CHECK(contains(said, part));
  }
}

FileBytes rgb_png(int width, int height, const std::vector<Colour>& pixels) {
  FileBytes filtered;
  for (std::size_t p = 0; p < pixels.size(); ++p) {
    if (p % static_cast<std::size_t>(width) == 0) filtered.push_back(std::byte{0});
    for (const std::uint8_t c : pixels[p]) filtered.push_back(std::byte{c});
  }
  return png(png_header(static_cast<std::size_t>(width), static_cast<std::size_t>(height), 8, rgb) +
             chunk("IDAT", zlib(filtered)));
}

// Adam7's pixels of a 5x5 picture in the order of its passes, each row with filter 0.
FileBytes interlaced(const LabelMap& map) {
  constexpr int passes[7][4] = {{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4},
                                {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2}};
  FileBytes filtered;
  for (const auto& [x0, y0, dx, dy] : passes)
    for (int y = y0; y < map.height; y += dy) {
      if (x0 >= map.width) break;
      filtered.push_back(std::byte{0});
      for (int x = x0; x < map.width; x += dx) filtered.push_back(std::byte{map.row(y)[x]});
    }
  return filtered;
}

}  // namespace

TEST_CASE("palette indices and grey samples of 1, 2, 4 and 8 bits are the labels, as stored") {
  for (const int colour : {grey, indexed}) {
    CAPTURE(colour);
    const FileBytes one = bytes({0, 0b10110010, 0b01000000, 0, 0b00000001, 0b11000000});
    CHECK(read(label_png(10, 2, 1, colour, one)) ==
          map_of(10, 2, {1, 0, 1, 1, 0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1}));
    const FileBytes two = bytes({0, 0b00011011, 0b10000000});
    CHECK(read(label_png(5, 1, 2, colour, two, 4)) == map_of(5, 1, {0, 1, 2, 3, 2}));
    const FileBytes four = bytes({0, 0x0f, 0x70, 0, 0xa1, 0x80});
    CHECK(read(label_png(3, 2, 4, colour, four, 16)) == map_of(3, 2, {0, 15, 7, 10, 1, 8}));
    const FileBytes eight = bytes({0, 0, 20, 255, 0, 11, 128, 1});
    CHECK(read(label_png(3, 2, 8, colour, eight, 256)) == map_of(3, 2, {0, 20, 255, 11, 128, 1}));
  }
}

TEST_CASE("rows are unfiltered before they are labels") {
  const FileBytes filtered = bytes({1, 5, 1, 1, 2, 1, 0, 255});
  CHECK(read(label_png(3, 2, 8, grey, filtered)) == map_of(3, 2, {5, 6, 7, 6, 6, 6}));
}

TEST_CASE("an index beyond the palette is a label like any other") {
  CHECK(read(label_png(3, 1, 8, indexed, bytes({0, 0, 1, 255}), 1)) == map_of(3, 1, {0, 1, 255}));
  CHECK(contains(sentence([] {
                   read_image(label_png(3, 1, 8, indexed, bytes({0, 0, 1, 255}), 1), "photo");
                 }),
                 "palette index 1"));
}

TEST_CASE("interlaced labels come out in their places") {
  LabelMap map{5, 5, noise(5, 5, 1).pixels};
  CHECK(read(label_png(5, 5, 8, grey, interlaced(map), 0, 1)) == map);
  CHECK(read(label_png(5, 5, 8, indexed, interlaced(map), 3, 1)) == map);
}

TEST_CASE("an orientation turns photos and leaves labels alone") {
  const FileBytes exif =
      bytes("II") + le16(42) + le32(8) + le16(1) + le16(0x112) + le16(3) + le32(1) + le32(6) + le32(0);
  const FileBytes file =
      png(png_header(2, 1, 8, grey) + chunk("eXIf", exif) + chunk("IDAT", zlib(bytes({0, 3, 4}))));
  REQUIRE(read_image(file, "photo").width == 1);
  CHECK(read(file) == map_of(2, 1, {3, 4}));
}

TEST_CASE("labels survive our own PNG, through memory and through a file") {
  const LabelMap map{83, 61, noise(83, 61, 1).pixels};
  const std::vector<std::byte> file = encode_png(map, voc_palette(256));
  CHECK(read(file) == map);
  const TemporaryFolder folder;
  write_file(folder / "label.png", file);
  CHECK(read_labels_file(folder / "label.png") == map);
}

TEST_CASE("pictures of 16-bit colours are refused by the name of what they hold") {
  const auto refused = [](int colour, int bytes_of_a_pixel, const std::string& found) {
    const FileBytes row = bytes({0}) + FileBytes(static_cast<std::size_t>(bytes_of_a_pixel));
    check_refused(
        label_png(1, 1, 16, colour, row), ErrorCode::unsupported,
        "labels that are colours are read from 8 bits a sample, and only grey ones from 16; this PNG is " +
            found + " of 16: save it with 8");
  };
  refused(rgb, 6, "RGB");
  refused(rgb_alpha, 8, "RGBA");
  refused(grey_alpha, 4, "grey with alpha");
}

TEST_CASE("colours without a palette are refused") {
  check_refused(rgb_png(2, 1, {{3, 3, 3}, {1, 2, 3}}), ErrorCode::unsupported,
                "this picture holds colours, and no palette says which classes they stand for");
}

TEST_CASE("grey that is saved as colours is read as grey") {
  CHECK(read(rgb_png(3, 1, {{0, 0, 0}, {2, 2, 2}, {255, 255, 255}})) == map_of(3, 1, {0, 2, 255}));
  CHECK(read(label_png(2, 1, 8, grey_alpha, bytes({0, 4, 255, 7, 0}))) == map_of(2, 1, {4, 7}));
  CHECK(read(label_png(2, 1, 8, rgb_alpha, bytes({0, 4, 4, 4, 255, 7, 7, 7, 0}))) == map_of(2, 1, {4, 7}));
}

TEST_CASE("16-bit grey holds labels up to 255, and 65535 is void") {
  CHECK(read(label_png(4, 1, 16, grey, bytes({0, 0, 0, 0, 20, 0, 255, 255, 255}))) ==
        map_of(4, 1, {0, 20, 255, 255}));
  check_refused(label_png(2, 2, 16, grey, bytes({0, 0, 0, 0, 1, 0, 0, 2, 1, 0})), ErrorCode::malformed,
                "the 16-bit label 256 at pixel (1, 1) is over 255");
  // Adam7's second pass begins at column 4; the fourth has column 2, the sixth columns 1 and 3.
  check_refused(label_png(5, 1, 16, grey, bytes({0, 0, 1, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0}), 0, 1),
                ErrorCode::malformed, "the 16-bit label 1024 at pixel (4, 0) is over 255");
}

TEST_CASE("colours are looked up in the palette, and void has colours of its own") {
  LabelColours colours{.palette = {{0, 0, 0}, {128, 0, 0}, {0, 128, 0}}, .voids = {{224, 224, 192}}};
  const ReadLabels read = read_labels(
      rgb_png(3, 2, {{0, 0, 0}, {0, 128, 0}, {0, 128, 0}, {128, 0, 0}, {224, 224, 192}, {0, 0, 0}}), "label",
      colours);
  CHECK(read.map == map_of(3, 2, {0, 2, 2, 1, 255, 0}));
  CHECK(read.form == LabelForm::colours);
  // Alpha is dropped.
  CHECK(read_labels(label_png(2, 1, 8, rgb_alpha, bytes({0, 128, 0, 0, 0, 0, 128, 0, 9})), "label", colours)
            .map == map_of(2, 1, {1, 2}));
}

TEST_CASE("a colour of no label, or of several, is named with its place and count") {
  LabelColours colours{.palette = {{0, 0, 0}, {128, 0, 0}, {9, 9, 8}, {9, 9, 8}}, .source = "class_dict.csv"};
  const auto refusal = [&](const std::vector<Colour>& pixels) {
    return sentence([&] { read_labels(rgb_png(3, 2, pixels), "label", colours); });
  };
  CHECK(refusal({{0, 0, 0}, {128, 0, 0}, {0, 0, 0}, {0, 0, 0}, {1, 2, 3}, {0, 0, 0}}) ==
        "label: the colour (1, 2, 3) at pixel (1, 1) is none of the 4 of class_dict.csv; 1 pixel has this "
        "colour");
  CHECK(refusal({{1, 2, 3}, {128, 0, 0}, {1, 2, 3}, {7, 8, 9}, {1, 2, 3}, {4, 4, 9}}) ==
        "label: the colour (1, 2, 3) at pixel (0, 0) is none of the 4 of class_dict.csv; 3 pixels have this "
        "colour, and 2 more no known one");
  CHECK(refusal({{0, 0, 0}, {9, 9, 8}, {0, 0, 0}, {9, 9, 8}, {0, 0, 0}, {0, 0, 0}}) ==
        "label: the colour (9, 9, 8) at pixel (1, 0) is that of several classes of class_dict.csv; 2 pixels "
        "have this colour");
}

TEST_CASE("grey levels are labels where they can be, and colours where they cannot") {
  const auto levels = [](const std::vector<int>& values, const LabelColours& colours) {
    std::vector<Colour> pixels;
    FileBytes row = bytes({0});
    for (const int v : values) {
      const auto level = static_cast<std::uint8_t>(v);
      pixels.push_back({level, level, level});
      row.push_back(std::byte{level});
    }
    const int width = static_cast<int>(values.size());
    const auto as_grey = read_labels(label_png(values.size(), 1, 8, grey, row), "grey", colours);
    const auto as_rgb = read_labels(rgb_png(width, 1, pixels), "rgb", colours);
    return std::pair{as_grey.map.labels, as_rgb.map.labels};
  };
  using Labels = std::vector<std::uint8_t>;
  // How a model draws its classes: sky is grey.
  const LabelColours drawn{.palette = {{128, 128, 128}, {128, 0, 0}, {0, 0, 0}}};
  CHECK(levels({0, 1, 2, 255}, drawn) == std::pair{Labels{0, 1, 2, 255}, Labels{0, 1, 2, 255}});
  CHECK(levels({128, 0}, drawn) == std::pair{Labels{128, 0}, Labels{0, 2}});
  // A dictionary of the labels themselves, of black and white.
  const LabelColours dict{.palette = {{255, 255, 255}, {0, 0, 0}}, .of_labels = true};
  CHECK(levels({0, 255}, dict) == std::pair{Labels{1, 0}, Labels{1, 0}});
  CHECK(levels({0, 1}, dict) == std::pair{Labels{0, 1}, Labels{0, 1}});
  const LabelColours coloured{.palette = {{0, 0, 0}, {255, 0, 0}}, .of_labels = true};
  CHECK(levels({0, 1}, coloured) == std::pair{Labels{0, 1}, Labels{0, 1}});
}

TEST_CASE("a palette PNG whose colours an editor has renumbered is read by colour") {
  const LabelColours colours{.palette = {{0, 0, 0}, {128, 0, 0}, {0, 128, 0}}, .voids = {{224, 224, 192}}};
  const auto read = [&](const FileBytes& palette, const std::vector<int>& indices) {
    FileBytes row = bytes({0});
    for (const int i : indices) row.push_back(std::byte{static_cast<std::uint8_t>(i)});
    return read_labels(
        png(png_header(indices.size(), 1, 8, indexed) + chunk("PLTE", palette) + chunk("IDAT", zlib(row))),
        "label", colours);
  };
  const FileBytes black = bytes({0, 0, 0}), red = bytes({128, 0, 0}), green = bytes({0, 128, 0});
  const FileBytes border = bytes({224, 224, 192}), pink = bytes({255, 0, 255});

  const ReadLabels moved = read(green + black + red + border, {0, 1, 2, 3, 255});
  CHECK(moved.map == map_of(5, 1, {2, 0, 1, 255, 255}));
  CHECK(moved.form == LabelForm::renumbered);
  CHECK(!moved.other_order);

  const ReadLabels as_drawn = read(black + red + green, {2, 1, 0, 255});
  CHECK(as_drawn.map == map_of(4, 1, {2, 1, 0, 255}));
  CHECK(as_drawn.form == LabelForm::indices);

  // Another tool's palette, in which some of the colours occur too: doubtful, and said.
  const ReadLabels foreign = read(black + pink + red + green, {0, 2, 3});
  CHECK(foreign.map == map_of(3, 1, {0, 2, 3}));
  CHECK(foreign.form == LabelForm::indices);
  CHECK(foreign.other_order);
  const ReadLabels unrelated = read(pink + pink + pink, {0, 1, 2});
  CHECK(unrelated.map == map_of(3, 1, {0, 1, 2}));
  CHECK(!unrelated.other_order);
}

TEST_CASE("NumPy arrays of whole numbers are labels") {
  const auto npy = [](const std::string& dtype, const std::string& shape, const FileBytes& data,
                      const std::string& fortran = "False") {
    const std::string head =
        "{'descr': '" + dtype + "', 'fortran_order': " + fortran + ", 'shape': " + shape + ", }\n";
    return bytes("\x93NUMPY") + bytes({1, 0}) + le16(static_cast<unsigned>(head.size())) + bytes(head) + data;
  };
  const LabelMap expected = map_of(3, 2, {0, 1, 2, 3, 255, 5});
  CHECK(read(npy("|u1", "(2, 3)", bytes({0, 1, 2, 3, 255, 5}))) == expected);
  CHECK(read(npy("|u1", "(1, 2, 3)", bytes({0, 1, 2, 3, 255, 5}))) == expected);
  CHECK(read(npy("|u1", "(2, 3)", bytes({0, 3, 1, 255, 2, 5}), "True")) == expected);
  CHECK(read(npy("|i1", "(2, 3)", bytes({0, 1, 2, 3, 255, 5}))) == expected);  // -1
  CHECK(read(npy("<u2", "(1, 2)", bytes({7, 0, 255, 255}))) == map_of(2, 1, {7, 255}));
  CHECK(read(npy("<i4", "(1, 2)", bytes({7, 0, 0, 0, 255, 255, 255, 255}))) == map_of(2, 1, {7, 255}));
  CHECK(read(npy("<i8", "(2, 1)", bytes({9, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0}))) ==
        map_of(1, 2, {9, 1}));
  CHECK(read(npy("|b1", "(1, 2)", bytes({0, 1}))) == map_of(2, 1, {0, 1}));

  check_refused(npy("<i2", "(1, 2)", bytes({7, 0, 0, 1})), ErrorCode::malformed,
                "the label 256 at pixel (1, 0) is outside 0..255");
  check_refused(npy("<i2", "(1, 2)", bytes({254, 255, 0, 0})), ErrorCode::malformed,
                "the label -2 at pixel (0, 0)");
  check_refused(npy("<f4", "(1, 1)", bytes({0, 0, 0, 0})), ErrorCode::unsupported, "found '<f4'");
  check_refused(npy(">u2", "(1, 1)", bytes({0, 0})), ErrorCode::unsupported, "found '>u2'");
  check_refused(npy("|u1", "(3,)", bytes({0, 0, 0})), ErrorCode::mismatch, "expected labels of shape (H, W)");
  check_refused(npy("|u1", "(2, 1, 1)", bytes({0, 0})), ErrorCode::mismatch, "found (2, 1, 1)");
  check_refused(npy("|u1", "(2, 3)", bytes({0, 1, 2})), ErrorCode::malformed,
                "needs 6 bytes of data, found 3");
  check_refused(npy("|u1", "(0, 3)", {}), ErrorCode::malformed, "has no values");
  check_refused(npy("|u1", "(70000, 1)", {}), ErrorCode::limit, "over the limit");
  check_refused(npy("|u1", "(20000, 20000)", {}), ErrorCode::limit, "over the limit");
  check_refused(npy("|u1", "(9223372036854775807, 2)", {}), ErrorCode::limit, "over the limit");
}

TEST_CASE("a BMP's palette indices and grey levels are the labels") {
  const auto colour_table = [](const std::vector<Colour>& colours) {
    FileBytes table;
    for (const Colour& c : colours) table = table + bytes({c[2], c[1], c[0], 0});
    return table;
  };
  // `used` colours in the table, behind which the pixels begin.
  const auto bmp_of = [](std::size_t width, std::size_t height, std::size_t bits, std::size_t used,
                         const FileBytes& rest) {
    return bytes("BM") + le32(0) + le32(0) + le32(54 + 4 * used) + le32(40) + le32(width) + le32(height) +
           le16(1) + le16(bits) + le32(0) + FileBytes(12) + le32(used) + le32(0) + rest;
  };
  const std::vector<Colour> three{{0, 0, 0}, {128, 0, 0}, {0, 128, 0}};
  // The lower row comes first, each of a multiple of four bytes.
  const FileBytes eight =
      bmp_of(3, 2, 8, 3, colour_table(three) + bytes({2, 1, 255, 0}) + bytes({0, 1, 2, 0}));
  CHECK(read(eight) == map_of(3, 2, {0, 1, 2, 2, 1, 255}));
  CHECK(read(bmp_of(3, 1, 4, 3, colour_table(three) + bytes({0x01, 0x20, 0, 0}))) == map_of(3, 1, {0, 1, 2}));
  CHECK(read(bmp_of(9, 1, 1, 2, colour_table({{0, 0, 0}, {255, 255, 255}}) + bytes({0xa1, 0x80, 0, 0}))) ==
        map_of(9, 1, {1, 0, 1, 0, 0, 0, 0, 1, 1}));
  // An editor's order of the same colours is matched by colour, as that of a PNG is.
  const LabelColours colours{.palette = three, .voids = {}, .source = "the palette"};
  const ReadLabels moved = read_labels(
      bmp_of(3, 1, 8, 3, colour_table({{0, 128, 0}, {0, 0, 0}, {128, 0, 0}}) + bytes({0, 1, 2, 0})), "label",
      colours);
  CHECK(moved.map == map_of(3, 1, {2, 0, 1}));
  CHECK(moved.form == LabelForm::renumbered);
  // A grey picture has a palette of greys, which is no palette of classes.
  std::vector<Colour> ramp;
  for (int i = 0; i < 256; ++i)
    ramp.push_back(
        {static_cast<std::uint8_t>(i), static_cast<std::uint8_t>(i), static_cast<std::uint8_t>(i)});
  const ReadLabels grey_levels =
      read_labels(bmp_of(3, 1, 8, 256, colour_table(ramp) + bytes({0, 2, 255, 0})), "label", colours);
  CHECK(grey_levels.map == map_of(3, 1, {0, 2, 255}));
  CHECK(grey_levels.form == LabelForm::indices);
  check_refused(first(eight, eight.size() - 1), ErrorCode::malformed, "truncated");
  check_refused(bmp_of(60000, 60000, 8, 0, {}), ErrorCode::limit, "over the limit");
}

TEST_CASE("a PNM's grey samples are the labels, as stored, and 16-bit ones as a PNG's") {
  CHECK(read(bytes("P5\n# by hand\n3 1\n20\n") + bytes({0, 20, 255})) == map_of(3, 1, {0, 20, 255}));
  CHECK(read(bytes("P5 2 2 65535\n") + bytes({0, 0, 0, 7, 0, 255, 255, 255})) ==
        map_of(2, 2, {0, 7, 255, 255}));
  check_refused(bytes("P5 2 2 65535\n") + bytes({0, 0, 0, 7, 0, 255, 1, 0}), ErrorCode::malformed,
                "the 16-bit label 256 at pixel (1, 1) is over 255; 65535 is void");
  check_refused(bytes("P5 2 2 255\n") + bytes({0, 0, 0}), ErrorCode::malformed, "truncated");
  check_refused(bytes("P2 1 1 255\n7\n"), ErrorCode::unsupported, "PNM kind P2; P5 and P6 are supported");
}

TEST_CASE("BMP and PNM of colours are looked up as PNG is") {
  const LabelColours colours{.palette = {{0, 0, 0}, {128, 0, 0}, {0, 128, 0}}, .voids = {{224, 224, 192}}};
  const FileBytes row = bytes({0, 128, 0, 128, 0, 0, 224, 224, 192});
  const FileBytes as_bmp = bmp(3, 1, 24, 0, bytes({0, 128, 0, 0, 0, 128, 192, 224, 224, 0, 0, 0}));
  const TemporaryFolder folder;
  for (const FileBytes& file : {bytes("P6 3 1 255\n") + row, as_bmp}) {
    const ReadLabels labels = read_labels(file, "label", colours);
    CHECK(labels.map == map_of(3, 1, {2, 1, 255}));
    CHECK(labels.form == LabelForm::colours);
    check_refused(file, ErrorCode::unsupported, "holds colours, and no palette");
    write_file(folder / "label", file);
    CHECK(holds_colours(folder / "label"));
  }
  write_file(folder / "label", bytes("P5 1 1 255\n") + bytes({1}));
  CHECK_FALSE(holds_colours(folder / "label"));
  check_refused(bytes("P6 1 1 65535\n") + bytes({0, 1, 0, 1, 0, 1}), ErrorCode::unsupported,
                "of maximum 255, not 65535");
}

TEST_CASE("label maps in formats that labels are not read from are named") {
  const std::pair<FileBytes, const char*> files[] = {
      {grey_jpeg(), "label: is a JPEG image; labels are read from PNG, BMP, PNM and .npy"},
      {bytes("GIF89a"), "label: is a GIF image; "},
      {bytes("version https://git-lfs.github.com/spec/v1\n"),
       "label: is a Git LFS pointer: the real file was not downloaded; "},
      {bytes("<!DOCTYPE html><html>"), "label: is a web page: "},
      {bytes({1, 2, 3}), "label: is no picture in a known format; "}};
  for (const auto& [file, said] : files) check_refused(file, ErrorCode::unsupported, said);
  check_refused({}, ErrorCode::malformed, "label: is empty");
}

TEST_CASE("damaged labels are refused") {
  const FileBytes sound = label_png(4, 1, 8, indexed, bytes({0, 0, 1, 0, 1}));
  REQUIRE(read(sound) == map_of(4, 1, {0, 1, 0, 1}));
  for (std::size_t length = 9; length < sound.size(); ++length)
    check_refused(first(sound, length), ErrorCode::malformed, "truncated");
  FileBytes bad_crc = sound;
  bad_crc[17] ^= std::byte{1};
  check_refused(bad_crc, ErrorCode::malformed, "CRC mismatch in PNG chunk IHDR");
  check_refused(label_png(4, 1, 8, grey, bytes({0, 1, 2})), ErrorCode::malformed,
                "expected 5 bytes of image data, found 3");
  check_refused(label_png(2, 1, 8, grey, bytes({9, 1, 2})), ErrorCode::malformed, "filter 9");
  check_refused(png(png_header(2, 1, 8, indexed) + chunk("IDAT", zlib(bytes({0, 1, 1})))),
                ErrorCode::malformed, "without a palette");
}

TEST_CASE("labels have the limits of photos") {
  check_refused(label_png(60000, 60000, 8, grey, bytes({0})), ErrorCode::limit,
                "over the limit of 200000000");
  check_refused(label_png(9000, 9000, 8, grey, bytes({0})), ErrorCode::limit, "cannot hold");
  const FileBytes six = label_png(3, 2, 8, grey, bytes({0, 1, 2, 3, 0, 4, 5, 6}));
  CHECK(contains(sentence([&] { read_labels(six, "label", {.max_pixels = 5}); }), "over the limit of 5"));
  const TemporaryFolder folder;
  write_file(folder / "label.png", six);
  CHECK(sentence([&] {
          read_labels_file(folder / "label.png", {.max_file_bytes = 10});
        }).starts_with(folder / "label.png"));
  CHECK(sentence([&] { read_labels_file(folder / "none.png"); }).starts_with(folder / "none.png"));
}

TEST_CASE("the nearest label is the one under the new pixel's centre") {
  const LabelMap row = map_of(5, 1, {0, 1, 2, 3, 4});
  CHECK(resize_nearest(row, 5, 1) == row);
  CHECK(resize_nearest(row, 3, 1) == map_of(3, 1, {0, 2, 4}));
  CHECK(resize_nearest(row, 2, 1) == map_of(2, 1, {1, 3}));
  CHECK(resize_nearest(row, 1, 2) == map_of(1, 2, {2, 2}));
  CHECK(resize_nearest(row, 10, 1) == map_of(10, 1, {0, 0, 1, 1, 2, 2, 3, 3, 4, 4}));
  // A centre on the border between two pixels belongs to the later one.
  CHECK(resize_nearest(map_of(4, 1, {0, 1, 2, 3}), 2, 1) == map_of(2, 1, {1, 3}));
  CHECK(resize_nearest(map_of(2, 4, {0, 1, 2, 3, 4, 5, 6, 7}), 1, 2) == map_of(1, 2, {3, 7}));
  const LabelMap dot = map_of(1, 1, {255});
  CHECK(std::ranges::count(resize_nearest(dot, 16384, 3).labels, 255) == 3 * 16384);
}

TEST_CASE("label maps that cannot be resized are refused") {
  const LabelMap dot = map_of(1, 1, {0});
  for (const auto& size : {std::pair{0, 1}, {1, 0}, {-3, 1}, {1, 16385}})
    CHECK(sentence([&] { resize_nearest(dot, size.first, size.second); }) ==
          str_cat("resize to ", size.first, "x", size.second, ": a side is outside 1..16384"));
  CHECK(contains(sentence([] { resize_nearest(map_of(2, 2, {0}), 1, 1); }), "needs 4 labels, found 1"));
}

}  // namespace atrous::label_read_test
