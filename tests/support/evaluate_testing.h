// What the tests of evaluation share: a small dataset on disk and a model to measure on it.
#pragma once

#include <doctest/doctest.h>

#include <atomic>
#include <string>
#include <vector>

#include "runtime/evaluation/evaluate.h"
#include "runtime/image/image_read.h"
#include "runtime/image/label_read.h"
#include "runtime/image/png.h"
#include "tests/support/runtime_testing.h"
#include "tests/support/temporary.h"
#include "weights_tools/io/file.h"

namespace atrous::evaluate_testing {

using namespace atrous::runtime_testing;
using testing::TemporaryFolder;

// Patches of the five classes, with void between them and in one corner.
inline LabelMap patches(int width, int height, unsigned seed) {
  LabelMap map{width, height, {}};
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x) {
      const unsigned patch =
          (static_cast<unsigned>(x / 7) * 31u + static_cast<unsigned>(y / 5) * 17u + seed) * 2654435761u;
      const bool is_void = x % 7 == 0 || (x > width - 9 && y < 6);
      map.labels.push_back(static_cast<std::uint8_t>(is_void ? 255u : (patch >> 13) % 5u));
    }
  return map;
}

inline void write_labels(const std::string& path, const LabelMap& map) {
  write_file(path, encode_png(Image{map.width, map.height, 1, map.labels}));
}

// FOLDER/photos and FOLDER/labels: six pairs of five sizes.
struct Pairs {
  TemporaryFolder folder;
  const Model model = tiny_model("deeplabv3");
  std::vector<std::string> names{"a", "b", "c", "d", "e", "f"};

  Pairs() {
    const int sizes[][2] = {{48, 32}, {37, 61}, {48, 32}, {70, 33}, {25, 26}, {101, 90}};
    std::filesystem::create_directory(folder / "photos");
    std::filesystem::create_directory(folder / "labels");
    for (std::size_t i = 0; i < names.size(); ++i) {
      const auto seed = static_cast<unsigned>(i + 1);
      write_file(photo_path(i), encode_png(photo(sizes[i][0], sizes[i][1], seed)));
      write_labels(label_path(i), patches(sizes[i][0], sizes[i][1], seed));
    }
  }
  std::string photo_path(std::size_t i) const { return folder / ("photos/" + names[i] + ".png"); }
  std::string label_path(std::size_t i) const { return folder / ("labels/" + names[i] + ".png"); }
  Dataset open() const {
    return open_dataset("pairs", folder / "photos", {.set = "", .labels = folder / "labels"});
  }

  // One thread and a small input: as quick as can be.
  EvaluateOptions options() const {
    EvaluateOptions o;
    o.session.threads = 1;
    o.resize = ResizeRule{.kind = ResizeRule::Kind::shorter_side, .width = 40};
    return o;
  }
};

// All numbers but the seconds.
inline void check_same(Evaluation a, Evaluation b) {
  CHECK(a.confusion == b.confusion);
  CHECK(a.scores == b.scores);
  for (Evaluation* e : {&a, &b})
    for (ImageScore& s : e->images) s.seconds = 0;
  CHECK(a.images == b.images);
  CHECK(a.failed == b.failed);
}

}  // namespace atrous::evaluate_testing
