#include <doctest/doctest.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>

#include "runtime/image/image_formats.h"
#include "runtime/image/image_read.h"
#include "runtime/image/png.h"
#include "tests/support/image_bytes.h"
#include "tests/support/temporary.h"
#include "weights_tools/io/file.h"

namespace atrous::read_test {

using namespace atrous::testing;

namespace {

struct Bad {
  const char* what;
  FileBytes file;
  const char* sentence;
};

void check_refused(const std::vector<Bad>& table) {
  for (const Bad& bad : table) {
    CAPTURE(bad.what);
    const std::string said = sentence([&] { read_image(bad.file, "photo"); });
    CAPTURE(said);
    CHECK(said.starts_with("photo: "));
    CHECK(contains(said, bad.sentence));
  }
}

}  // namespace

TEST_CASE("bytes that are no picture are refused, by name where the format is known") {
  check_refused({
      {"nothing", {}, "empty"},
      {"text", bytes("hello there"), "is a text file; atrous reads JPEG"},
      {"GIF", bytes("GIF89a......"), "GIF"},
      {"TIFF", bytes({'I', 'I', '*', 0, 8, 0, 0, 0}), "TIFF"},
      {"HEIC", bytes({0, 0, 0, 24}) + bytes("ftypheic"), "HEIC"},
      {"PDF", bytes("%PDF-1.4"), "PDF"},
      {"zip", bytes({'P', 'K', 3, 4, 0, 0}), "zip"},
      {"safetensors", bytes({9, 0, 0, 0, 0, 0, 0, 0}) + bytes("{\"a\": 1}"), "safetensors"},
      {"ascii PNM", bytes("P3 1 1 255 1 2 3"), "P3"},
  });
}

TEST_CASE("a damaged PNG is refused") {
  FileBytes bad_crc = grey_png();
  bad_crc[29] ^= std::byte{1};
  FileBytes bad_adler_data = zlib(bytes({0, 10, 20}));
  bad_adler_data.back() ^= std::byte{1};
  const FileBytes header = png_header(2, 1, 8, 0), data = chunk("IDAT", zlib(bytes({0, 10, 20})));
  check_refused({
      {"cut in the data", first(grey_png(), 50), "truncated"},
      {"no IEND", png_signature + header + data, "IEND"},
      {"no data", png(header), "no image data"},
      {"CRC", bad_crc, "CRC mismatch in PNG chunk IHDR"},
      {"Adler-32", png(header + chunk("IDAT", bad_adler_data)), "corrupt"},
      {"too few pixels", grey_png({}, bytes({0, 10})), "expected 3 bytes of image data, found 2"},
      {"too many pixels", grey_png({}, bytes({0, 10, 20, 30})), "more than the 3 bytes"},
      {"filter 5", grey_png({}, bytes({5, 10, 20})), "filter 5"},
      {"zero height", png(png_header(1, 0, 8, 0) + data), "1x0 has no pixels"},
      {"zero by zero", png(png_header(0, 0, 8, 0) + data), "0x0 has no pixels"},
      {"2^31 wide", png(png_header(0x80000000, 1, 8, 0) + data), "over 65535"},
      {"2^32 - 1 each way", png(png_header(0xffffffff, 0xffffffff, 16, 6) + data), "over 65535"},
      {"at the limit of its sides", png(png_header(65535, 65535, 1, 0) + data),
       "over the limit of 200000000"},
      {"interlaced bomb", png(png_header(9000, 9000, 16, 6, 1) + data), "cannot hold"},
      {"grey and alpha of 4 bits", png(png_header(2, 1, 4, 4) + data), "4 bits"},
      {"RGB of 1 bit", png(png_header(2, 1, 1, 2) + data), "1 bits"},
      {"colour type 7", png(png_header(2, 1, 8, 7) + data), "colour type 7"},
      {"header of 12 bytes", png(chunk("IHDR", FileBytes(12)) + data), "12 bytes, not 13"},
      {"palette after the data", png(header + data + chunk("PLTE", bytes({1, 2, 3}))), "late PNG palette"},
      {"palette of 257 colours", grey_png(chunk("PLTE", FileBytes(771))), "palette of 771 bytes"},
      {"filter in the first row of an interlaced one",
       png(png_header(1, 1, 8, 0, 1) + chunk("IDAT", zlib(bytes({9, 0})))), "filter 9"},
      {"preset dictionary", png(header + chunk("IDAT", bytes({0x78, 0x20, 0, 0, 0, 0}))), "corrupt"},
      {"data that is no zlib", png(header + chunk("IDAT", bytes("nonsense"))), "corrupt"},
      {"zero width", png(png_header(0, 1, 8, 0) + data), "0x1 has no pixels"},
      {"wide", png(png_header(70000, 1, 8, 0) + data), "over 65535"},
      {"bomb", png(png_header(60000, 60000, 8, 2) + data), "over the limit of 200000000"},
      {"200 megapixels, which are read where they are there", png(png_header(20000, 10000, 8, 2) + data),
       "cannot hold"},
      {"a row more", png(png_header(20000, 10001, 8, 2) + data), "over the limit of 200000000"},
      {"large for its data", png(png_header(9000, 9000, 8, 2) + data), "cannot hold"},
      {"3 bits", png(png_header(2, 1, 3, 0) + data), "3 bits"},
      {"16-bit palette", png(png_header(2, 1, 16, 3) + data), "16 bits"},
      {"two headers", png(header + header + data), "two headers"},
      {"no header", png(data), "begins with IDAT"},
      {"interlace 2", png(png_header(2, 1, 8, 0, 2) + data), "interlace 2"},
      {"no palette", png(png_header(2, 1, 8, 3) + data), "without a palette"},
      {"index beyond the palette",
       png(png_header(2, 1, 8, 3) + chunk("PLTE", bytes({1, 2, 3})) + chunk("IDAT", zlib(bytes({0, 0, 1})))),
       "palette index 1, but the PNG's palette has 1"},
      {"palette of 4 bytes", grey_png(chunk("PLTE", bytes({1, 2, 3, 4}))), "palette of 4 bytes"},
      {"unknown critical chunk", grey_png(chunk("ABCD", {})), "ABCD"},
      {"CgBI", png(chunk("CgBI", bytes({0, 0, 0, 0})) + header + data), "CgBI"},
      {"split data", png(header + data + chunk("teXt", {}) + data), "follow each other"},
      {"no chunk", png_signature + FileBytes(20), "no PNG chunk"},
      {"chunk of 4 GB", png_signature + header + be32(0xffffffff) + bytes("IDAT"), "truncated"},
  });
}

TEST_CASE("a JPEG that stb_image cannot be trusted with is refused") {
  const FileBytes large = soi + tables + frame(0xc0, 4096, 4096) + scan;
  check_refused({
      {"no end marker", first(grey_jpeg(), grey_jpeg().size() - 2), "without its end marker"},
      {"cut in a segment", first(grey_jpeg(), 30), "truncated"},
      {"lossless", soi + tables + frame(0xc3, 8, 8) + scan + coded + eoi, "lossless"},
      {"arithmetic", soi + tables + frame(0xc9, 8, 8) + scan + coded + eoi, "arithmetic"},
      {"hierarchical", soi + tables + frame(0xc5, 8, 8) + scan + coded + eoi, "hierarchical"},
      {"12 bits", soi + tables + frame(0xc1, 8, 8, 12) + scan + coded + eoi, "12 bits"},
      {"zero height", soi + tables + frame(0xc0, 8, 0) + scan + coded + eoi, "8x0"},
      {"zero width", soi + tables + frame(0xc0, 0, 8) + scan + coded + eoi, "0x8"},
      {"JPEG-LS", soi + segment(0xf7, FileBytes(10)) + eoi, "JPEG-LS"},
      {"arithmetic progressive", soi + tables + frame(0xca, 8, 8) + scan + coded + eoi, "arithmetic"},
      {"16 bits", soi + tables + frame(0xc1, 8, 8, 16) + scan + coded + eoi, "16 bits"},
      {"four components of Adobe transform 1",
       soi + segment(0xee, bytes("Adobe") + bytes({0, 100, 0, 0, 0, 0, 1})) + tables +
           segment(0xc0, bytes({8, 0, 8, 0, 8, 4, 1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0, 4, 0x11, 0})) +
           segment(0xda, bytes({4, 1, 0, 2, 0, 3, 0, 4, 0, 0, 63, 0})) + bytes({0, 0}) + eoi,
       "Adobe transform 1"},
      {"five components", soi + tables + segment(0xc0, bytes({8, 0, 8, 0, 8, 5}) + FileBytes(15)) + eoi,
       "5 components"},
      {"bomb", soi + tables + frame(0xc0, 65535, 65535) + scan + coded + eoi, "over the limit"},
      {"large for its file", large + coded + eoi, "cannot hold"},
      {"large for its scan",
       soi + segment(0xfe, FileBytes(40000)) + tables + frame(0xc0, 4096, 4096) + scan + coded + eoi,
       "a scan of 1 bytes cannot hold its 262144 blocks"},
      {"no frame", soi + tables + eoi, "without a frame"},
      {"no scan", soi + tables + frame(0xc0, 8, 8) + eoi, "without a scan of component 1"},
      {"two frames", soi + tables + frame(0xc0, 8, 8) + frame(0xc0, 8, 8) + scan + coded + eoi,
       "two frame headers"},
      {"no Huffman table", soi + quantisation + frame(0xc0, 8, 8) + scan + coded + eoi, "undefined Huffman"},
      {"no quantisation", soi + huffman(0) + huffman(0x10) + frame(0xc0, 8, 8) + scan + coded + eoi,
       "undefined quantisation"},
      {"too many codes",
       soi + segment(0xc4, bytes({0}) + FileBytes(16, std::byte{255}) + FileBytes(4080)) + eoi,
       "4080 codes, at most 256"},
      {"DC value of 40 bits", soi + segment(0xc4, bytes({0, 1}) + FileBytes(15) + bytes({40})) + eoi,
       "40 bits"},
      {"sampling of 3 in 2",
       soi + tables + segment(0xc0, bytes({8, 0, 8, 0, 8, 3, 1, 0x31, 0, 2, 0x21, 0, 3, 0x11, 0})) + scan +
           coded + eoi,
       "2x1 of 3x1"},
      {"sampling of 0",
       soi + tables + segment(0xc0, bytes({8, 0, 8, 0, 8, 1, 1, 0x01, 0})) + scan + coded + eoi,
       "sampling 0x1"},
      {"two components",
       soi + tables + segment(0xc0, bytes({8, 0, 8, 0, 8, 2, 1, 0x11, 0, 2, 0x11, 0})) + eoi, "2 components"},
      {"lost restarts", soi + tables + segment(0xdd, be16(1)) + frame(0xc0, 16, 16) + scan + coded + eoi,
       "0 restart markers, expected 3"},
      {"restarts out of order",
       soi + tables + segment(0xdd, be16(1)) + frame(0xc0, 16, 8) + scan + coded + bytes({0xff, 0xd2}) +
           coded + eoi,
       "restart marker 2 where 0 is due"},
      {"foreign component",
       soi + tables + frame(0xc0, 8, 8) + segment(0xda, bytes({1, 7, 0, 0, 63, 0})) + coded + eoi,
       "component 7"},
      {"segment of 1 byte", soi + bytes({0xff, 0xe0, 0, 1}) + eoi, "segment of 1"},
  });
}

TEST_CASE("a progressive JPEG of too many scans, or of scans out of turn, is refused") {
  const auto of = [](int first, int last, int bits) {
    return segment(0xda, bytes({1, 1, 0, first, last, bits})) + coded;
  };
  const FileBytes head = soi + tables + frame(0xc2, 8, 8), dc = of(0, 0, 0);
  FileBytes many = head + dc;
  for (int k = 1; k < 64; ++k)
    for (const int bits : {0x04, 0x43, 0x32, 0x21, 0x10}) many = many + of(k, k, bits);
  // A scan may be empty but for its header, and costs time for every block.
  FileBytes large = soi + tables + frame(0xc2, 8192, 8192) + dc + FileBytes(std::size_t{1} << 17);
  for (int k = 1; k < 64; ++k) large = large + of(k, k, 0);
  check_refused({
      {"316 scans", many + eoi, "more than 256 scans"},
      {"64 scans of 67 megapixels", large + eoi, "33 scans or more of 8192x8192 pixels"},
      {"first coefficient twice", head + dc + dc + eoi, "coefficient 0 of component 1 out of turn"},
      {"others before the first", head + of(1, 5, 0) + dc + eoi, "coefficient 1 of component 1 out of turn"},
      {"others twice", head + dc + of(1, 5, 0) + of(5, 6, 0) + eoi, "coefficient 5 of component 1"},
      {"bits of nothing", head + of(0, 0, 0x10) + eoi, "coefficient 0 of component 1 out of turn"},
      {"a bit too early", head + of(0, 0, 2) + of(0, 0, 0x10) + eoi, "coefficient 0 of component 1"},
      {"two bits at once", head + of(0, 0, 2) + of(0, 0, 0x20) + eoi, "bits 2 to 0"},
      {"first and others", head + of(0, 5, 0) + eoi, "coefficients 0 to 5"},
      {"from 5 to 2", head + dc + of(5, 2, 0) + eoi, "coefficients 5 to 2"},
  });
}

TEST_CASE("a damaged BMP or PNM is refused") {
  check_refused({
      {"BMP cut", bmp(2, 2, 24, 0, FileBytes(8)), "truncated"},
      {"BMP header only", bytes("BM"), "truncated"},
      {"BMP run lengths", bmp(2, 2, 8, 1, FileBytes(1100)), "compression 1"},
      {"BMP 16 bits", bmp(2, 2, 16, 0, FileBytes(16)), "16 bits a pixel"},
      {"BMP zero", bmp(0, 2, 24, 0, FileBytes(16)), "0x2"},
      {"BMP bomb", bmp(60000, 60000, 24, 0, FileBytes(16)), "limit"},
      {"BMP zero height", bmp(2, 0, 24, 0, FileBytes(16)), "2x0"},
      {"BMP negative width", bmp(0xffffffff, 2, 24, 0, FileBytes(16)), "-1x2"},
      {"BMP 64 bits", bmp(2, 2, 64, 0, FileBytes(64)), "64 bits a pixel"},
      {"BMP pixels within the header",
       [] {
         FileBytes file = bmp(2, 2, 24, 0, FileBytes(64));
         file[10] = std::byte{20};
         return file;
       }(),
       "pixels begin at byte 20, its header ends at 54"},
      {"BMP of a JPEG", bmp(2, 2, 24, 4, FileBytes(64)), "compression 4"},
      {"BMP large for its file", bmp(9000, 9000, 24, 0, FileBytes(16)),
       "truncated: 243000000 bytes expected"},
      {"PNM large for its file", bytes("P6 9000 9000 255\n123"), "truncated: 243000000 bytes expected"},
      {"PNM zero height", bytes("P6 2 0 255\n"), "2x0"},
      {"PNM maximum of zero", bytes("P5 1 1 0\n\1"), "maximum 0"},
      {"PNM negative", bytes("P5 -1 1 255\n"), "no number"},
      {"PNM comment without end", bytes("P5 # 1 1 255"), "truncated"},
      {"PNM header that ends in a letter", bytes("P5 1 1 255x"), "white space"},
      {"BMP height of -2^31", bmp(2, 0x80000000, 24, 0, FileBytes(16)), "over 65535"},
      {"PNM cut", bytes("P6 2 2 255\n12345"), "truncated"},
      {"PNM header only", bytes("P5 2"), "truncated"},
      {"PNM zero", bytes("P5 0 2 255\n"), "0x2"},
      {"PNM bomb", bytes("P5 60000 60000 255\n"), "limit"},
      {"PNM maximum", bytes("P5 1 1 70000\n\1\1"), "70000"},
      {"PNM endless number", bytes("P5 11111111111111111111 1 255\n"), "9 digits"},
      {"PNM letter", bytes("P5 x 1 255\n"), "no number"},
      {"PAM", bytes("P7\nWIDTH 1\n"), "P7"},
  });
}

TEST_CASE("a path that is no regular file is refused without waiting for it") {
  const TemporaryFolder folder;
  REQUIRE(::mkfifo((folder / "pipe.png").c_str(), 0600) == 0);
  CHECK(contains(sentence([&] { read_image_file(folder / "pipe.png"); }), "pipe.png: is a FIFO"));
  CHECK(contains(sentence([&] { read_image_file(folder.path()); }), "is a directory"));
  CHECK(contains(sentence([] { read_image_file("/dev/zero"); }), "is a device"));
  CHECK(contains(sentence([&] { read_image_file(folder / "none.png"); }), "No such file"));
  write_file(folder / "a.png", grey_png());
  const ReadOptions little{.max_file_bytes = grey_png().size() - 1};
  CHECK(contains(sentence([&] { read_image_file(folder / "a.png", little); }), "more than the limit of"));
}

TEST_CASE("every prefix of a good file is refused") {
  for (const FileBytes& file :
       {grey_png(), grey_jpeg(), bytes("P6 1 1 255\nabc"), bmp(1, 1, 24, 0, FileBytes(4))})
    for (std::size_t n = 0; n < file.size(); ++n) {
      CAPTURE(n);
      CHECK(sentence([&] { read_image(first(file, n), "photo"); }).starts_with("photo: "));
    }
}

TEST_CASE("the pixel limit holds at its edge") {
  const FileBytes file = encode_png(noise(5, 4, 3));
  CHECK(read_image(file, "photo", {.max_pixels = 20}).width == 5);
  CHECK(contains(sentence([&] { read_image(file, "photo", {.max_pixels = 19}); }),
                 "5x4 is 20 pixels, over the limit of 19"));
}

TEST_CASE("a PNG written comes back: RGB as it is, grey repeated, alpha dropped") {
  for (const auto& [width, height] : {std::pair{1, 1}, {1, 9}, {9, 1}, {37, 23}, {300, 5}}) {
    const Image rgb = noise(width, height, 3), grey = noise(width, height, 1), rgba = noise(width, height, 4);
    CHECK(read_image(encode_png(rgb), "rgb") == rgb);
    const Image from_grey = read_image(encode_png(grey), "grey"),
                from_rgba = read_image(encode_png(rgba), "rgba");
    REQUIRE(from_grey.channels == 3);
    for (std::size_t i = 0; i < grey.pixels.size(); ++i)
      for (std::size_t c = 0; c < 3; ++c) {
        CHECK(from_grey.pixels[3 * i + c] == grey.pixels[i]);
        CHECK(from_rgba.pixels[3 * i + c] == rgba.pixels[4 * i + c]);
      }
  }
}

TEST_CASE("PNG samples of 1, 2, 4 and 16 bits become bytes") {
  const auto read = [](int depth, int colour, const FileBytes& filtered) {
    return read_image(png(png_header(2, 1, depth, colour) + chunk("IDAT", zlib(filtered))), "png").pixels;
  };
  using Pixels = std::vector<std::uint8_t>;
  CHECK(read(1, 0, bytes({0, 0x40})) == Pixels{0, 0, 0, 255, 255, 255});
  CHECK(read(2, 0, bytes({0, 0x60})) == Pixels{85, 85, 85, 170, 170, 170});
  CHECK(read(4, 0, bytes({0, 0x1f})) == Pixels{17, 17, 17, 255, 255, 255});
  CHECK(read(16, 0, bytes({0, 7, 255, 9, 0})) == Pixels{7, 7, 7, 9, 9, 9});
  CHECK(read(16, 4, bytes({0, 7, 0, 1, 1, 9, 0, 1, 1})) == Pixels{7, 7, 7, 9, 9, 9});
}

TEST_CASE("each PNG filter predicts from its neighbours") {
  // Two rows of two grey pixels; by hand from the specification's formulas.
  const auto read = [](int filter, std::initializer_list<int> row) {
    const FileBytes filtered = bytes({0, 10, 20, filter}) + bytes(row);
    const Image image = read_image(png(png_header(2, 2, 8, 0) + chunk("IDAT", zlib(filtered))), "png");
    return std::pair<int, int>{image.row(1)[0], image.row(1)[3]};
  };
  CHECK(read(1, {5, 7}) == std::pair{5, 12});
  CHECK(read(2, {5, 7}) == std::pair{15, 27});
  CHECK(read(3, {5, 7}) == std::pair{10, 22});  // 5 + 10/2, 7 + (10 + 20)/2
  CHECK(read(4, {5, 250}) ==
        std::pair{15, 14});  // the row above 20 is nearest to 15 + 20 - 10; 250 + 20 wraps
}

TEST_CASE("an interlaced PNG is put together from its seven passes") {
  // 3x3, value 10 * y + x: pass 1 has (0,0), pass 4 (2,0), pass 5 (0,2) and (2,2), pass 6 (1,0) and (1,2),
  // pass 7 row 1.
  const FileBytes filtered = bytes({0, 0, 0, 2, 0, 20, 22, 0, 1, 0, 21, 0, 10, 11, 12});
  const Image image = read_image(png(png_header(3, 3, 8, 0, 1) + chunk("IDAT", zlib(filtered))), "png");
  for (int y = 0; y < 3; ++y)
    for (int x = 0; x < 3; ++x) CHECK(image.row(y)[3 * x] == 10 * y + x);
}

TEST_CASE("EXIF orientations 1 to 8 turn the photo upright") {
  // A stored 3x2 picture a b c / d e f, and what each orientation makes of it.
  const std::array<std::pair<int, std::string>, 9> upright{{{3, "abcdef"},
                                                            {3, "abcdef"},
                                                            {3, "cbafed"},
                                                            {3, "fedcba"},
                                                            {3, "defabc"},
                                                            {2, "adbecf"},
                                                            {2, "daebfc"},
                                                            {2, "fcebda"},
                                                            {2, "cfbead"}}};
  const FileBytes filtered = bytes({0}) + bytes("abc") + bytes({0}) + bytes("def");
  for (int orientation = 0; orientation <= 9; ++orientation)
    for (const bool big_endian : {false, true}) {
      CAPTURE(orientation);
      const auto& [width, letters] = upright[orientation > 8 ? 0 : static_cast<std::size_t>(orientation)];
      const FileBytes file = png(png_header(3, 2, 8, 0) + chunk("eXIf", exif(orientation, big_endian)) +
                                 chunk("IDAT", zlib(filtered)));
      const Image turned = read_image(file, "photo"), stored = read_image(file, "photo", {.exif = false});
      CHECK(turned.width == width);
      std::string found;
      for (std::size_t i = 0; i < turned.pixels.size(); i += 3) found += static_cast<char>(turned.pixels[i]);
      CHECK(found == letters);
      CHECK(stored.width == 3);
    }
}

TEST_CASE("a JPEG's EXIF is found, and broken EXIF is no reason to refuse a photo") {
  const auto size = [](const FileBytes& tiff) {
    const FileBytes app1 = segment(0xe1, bytes("Exif") + bytes({0, 0}) + tiff);
    const Image image = read_image(soi + app1 + tables + frame(0xc0, 8, 3) + scan + coded + eoi, "photo");
    return std::pair{image.width, image.height};
  };
  CHECK(size(exif(6)) == std::pair{3, 8});
  CHECK(size(exif(6, true)) == std::pair{3, 8});
  for (std::size_t n = 0; n < 22; ++n) CHECK(size(first(exif(6), n)) == std::pair{8, 3});
  CHECK(size(bytes("II") + le16(42) + le32(0xffffffff)) == std::pair{8, 3});
  CHECK(size(bytes("II") + le16(42) + le32(8) + le16(65535)) == std::pair{8, 3});
}

TEST_CASE("an EXIF orientation may be of any integer type that Pillow takes, and the last one counts") {
  struct Entry {
    std::size_t type, count, value;
  };
  const auto turned = [](std::initializer_list<Entry> entries) {
    FileBytes tiff = bytes("II") + le16(42) + le32(8) + le16(entries.size());
    for (const Entry& e : entries) tiff = tiff + le16(0x112) + le16(e.type) + le32(e.count) + le32(e.value);
    const FileBytes app1 = segment(0xe1, bytes("Exif") + bytes({0, 0}) + tiff + le32(0));
    return read_image(soi + app1 + tables + frame(0xc0, 8, 3) + scan + coded + eoi, "photo").width == 3;
  };
  for (const std::size_t integer : {3u, 4u, 8u, 9u}) CHECK(turned({{integer, 1, 6}}));
  for (const std::size_t other : {0u, 1u, 2u, 5u, 7u, 10u, 12u, 13u}) CHECK_FALSE(turned({{other, 1, 6}}));
  CHECK_FALSE(turned({{3, 0, 6}}));
  CHECK_FALSE(turned({{3, 2, 0x60006}}));
  CHECK_FALSE(turned({{4, 1, 0x10006}}));
  CHECK_FALSE(turned({{3, 1, 6}, {3, 1, 1}}));
  CHECK(turned({{3, 1, 1}, {3, 1, 6}}));
}

TEST_CASE("a JPEG of middle grey decodes, stray bytes and superfluous restarts or not") {
  const auto is_grey = [&](const FileBytes& file) {
    const Image image = read_image(file, "photo");
    return image.width == 8 && image.height == 8 &&
           std::ranges::all_of(image.pixels, [](std::uint8_t v) { return v == 128; });
  };
  CHECK(is_grey(grey_jpeg()));
  CHECK(is_grey(grey_jpeg(segment(0xfe, bytes("a comment")) + bytes({0xff, 0, 7, 7}))));
  CHECK(is_grey(soi + segment(0xdd, be16(1)) + tables + frame(0xc0, 8, 8) + scan + coded +
                bytes({0xff, 0xd0, 0x3f}) + eoi));
  CHECK(is_grey(grey_jpeg() + bytes("trailing")));
}

TEST_CASE(
    "a progressive JPEG whose scans leave coefficients out decodes to grey, not to what the heap held") {
  const FileBytes others = segment(0xda, bytes({1, 1, 0, 1, 63, 0}));
  const Image image = read_image(soi + tables + frame(0xc2, 64, 64) + others + FileBytes(8) + eoi, "photo");
  CHECK(std::ranges::all_of(image.pixels, [](std::uint8_t v) { return v == 128; }));
}

TEST_CASE("a JPEG whose coefficients would overflow is refused") {
  // 64 blocks: the code 0 for a first coefficient of nothing, a code and 15 bits for the second, the code 0
  // for the end, under a quantisation step of 65535.
  const std::string block =
      "0"
      "10"
      "101010101010101"
      "0";
  FileBytes steep_blocks(block.size() * 64 / 8);
  for (std::size_t bit = 0; bit < block.size() * 64; ++bit)
    if (block[bit % block.size()] == '1') steep_blocks[bit / 8] |= std::byte{0x80} >> bit % 8;
  const FileBytes coarse = segment(0xdb, bytes({0x10}) + FileBytes(128, std::byte{255}));
  const FileBytes steep = segment(0xc4, bytes({0x10, 1, 1}) + FileBytes(14) + bytes({0, 15}));
  const FileBytes file = soi + coarse + huffman(0) + steep + frame(0xc0, 64, 64) + scan + steep_blocks + eoi;
  CHECK(contains(sentence([&] { read_image(file, "photo"); }), "AC coefficient of 21845 in component 1"));
}

TEST_CASE("a JPEG whose data ends within a coefficient is decoded or refused") {
  // After a first coefficient of 12 bits and a second of 20 no bit of the 32 is left; the zeros that follow
  // are the code of coefficients of 7 bits.
  const FileBytes dc = segment(0xc4, bytes({0, 1}) + FileBytes(15) + bytes({11}));
  const FileBytes ac = segment(0xc4, bytes({0x10, 1, 0, 0, 0, 1}) + FileBytes(11) + bytes({7, 15}));
  const FileBytes file =
      soi + quantisation + dc + ac + frame(0xc0, 8, 8) + scan + bytes({0x3f, 0xf8, 0, 0}) + eoi;
  try {  // as stb_image does up to its version 2.27
    CHECK(read_image(file, "photo").width == 8);
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::malformed);
  }
}

