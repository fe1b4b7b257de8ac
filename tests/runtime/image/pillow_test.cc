// Against Pillow and torchvision, bit for bit, on pictures that tests/python/make_images.py makes on the
// spot.
#include <doctest/doctest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "runtime/image/image_read.h"
#include "runtime/image/jpeg.h"
#include "runtime/image/label_read.h"
#include "runtime/image/npy.h"
#include "runtime/image/palette.h"
#include "runtime/image/pillow_resize.h"
#include "runtime/image/png.h"
#include "runtime/image/preprocess.h"
#include "tests/support/image_helpers.h"
#include "weights_tools/io/file.h"

namespace atrous::pillow_test {

using namespace atrous::testing;

namespace {

const std::string python = "/usr/bin/python3";

bool has_python_module(const std::string& module) {
  return std::system((python + " -c 'import " + module + "' 2>/dev/null").c_str()) == 0;
}

// A folder of its own, removed with everything in it.
struct TemporaryFolder {
  std::string path;
  TemporaryFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "atrous-images-XXXXXX").string();
    path = mkdtemp(pattern.data());
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path); }
  std::string operator/(const std::string& name) const { return path + "/" + name; }
};

void make_images(const std::string& what, const TemporaryFolder& folder, const std::string& data = "") {
  const std::string command = python + " '" + ATROUS_SOURCE_DIR + "/tests/python/make_images.py' " + what +
                              " '" + folder.path + "'" + (data.empty() ? "" : " '" + data + "'");
  REQUIRE(std::system(command.c_str()) == 0);
}

FileBytes load(const std::string& path) { return read_file(path, 1u << 30); }

Image raw_picture(const std::string& path, int width, int height, int channels) {
  const FileBytes file = load(path);
  Image image = make_image(width, height, channels);
  REQUIRE(file.size() == image.pixels.size());
  std::memcpy(image.pixels.data(), file.data(), file.size());
  return image;
}

// A line of cases.txt: verb, source file, file of expected samples, numbers.
struct Case {
  std::string verb, source, expected;
  std::vector<int> numbers;
};

std::vector<Case> cases(const TemporaryFolder& folder) {
  std::vector<Case> all;
  std::ifstream file(folder / "cases.txt");
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    Case c;
    words >> c.verb >> c.source >> c.expected;
    for (int n; words >> n;) c.numbers.push_back(n);
    all.push_back(c);
  }
  REQUIRE(!all.empty());
  return all;
}

// On average, in grey levels: inverse cosine transforms round differently, and nothing else may differ.
constexpr double closeness = 0.25;

double mean_difference(const Image& a, const Image& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.pixels.size(); ++i) sum += std::abs(a.pixels[i] - b.pixels[i]);
  return sum / static_cast<double>(a.pixels.size());
}

void check_picture(const TemporaryFolder& folder, const Case& c) {
  CAPTURE(c.source);
  CAPTURE(c.numbers);
  const Image expected = raw_picture(folder / c.expected, c.numbers[0], c.numbers[1], 3);
  const Image image = read_image_file(folder / c.source);
  if (c.verb == "resize") CHECK(resize_bilinear(image, c.numbers[0], c.numbers[1], 2) == expected);
  if (c.verb == "read") CHECK(image == expected);
  if (c.verb == "jpeg") {
    REQUIRE(image.pixels.size() == expected.pixels.size());
    CHECK(mean_difference(image, expected) < closeness);
  }
}

void check_labels(const TemporaryFolder& folder, const std::string& source, const Case& c) {
  CAPTURE(source);
  CAPTURE(c.numbers);
  const Image expected = raw_picture(folder / c.expected, c.numbers[0], c.numbers[1], 1);
  LabelMap labels = read_labels_file(source);
  if (c.verb == "nearest") labels = resize_nearest(labels, c.numbers[0], c.numbers[1]);
  CHECK(labels == LabelMap{expected.width, expected.height, expected.pixels});
}

void check_torchvision(const TemporaryFolder& folder, const Case& c) {
  CAPTURE(c.source);
  CAPTURE(c.numbers);
  const Image image = read_image_file(folder / c.source);
  if (c.verb == "rule") {
    const ResizeRule rule{c.numbers[0] ? ResizeRule::Kind::shorter_side : ResizeRule::Kind::none,
                          c.numbers[0], 0, c.numbers[1]};
    CHECK(apply(rule, image) == raw_picture(folder / c.expected, c.numbers[2], c.numbers[3], 3));
  } else {
    Tensor tensor({1, image.height, image.width, 3});
    normalise(image, {}, tensor.view());
    const FileBytes expected = load(folder / c.expected);
    REQUIRE(expected.size() == tensor.values().size_bytes());
    CHECK(std::memcmp(expected.data(), tensor.data(), expected.size()) == 0);
  }
}

