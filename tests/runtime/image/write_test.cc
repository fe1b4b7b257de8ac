#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <limits>

#include "runtime/drawing/pictures.h"
#include "runtime/image/image_read.h"
#include "runtime/image/npy.h"
#include "runtime/image/palette.h"
#include "runtime/image/png.h"
#include "tests/support/image_helpers.h"
#include "tests/support/temporary.h"
#include "weights_tools/io/file.h"

namespace atrous::write_test {

using namespace atrous::testing;

namespace {

LabelMap labels(int width, int height, std::vector<std::uint8_t> values) {
  return {width, height, std::move(values)};
}

// A .npy of format 1.0 with the header's text as given.
FileBytes npy(std::string_view header, std::size_t data_bytes) {
  return bytes({0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, static_cast<int>(header.size() & 255),
                static_cast<int>(header.size() >> 8)}) +
         bytes(header) + FileBytes(data_bytes);
}

}  // namespace

TEST_CASE("labels written as an indexed PNG come back in the palette's colours") {
  LabelMap map = labels(64, 4, {});
  for (int i = 0; i < 256; ++i) map.labels.push_back(static_cast<std::uint8_t>(i));
  const Palette palette = voc_palette(256);
  CHECK(read_image(encode_png(map, palette), "mask") == colourise(map, palette));
}

TEST_CASE("labels without a colour are refused with both numbers") {
  const LabelMap map = labels(2, 1, {0, 21});
  for (const std::string& said : {sentence([&] { encode_png(map, voc_palette(21)); }),
                                  sentence([&] { colourise(map, voc_palette(21)); }),
                                  sentence([&] { overlay(noise(2, 1, 3), map, voc_palette(21)); })})
    CHECK(contains(said, "label 21, but the palette has 21 colours"));
  CHECK(contains(sentence([&] { encode_png(map, Palette(257)); }), "257"));
  CHECK(contains(sentence([&] { encode_png(labels(2, 2, {0}), Palette(1)); }), "needs 4 labels, found 1"));
}

TEST_CASE("the VOC palette spreads the bits of the class") {
  const Palette p = voc_palette(256);
  CHECK(p[0] == Colour{0, 0, 0});
  CHECK(p[1] == Colour{128, 0, 0});
  CHECK(p[15] == Colour{192, 128, 128});
  CHECK(p[20] == Colour{0, 64, 128});
  CHECK(p[255] == Colour{224, 224, 192});
  CHECK(voc_classes().size() == 21);
  CHECK(voc_classes()[20] == "tvmonitor");
  CHECK(contains(sentence([] { voc_palette(257); }), "257"));
}

TEST_CASE("the hub palette multiplies the class modulo 255") {
  const Palette p = hub_palette(21);
  CHECK(p[0] == Colour{0, 0, 0});
  CHECK(p[1] == Colour{1, 127, 31});
  CHECK(p[20] == Colour{20, 245, 110});
}

TEST_CASE("a palette file holds numbers or hex, names and comments") {
  const Palette p =
      read_palette("# colours\n0 0 0 background\r\n\n#ff8000 cat\n#\n  1\t2 255", "colours.txt");
  CHECK(p == Palette{{0, 0, 0}, {255, 128, 0}, {1, 2, 255}});
  for (const char* bad : {"1 2", "1 2 256", "1 2 -3", "red", "#ff80", "#ff800g", "1 2 3.5", "#comment"}) {
    CAPTURE(bad);
    CHECK(contains(sentence([&] { read_palette(std::string("0 0 0\n") + bad, "colours.txt"); }),
                   "colours.txt: line 2"));
  }
  CHECK(contains(sentence([] { read_palette("# none\n", "colours.txt"); }), "no colour"));
  std::string many;
  for (int i = 0; i < 257; ++i) many += "1 2 3\n";
  CHECK(contains(sentence([&] { read_palette(many, "colours.txt"); }), "line 257: more than 256"));
}

TEST_CASE("a tensor written as .npy comes back, and its channels are planes in the file") {
  Tensor tensor({2, 3, 5, 3});
  for (std::size_t i = 0; i < tensor.values().size(); ++i) tensor.values()[i] = static_cast<float>(i);
  const FileBytes file = encode_npy(tensor.view());
  CHECK(file.size() == 128 + 90 * 4);
  float second = 0;
  std::memcpy(&second, file.data() + 128 + 4, 4);
  CHECK(second == 3.f);  // the second pixel's first channel
  const Tensor back = read_npy(file, "logits.npy");
  CHECK(back.shape() == tensor.shape());
  CHECK(std::ranges::equal(back.values(), tensor.values()));
  const Tensor slice = read_npy(encode_npy(channels(tensor.view(), 1, 2)), "slice.npy", 2);
  CHECK(slice.view().at(1, 2, 4, 1) == tensor.view().at(1, 2, 4, 2));
}

TEST_CASE("a .npy file is read into its place, in pieces, whatever the pixels' pitch") {
  const testing::TemporaryFolder folder;
  for (const Shape shape :
       {Shape{2, 3, 4, 3}, Shape{1, 130, 140, 3}, Shape{2, 3, 5, 1}, Shape{1, 20, 30, 210}}) {
    CAPTURE(shape);
    Tensor tensor(shape), wide = Tensor::zeros({shape.n, shape.h, shape.w, shape.c + 2});
    for (std::size_t i = 0; i < tensor.values().size(); ++i) tensor.values()[i] = static_cast<float>(i);
    const std::string path = folder / "input.npy";
    write_file(path, encode_npy(tensor.view()));
    const InputFile file(path);
    CHECK(is_npy(file));
    const NpyInput input(file, 0);
    REQUIRE(input.shape() == shape);
    Tensor dense(shape);
    input.read(dense.view());
    CHECK(std::ranges::equal(dense.values(), tensor.values()));
    const View slice = channels(wide.view(), 1, shape.c);
    input.read(slice);
    bool same = true;
    for (std::int64_t p = 0; p < shape.pixels(); ++p)
      same = same && std::equal(slice.data + p * slice.pitch, slice.data + p * slice.pitch + shape.c,
                                tensor.data() + p * shape.c);
    CHECK(same);
    CHECK(wide.values().front() == 0);
    CHECK(wide.values().back() == 0);
    CHECK(sentence([&] { input.read(channels(wide.view(), 0, shape.c + 1)); }).starts_with(path));
    std::filesystem::resize_file(path, file.size() - 4);
    CHECK(sentence([&] { input.read(dense.view()); }).find("ended at byte") != std::string::npos);
    CHECK(sentence([&] { NpyInput(InputFile(path), 0); }).find("bytes of data, found") != std::string::npos);
  }
  write_file(folder / "short", bytes("\x93NU"));
  CHECK(!is_npy(InputFile(folder / "short")));
}

TEST_CASE("a .npy that is not N x 3 x H x W of floats is refused with both sides") {
  struct Bad {
    FileBytes file;
    const char* sentence;
  };
  const std::string good = "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 3, 2, 2), }\n";
  const std::string order = "{'descr': '<f4', 'fortran_order': True, 'shape': (1, 3, 2, 2), }";
  CHECK(sentence([&] { read_npy(npy(good, 48), "x.npy"); }).empty());
  FileBytes version9 = npy(good, 48);
  version9[6] = std::byte{9};
  const std::vector<Bad> table{
      {bytes("hello, this is text"), "not a .npy"},
      {first(npy(good, 48), 20), "truncated"},
      {version9, "format 9.0"},
      {npy(good, 47), "needs 48 bytes of data, found 47"},
      {npy(good, 52), "needs 48 bytes of data, found 52"},
      {npy(order, 48), "Fortran"},
      {npy("{'descr': '<f8', 'fortran_order': False, 'shape': (1, 3, 2, 2)}", 96), "'<f4', found '<f8'"},
      {npy("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2, 2)}", 48), "found 3: (3, 2, 2)"},
      {npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1, 4, 2, 2)}", 64),
       "expected 3 channels, found 4"},
      {npy("{'descr': '<f4', 'fortran_order': False, 'shape': (0, 3, 2, 2)}", 0),
       "(0, 3, 2, 2) has no values"},
      {npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1, 3, 0, 9999999999)}", 0), "has no values"},
      {npy("{'descr': '<f4', 'fortran_order': False, 'shape': (01, 3, 2, 2)}", 48), "begins with 0"},
      {npy("{'descr': '\x1b[31m', 'fortran_order': False, 'shape': (1, 3, 2, 2)}", 48), "found '\\x1b[31m'"},
      {npy("{'descr': '<f4', 'fortran_order': False, 'shape': (9999999999, 3, 9999999999, 2)}", 0),
       "overflows"},
      {npy("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999, 3, 2, 2)}", 0),
       "overflows"},
      {npy("{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 3, 2, 2)}", 0), "integer"},
      {npy("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1, 3, 2, 2)}", 48), "string"},
      {npy("{'descr': '<f4', 'fortran_order': False}", 48), "missing key"},
      {npy("{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (1, 3, 2, 2)}", 48),
       "repeated key"},
      {npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1, 3, 2, 2)} x", 48), "after the dictionary"},
      {npy("{'descr': '<f4", 0), "string"},
      {npy("", 0), "'{'"},
  };
  for (const Bad& bad : table) {
    CAPTURE(bad.sentence);
    const std::string said = sentence([&] { read_npy(bad.file, "x.npy"); });
    CHECK_MESSAGE(said.starts_with("x.npy: "), said);
    CAPTURE(said);
    CHECK(contains(said, bad.sentence));
  }
}

