// Reading PNG by rows: equal to reading it whole, or refused as that is.
#include "runtime/tiles/png_rows.h"

#include <doctest/doctest.h>

#include <cstdio>
#include <filesystem>

#include "runtime/image/image_read.h"
#include "runtime/image/png.h"
#include "tests/support/png_helpers.h"

namespace atrous::png_rows_test {

using namespace atrous::testing;

namespace {

// `at_once` rows at a time.
Image by_rows(const FileBytes& bytes, int at_once = 3) {
  const InputFile file(bytes, "x.png");
  PngRows rows(file, "x.png");
  Image image = make_image(rows.width(), rows.height(), 3);
  for (int y = 0; y < image.height; y += at_once) {
    const auto count = static_cast<std::size_t>(std::min(at_once, image.height - y));
    rows.read({image.row(y), count * image.row_bytes()});
  }
  return image;
}

// Both read the same, or refuse with the same code; the rows' sentence.
std::string compare(const FileBytes& bytes) {
  const ReadOptions as_stored{.exif = false};
  std::optional<ErrorCode> whole, rows;
  std::string said;
  Image one, other;
  try {
    one = read_image(bytes, "x.png", as_stored);
  } catch (const Error& error) {
    whole = error.code();
    said = error.what();
  }
  CAPTURE(said);
  try {
    other = by_rows(bytes);
    said.clear();
  } catch (const Error& error) {
    rows = error.code();
    said = error.what();
    CHECK(said.starts_with("x.png: "));
    CHECK(!contains(said, "\n"));
  }
  CAPTURE(said);
  CHECK(whole == rows);
  CHECK(one == other);
  return said;
}

struct Kind {
  int depth, colour, samples;
};
constexpr Kind kinds[] = {{1, 0, 1}, {2, 0, 1},  {4, 0, 1},  {8, 0, 1}, {16, 0, 1},
                          {8, 2, 3}, {16, 2, 3}, {1, 3, 1},  {2, 3, 1}, {4, 3, 1},
                          {8, 3, 1}, {8, 4, 2},  {16, 4, 2}, {8, 6, 4}, {16, 6, 4}};

// Rows of noise, each under one of the five filters.
FileBytes filtered_rows(const Kind& kind, int width, int height) {
  const auto bytes_a_row = static_cast<std::size_t>((width * kind.samples * kind.depth + 7) / 8);
  const Image samples = noise(static_cast<int>(bytes_a_row), height, 1);
  FileBytes out;
  for (int y = 0; y < height; ++y) {
    out.push_back(static_cast<std::byte>(y % 5));
    for (std::size_t i = 0; i < bytes_a_row; ++i) out.push_back(static_cast<std::byte>(samples.row(y)[i]));
  }
  return out;
}

FileBytes palette_of(int colours) {
  FileBytes out;
  for (int i = 0; i < 3 * colours; ++i) out.push_back(static_cast<std::byte>(i * 37));
  return out;
}

FileBytes idats(const FileBytes& data, std::size_t each) {
  FileBytes out;
  for (std::size_t at = 0; at < data.size(); at += each)
    out = out + chunk("IDAT", FileBytes(data.begin() + static_cast<std::ptrdiff_t>(at),
                                        data.begin() +
                                            static_cast<std::ptrdiff_t>(std::min(at + each, data.size()))));
  return out;
}

const std::filesystem::path data_folder = std::filesystem::path(ATROUS_SOURCE_DIR) / "../shared/data";

FileBytes small_png() { return encode_png(noise(9, 7, 3)); }

}  // namespace

TEST_CASE("PNG rows: every colour type and depth, with filters, palettes and tRNS") {
  for (const Kind& kind : kinds)
    for (const auto& [width, height] : {std::pair{13, 11}, {1, 6}, {16, 1}}) {
      CAPTURE(kind.depth);
      CAPTURE(kind.colour);
      const FileBytes head = png_header(static_cast<std::size_t>(width), static_cast<std::size_t>(height),
                                        kind.depth, kind.colour),
                      palette = kind.colour == 3 ? chunk("PLTE", palette_of(1 << kind.depth)) : FileBytes{},
                      transparent = kind.colour == 3   ? chunk("tRNS", bytes({0, 9}))
                                    : kind.colour == 0 ? chunk("tRNS", bytes({0, 0}))
                                    : kind.colour == 2 ? chunk("tRNS", bytes({0, 0, 0, 1, 0, 2}))
                                                       : FileBytes{};
      const FileBytes data = zlib(filtered_rows(kind, width, height));
      CHECK(compare(png(head + palette + transparent + idats(data, data.size()))) == "");
      CHECK(compare(png(head + palette + idats(data, 1))) == "");
      CHECK(compare(png(head + palette + chunk("IDAT", {}) + idats(data, 7) + chunk("IDAT", {}))) == "");
    }
}

TEST_CASE("PNG rows: a palette that is missing, short or late") {
  const FileBytes head = png_header(13, 11, 4, 3), data = zlib(filtered_rows({4, 3, 1}, 13, 11));
  CHECK(contains(compare(png(head + chunk("IDAT", data))), "without a palette"));
  CHECK(contains(compare(png(head + chunk("PLTE", palette_of(3)) + chunk("IDAT", data))), "palette index"));
  CHECK(contains(compare(png(head + chunk("PLTE", palette_of(16)) + chunk("PLTE", palette_of(16)))),
                 "second or late"));
  CHECK(contains(compare(png(head + chunk("PLTE", bytes({1, 2})) + chunk("IDAT", data))),
                 "palette of 2 bytes"));
}

TEST_CASE("PNG rows: photos and awkward files of ../shared/data are read, or refused, as whole") {
  if (!std::filesystem::is_directory(data_folder)) {
    std::puts("skipped: ../shared/data is absent");
    return;
  }
  std::size_t read = 0;
  for (const char* folder : {"photos", "awkward", "camvid/test"})
    for (const auto& entry : std::filesystem::recursive_directory_iterator(data_folder / folder)) {
      if (!entry.is_regular_file() || entry.path().extension() != ".png") continue;
      CAPTURE(entry.path().string());
      const FileBytes file = read_file(entry.path().string(), 1u << 30);
      const InputFile input(entry.path().string());
      if (!PngRows::is_png(input)) continue;
      const std::string said = sentence([&] { PngRows(input, "x.png"); });
      if (said.empty() && PngRows(input, "x.png").is_interlaced()) continue;
      compare(file);
      read += said.empty();
    }
  CHECK(read > 100);
}

TEST_CASE("PNG rows: a file that ends anywhere is refused, most often before its pixels are read") {
  const FileBytes file = small_png();
  for (std::size_t count = 8; count < file.size(); ++count) {
    const FileBytes cut = first(file, count);
    CAPTURE(count);
    CHECK(contains(sentence([&] { by_rows(cut); }), "x.png: truncated: "));
    const InputFile input(cut, "x.png");
    CHECK(contains(sentence([&] { PngRows(input, "x.png"); }), "truncated"));
  }
  CHECK(compare(file + bytes("what follows is no part of it")) == "");
}

TEST_CASE("PNG rows: whichever byte is damaged, rows are read or refused as the whole is") {
  const FileBytes file = small_png();
  for (std::size_t i = 8; i < file.size(); ++i) {
    FileBytes damaged = file;
    damaged[i] ^= std::byte{0x41};
    CAPTURE(i);
    compare(damaged);
  }
}

TEST_CASE("PNG rows: compressed data that is too short, too long, corrupt or of the wrong checksum") {
  const FileBytes head = png_header(5, 4, 8, 0), rows = filtered_rows({8, 0, 1}, 5, 4);
  const auto with = [&](const FileBytes& data) { return compare(png(head + idats(data, 5))); };
  CHECK(contains(with(zlib(first(rows, rows.size() - 1))),
                 "truncated: expected 24 bytes of image data, found 23"));
  CHECK(contains(with(zlib(rows + bytes({1}))), "more than the 24 bytes of 5x4 pixels"));
  FileBytes data = zlib(rows);
  CHECK(contains(with(first(data, data.size() - 5)), "corrupt or truncated"));
  CHECK(contains(with(first(data, data.size() - 1)), "corrupt or truncated"));
  data.back() ^= std::byte{1};
  CHECK(contains(with(data), "corrupt or truncated"));
  for (const auto& [first_byte, second] : {std::pair{0x79, 0x01}, {0x88, 0x1c}, {0x78, 0x02}, {0x78, 0x20}}) {
    FileBytes other = zlib(rows);
    other[0] = static_cast<std::byte>(first_byte);
    other[1] = static_cast<std::byte>(second);
    CHECK(contains(with(other), "corrupt or truncated"));
  }
  FileBytes filter = rows;
  filter[6] = std::byte{5};
  CHECK(contains(with(zlib(filter)), "row filter 5"));
  CHECK(with(zlib(rows) + bytes({1, 2, 3})) == "");  // behind the stream, as libdeflate has it too
  CHECK(contains(compare(png(head)), "no image data"));
  CHECK(contains(compare(png(head + chunk("IDAT", zlib(rows)) + chunk("tEXt", {}) + chunk("IDAT", {}))),
                 "do not follow each other"));
}

TEST_CASE("PNG rows: absurd headers cost nothing") {
  const FileBytes data = chunk("IDAT", zlib(bytes({0, 0})));
  const auto refused = [&](const FileBytes& head) { return sentence([&] { by_rows(png(head + data)); }); };
  CHECK(contains(refused(png_header(65535, 65535, 8, 2)), "compressed bytes cannot hold the 12884574210"));
  CHECK(contains(refused(png_header(65536, 1, 8, 2)), "65536x1 pixels: a side is over 65535"));
  CHECK(contains(refused(png_header(4294967295, 4294967295, 16, 6)), "a side is over 65535"));
  CHECK(contains(refused(png_header(0, 5, 8, 2)), "has no pixels"));
  CHECK(contains(refused(png_header(5, 5, 3, 2)), "does not exist"));
  FileBytes length = png(png_header(5, 5, 8, 2) + data);
  length[33] = std::byte{255};  // of the IDAT chunk
  CHECK(contains(sentence([&] { by_rows(length); }), "truncated: "));
}

TEST_CASE("PNG rows: what is not asked for by whole rows, or cannot be had by rows, is refused") {
  const FileBytes file = small_png();
  const InputFile input(file, "x.png");
  PngRows rows(input, "x.png");
  CHECK(rows.width() == 9);
  CHECK(rows.height() == 7);
  CHECK(!rows.is_interlaced());
  CHECK(rows.orientation() == 1);
  std::vector<std::uint8_t> room(8 * 27);
  CHECK(
      contains(sentence([&] { rows.read(room); }), "room for 216 bytes of rows of 27, of which 7 are left"));
  CHECK(contains(sentence([&] { rows.read(std::span(room).first(26)); }), "room for 26 bytes"));
  rows.read({});
  rows.read(std::span(room).first(7 * 27));
  CHECK(contains(sentence([&] { rows.read(std::span(room).first(27)); }), "of which 0 are left"));
  const FileBytes interlaced = png(png_header(5, 5, 8, 2, 1) + chunk("IDAT", zlib(bytes({0, 0}))));
  const InputFile other(interlaced, "y.png");
  PngRows none(other, "y.png");
  CHECK(none.is_interlaced());
  CHECK(contains(sentence([&] { none.read(std::span(room).first(15)); }), "interlaced"));
}

}  // namespace atrous::png_rows_test
