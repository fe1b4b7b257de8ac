// Over the datasets of ../shared/data, which are not part of the project, against Pillow.
#include <doctest/doctest.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "layers/base/error.h"
#include "runtime/evaluation/dataset.h"
#include "tests/support/temporary.h"

namespace atrous::dataset_data_test {

using namespace atrous::testing;

namespace {

const std::string data_folder = ATROUS_SOURCE_DIR "/../shared/data/";

bool can_run() {
  if (!std::filesystem::is_directory(data_folder)) std::puts("skipped: ../shared/data is absent");
  const bool has_pillow = std::system("/usr/bin/python3 -c 'import PIL, numpy' 2>/dev/null") == 0;
  if (!has_pillow) std::puts("skipped: python3-pil is not installed");
  return std::filesystem::is_directory(data_folder) && has_pillow;
}

// The lines of tests/python/sum_labels.py.
std::vector<std::string> pillows(const std::string& folder, int void_label) {
  const TemporaryFolder temporary;
  const std::string out = temporary / "sums.txt";
  const std::string command =
      str_cat("/usr/bin/python3 '", ATROUS_SOURCE_DIR, "/tests/python/sum_labels.py' '", data_folder, folder,
              "' ", void_label, " > '", out, "'");
  REQUIRE(std::system(command.c_str()) == 0);
  std::vector<std::string> lines;
  std::ifstream file(out);
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}

std::vector<std::string> ours(const Dataset& dataset) {
  std::vector<std::string> lines;
  for (const DatasetSample& sample : dataset.samples) {
    const LabelMap map = read_truth(dataset, sample).map;
    std::int64_t sum = 0;
    for (std::size_t i = 0; i < map.labels.size(); ++i)
      sum += (map.labels[i] + 1) * static_cast<std::int64_t>(i % 65521);
    lines.push_back(str_cat(sample.name, " ", map.width, " ", map.height, " ", sum));
  }
  return lines;
}

void check_dataset(const Dataset& dataset, std::size_t samples, const std::string& labels, int void_label) {
  CHECK(dataset.samples.size() == samples);
  for (const DatasetSample& sample : dataset.samples) CHECK(std::filesystem::exists(sample.photo));
  CHECK(ours(dataset) == pillows(labels, void_label));
}

}  // namespace

TEST_CASE("117 label maps of PASCAL VOC are what Pillow reads") {
  if (!can_run()) return;
  check_dataset(open_dataset("voc", data_folder + "voc"), 117, "voc/SegmentationClass", 255);
}

TEST_CASE("160 label maps of CamVid are what Pillow reads, 11 void") {
  if (!can_run()) return;
  check_dataset(open_dataset("camvid", data_folder + "camvid"), 101, "camvid/valannot", 11);
  check_dataset(open_dataset("camvid", data_folder + "camvid", {"test", ""}), 59, "camvid/testannot", 11);
}

TEST_CASE("two folders of VOC are pairs too") {
  if (!can_run()) return;
  const std::string root = data_folder + "voc/";
  check_dataset(open_dataset("pairs", root + "JPEGImages", {"", root + "SegmentationClass"}), 117,
                "voc/SegmentationClass", 255);
}

}  // namespace atrous::dataset_data_test