TEST_CASE("an overlay tints by class, leaves background alone and outlines inside the region") {
  const Image photo =
      picture(5, 1, 3, {100, 100, 100, 100, 100, 100, 100, 100, 100, 100, 100, 100, 100, 100, 100});
  const Palette palette{{0, 0, 0}, {200, 0, 101}};
  const LabelMap map = labels(5, 1, {0, 1, 1, 1, 1});
  CHECK(overlay(photo, map, palette, {.alpha = 0.5f, .background = 0}) ==
        picture(5, 1, 3, {100, 100, 100, 200, 0, 101, 150, 50, 101, 150, 50, 101, 150, 50, 101}));
  CHECK(overlay(photo, map, palette, {.alpha = 0.5f, .contours = false}) ==
        picture(5, 1, 3, {50, 50, 50, 150, 50, 101, 150, 50, 101, 150, 50, 101, 150, 50, 101}));
  CHECK(overlay(photo, map, palette, {.alpha = 0.5f, .background = 1}) ==
        picture(5, 1, 3, {0, 0, 0, 100, 100, 100, 100, 100, 100, 100, 100, 100, 100, 100, 100}));
  CHECK(overlay(photo, map, palette, {.alpha = 0, .contours = false}) == photo);
}

TEST_CASE("contours are two pixels wide on a photo of 801") {
  LabelMap map = labels(801, 1, std::vector<std::uint8_t>(801));
  std::fill(map.labels.begin() + 400, map.labels.end(), std::uint8_t{1});
  const Image out = overlay(make_image(801, 1, 3), map, {{0, 0, 0}, {200, 0, 0}}, {.alpha = 0});
  CHECK(out.row(0)[3 * 399] == 0);
  CHECK(out.row(0)[3 * 400] == 200);
  CHECK(out.row(0)[3 * 401] == 200);
  CHECK(out.row(0)[3 * 402] == 0);
}