TEST_CASE("BMP rows are read bottom up, blue first, and 16-bit PNM becomes its high byte") {
  const Image image = read_image(bmp(1, 2, 24, 0, bytes({1, 2, 3, 0, 4, 5, 6, 0})), "bmp");
  CHECK(image == picture(1, 2, 3, {6, 5, 4, 3, 2, 1}));
  CHECK(read_image(bmp(1, 0xfffffffe, 24, 0, bytes({1, 2, 3, 0, 4, 5, 6, 0})), "bmp") ==
        picture(1, 2, 3, {3, 2, 1, 6, 5, 4}));
  CHECK(read_image(bytes("P6\n# made by hand\n1 1\n255\nabc"), "pnm") == picture(1, 1, 3, {97, 98, 99}));
  CHECK(read_image(bytes("P5 1 1 65535\n") + bytes({7, 200}), "pnm") == picture(1, 1, 3, {7, 7, 7}));
  CHECK(read_image(bytes("P5 1 1 15\n") + bytes({3}), "pnm") == picture(1, 1, 3, {51, 51, 51}));
}

TEST_CASE("a second picture is ignored in a file, and refused where one alone is expected") {
  const auto refusal = [](const FileBytes& file) {
    return sentence([&] { read_image(file, "photo", {.alone = true}); });
  };
  const FileBytes pnm = bytes("P5 1 1 255\n") + bytes({7});
  for (const FileBytes& one : {grey_png(), grey_jpeg(), pnm})
    for (const FileBytes& second : {grey_png(), grey_jpeg(), pnm}) {
      CHECK(read_image(one + second, "photo") == read_image(one, "photo"));
      CHECK(contains(refusal(one + second), str_cat("a second picture begins at byte ", one.size(), " of ",
                                                    one.size() + second.size())));
    }
  // A motion photo's video, a byte too many, and what a JPEG says is there.
  for (const FileBytes& rest : {bytes({0, 0, 0, 24}) + bytes("ftypmp42"), bytes("\n"), FileBytes{}})
    CHECK(refusal(grey_jpeg() + rest) == "");
  const FileBytes jpeg = grey_jpeg();
  const FileBytes announced =
      soi + segment(0xe2, bytes("MPF") + bytes({0})) + FileBytes(jpeg.begin() + 2, jpeg.end());
  CHECK(refusal(announced + jpeg) == "");
}

TEST_CASE("files that tools leave in place of a picture are named") {
  check_refused({
      {"LFS", bytes("version https://git-lfs.github.com/spec/v1\noid sha256:0\n"),
       "is a Git LFS pointer: the real file was not downloaded"},
      {"annex", bytes("/annex/objects/SHA256E-s1--0.jpg\n"), "is a git-annex pointer"},
      {"page", bytes("\n<!DOCTYPE HTML><html>"), "is a web page: the download failed or asked for a login"},
      {"AppleDouble", bytes({0, 5, 0x16, 7, 0, 2, 0, 0}), "AppleDouble"},
      {"checkpoint", bytes({0x89, 'H', 'D', 'F', 13, 10, 26, 10}), "is an HDF5 file"},
      {"gzip", bytes({0x1f, 0x8b, 8}), "compressed by gzip: unpack it first"},
  });
}

}  // namespace atrous::read_test