// A line of awkward.tsv, see make_images.py: what Pillow made of a file, or why it did not read it.
struct Awkward {
  std::string path = {}, name = {}, refusal = {}, format = {}, upright = {}, stored = {};
  int orientation = 1;
};

std::vector<Awkward> awkward_files(const std::string& listing, const std::string& below) {
  std::vector<Awkward> all;
  std::ifstream file(listing);
  for (std::string line; std::getline(file, line);) {
    std::vector<std::string> words;
    std::istringstream in(line);
    for (std::string word; std::getline(in, word, '\t');) words.push_back(word);
    REQUIRE((words.size() == 2 || words.size() == 8));
    Awkward a{.path = words[0], .name = words[0].substr(below.size() + 1)};
    if (words.size() == 2)
      a.refusal = words[1];
    else
      a = {a.path, a.name, "", words[1], words[6], words[7], std::stoi(words[3])};
    all.push_back(a);
  }
  return all;
}

// A file that we and Pillow do not agree on: "we refuse", "Pillow refuses" or "other pixels", and a part of
// our sentence where there is one. tests/README.md says why.
struct Disagreement {
  const char *name, *outcome, *sentence;
};
const std::vector<Disagreement> disagreements{
    {"libpng/crashers/badcrc.png", "we refuse", "CRC mismatch in PNG chunk IDAT"},
    {"libpng/crashers/huge_IDAT.png", "we refuse", "truncated: 1073741823 bytes expected"},
    {"jpeg-decoder/crashtest/subtract-with-overflow.jpg", "we refuse",
     "coefficient 6 of component 1 out of turn"},
    {"pillow/hopper_bad_exif.jpg", "we refuse", "AC coefficient of 370"},
    {"jpeg-decoder/reftest/mjpeg.jpg", "we refuse", "undefined Huffman tables"},
    {"libjpeg-turbo/testimgari.jpg", "we refuse", "arithmetic-coded JPEG is not supported"},
    {"libpng/crashers/empty_ancillary_chunks.png", "Pillow refuses", ""},
    {"pillow/exif_imagemagick_orientation.png", "other pixels", ""},
    {"pillow/xmp_tags_orientation.png", "other pixels", ""},
    {"jpeg-decoder/reftest/partial_progressive.jpg", "we refuse", "coefficient 1 of component 3 out of turn"},
};

// PNG to the bit, JPEG but for rounding.
bool agrees(const Image& image, const FileBytes& expected, const std::string& format) {
  if (image.pixels.size() != expected.size()) return false;
  if (format != "JPEG") return std::memcmp(image.pixels.data(), expected.data(), expected.size()) == 0;
  Image other = image;
  std::memcpy(other.pixels.data(), expected.data(), expected.size());
  return mean_difference(image, other) < closeness;
}

// How we and Pillow differ on a file; empty where we do not. `said` is our refusal.
std::string outcome_of(const TemporaryFolder& folder, const Awkward& file, std::string& said) {
  Image upright;
  said = sentence([&] { upright = read_image_file(file.path); });
  if (!said.empty()) return file.refusal.empty() ? "we refuse" : "";
  if (!file.refusal.empty()) return "Pillow refuses";
  if (!agrees(upright, load(folder / file.upright), file.format)) return "other pixels";
  const bool same = file.orientation == 1 || agrees(read_image_file(file.path, {.exif = false}),
                                                    load(folder / file.stored), file.format);
  return same ? "" : "other pixels";
}

}  // namespace

TEST_CASE("pictures are read and resized to the bit as Pillow does it") {
  if (!has_python_module("PIL, numpy")) {
    std::puts("skipped: python3-pil is not installed");
    return;
  }
  const TemporaryFolder folder;
  make_images("pictures", folder);
  for (const Case& c : cases(folder)) check_picture(folder, c);
}

#if ATROUS_HAS_WEBP
TEST_CASE("WebP photos are read to the bit as Pillow reads them, and no file cut short is") {
  if (!has_python_module("PIL, numpy")) {
    std::puts("skipped: python3-pil is not installed");
    return;
  }
  const TemporaryFolder folder;
  make_images("webp", folder);
  for (const Case& c : cases(folder)) {
    CAPTURE(c.source);
    CHECK(read_image_file(folder / c.source) ==
          raw_picture(folder / c.expected, c.numbers[0], c.numbers[1], 3));
    const FileBytes file = load(folder / c.source);
    for (std::size_t n = 0; n < file.size(); n += 1 + file.size() / 50)
      CHECK(contains(sentence([&] { read_image(first(file, n), "photo"); }), "photo: "));
  }
}
#endif

TEST_CASE("labels are read and resized to the bit as Pillow does it") {
  if (!has_python_module("PIL, numpy")) {
    std::puts("skipped: python3-pil is not installed");
    return;
  }
  const TemporaryFolder folder;
  make_images("labels", folder);
  for (const Case& c : cases(folder)) check_labels(folder, folder / c.source, c);
}