TEST_CASE("a cut-out keeps nothing of the photo outside the class") {
  CHECK(cutout(picture(2, 1, 3, {1, 2, 3, 4, 5, 6}), labels(2, 1, {7, 9}), 9) ==
        picture(2, 1, 4, {0, 0, 0, 0, 4, 5, 6, 255}));
}

TEST_CASE("a photo and a label map of different sizes are refused with both") {
  for (const std::string& said : {sentence([] {
                                    overlay(noise(2, 1, 3), labels(1, 2, {0, 0}), Palette(1));
                                  }),
                                  sentence([] {
                                    cutout(noise(2, 1, 3), labels(1, 2, {0, 0}), 0);
                                  })})
    CHECK(contains(said, "the photo is 2x1, the label map 1x2"));
  CHECK(contains(sentence([] { overlay(noise(1, 1, 3), labels(1, 1, {0}), Palette(1), {.alpha = 1.5f}); }),
                 "1.5"));
  CHECK(contains(
      sentence([] { overlay(noise(1, 1, 3), labels(1, 1, {0}), Palette(1), {.alpha = std::nanf("")}); }),
      "alpha"));
}

TEST_CASE("confidence becomes grey, clamped") {
  const float values[]{0.f, 0.5f, 1.f, 2.f, -1.f, std::numeric_limits<float>::quiet_NaN()};
  CHECK(confidence_picture(values, 6, 1) == picture(6, 1, 1, {0, 128, 255, 255, 0, 0}));
  CHECK(contains(sentence([&] { confidence_picture(values, 2, 2); }), "needs 4 values, found 6"));
}

}  // namespace atrous::write_test