TEST_CASE("annotations of VOC and CamVid, and PngSuite's grey and palettes, are read as Pillow reads them") {
  const std::string data = std::string(ATROUS_SOURCE_DIR) + "/../shared/data";
  if (!std::filesystem::is_directory(data) || !has_python_module("PIL, numpy")) {
    std::puts("skipped: ../shared/data is absent, or python3-pil is not installed");
    return;
  }
  const TemporaryFolder folder;
  make_images("annotations", folder, data);
  for (const Case& c : cases(folder)) check_labels(folder, data + "/" + c.source, c);
}

TEST_CASE("photos are resized, cropped and normalised to the bit as torchvision does it") {
  if (!has_python_module("torchvision")) {
    std::puts("skipped: python3-torchvision is not installed");
    return;
  }
  const TemporaryFolder folder;
  make_images("normalise", folder);
  for (const Case& c : cases(folder)) check_torchvision(folder, c);
}

TEST_CASE("Pillow and NumPy read what we write") {
  if (!has_python_module("PIL, numpy")) {
    std::puts("skipped: python3-pil is not installed");
    return;
  }
  const TemporaryFolder folder;
  for (const int channels : {1, 3, 4}) {
    write_file(folder / str_cat("ours_noise", channels, ".png"), encode_png(noise(83, 61, channels)));
    write_file(folder / str_cat("ours_smooth", channels, ".png"),
               encode_png(resize_bilinear(noise(9, 7, channels), 83, 61)));
  }
  // Pillow's decoder is libjpeg's: of our JPEGs it makes what our own reader makes, but for rounding.
  const Image smooth = resize_bilinear(noise(9, 7, 3), 83, 61);
  for (const int quality : {30, 90, 95})
    write_file(folder / str_cat("ours_quality", quality, ".jpg"), encode_jpeg(smooth, quality));
  const Image grey = noise(83, 61, 1);
  write_file(folder / "ours_labels.png", encode_png(LabelMap{83, 61, grey.pixels}, voc_palette(256)));
  Tensor tensor({2, 3, 4, 5});
  for (std::size_t i = 0; i < tensor.values().size(); ++i) tensor.values()[i] = static_cast<float>(i);
  write_file(folder / "ours.npy", encode_npy(tensor.view()));

  make_images("decode", folder);
  for (const int channels : {1, 3, 4}) {
    CHECK(raw_picture(folder / str_cat("ours_noise", channels, ".raw"), 83, 61, channels) ==
          noise(83, 61, channels));
    CHECK(raw_picture(folder / str_cat("ours_smooth", channels, ".raw"), 83, 61, channels) ==
          resize_bilinear(noise(9, 7, channels), 83, 61));
  }
  double before = 1000;
  for (const int quality : {30, 90, 95}) {
    CAPTURE(quality);
    const Image theirs = raw_picture(folder / str_cat("ours_quality", quality, ".raw"), 83, 61, 3);
    CHECK(mean_difference(read_image_file(folder / str_cat("ours_quality", quality, ".jpg")), theirs) <
          closeness);
    const double loss = mean_difference(theirs, smooth);
    CHECK(loss < before);
    before = loss;
  }
  CHECK(before < 2);
  CHECK(raw_picture(folder / "ours_labels.raw", 83, 61, 1) == grey);  // the indices, not the colours
  const Tensor doubled = read_npy(load(folder / "again.npy"), "again.npy", 5);
  for (std::size_t i = 0; i < doubled.values().size(); ++i)
    CHECK(doubled.values()[i] == 2 * tensor.values()[i]);
}

TEST_CASE("awkward pictures are what Pillow makes of them, but for the differences that are explained") {
  const std::string awkward = ATROUS_SOURCE_DIR "/../shared/data/awkward";
  if (!has_python_module("PIL, numpy") || !std::filesystem::is_directory(awkward)) {
    std::puts("skipped: python3-pil is not installed or ../shared/data is absent");
    return;
  }
  const TemporaryFolder folder;
  make_images("awkward", folder, awkward);
  std::size_t differing = 0, pictures = 0;
  for (const Awkward& file : awkward_files(folder / "awkward.tsv", awkward)) {
    CAPTURE(file.name);
    std::string said;
    const std::string outcome = outcome_of(folder, file, said);
    const auto known =
        std::ranges::find_if(disagreements, [&](const Disagreement& d) { return file.name == d.name; });
    CAPTURE(said);
    CHECK(outcome == (known == disagreements.end() ? "" : known->outcome));
    if (known != disagreements.end()) CHECK(contains(said, known->sentence));
    differing += !outcome.empty();
    pictures += said.empty();
  }
  CHECK(differing == disagreements.size());
  CHECK(pictures == 288);
}

}  // namespace atrous::pillow_test
