// Over the photos and awkward files of ../shared/data, which are not part of the project.
#include <doctest/doctest.h>

#include <cstdio>
#include <filesystem>

#include "runtime/image/image_read.h"
#include "runtime/image/label_read.h"
#include "runtime/image/png.h"
#include "tests/support/image_helpers.h"

namespace atrous::data_test {

using namespace atrous::testing;

namespace {

const std::filesystem::path data_folder = std::filesystem::path(ATROUS_SOURCE_DIR) / "../shared/data";

std::vector<std::string> files_under(const std::string& folder) {
  std::vector<std::string> files;
  if (!std::filesystem::is_directory(data_folder / folder)) {
    std::puts("skipped: ../shared/data is absent");
    return files;
  }
  for (const auto& entry : std::filesystem::recursive_directory_iterator(data_folder / folder))
    if (entry.is_regular_file()) files.push_back(entry.path().string());
  return files;
}

}  // namespace

TEST_CASE("every photo is read, and survives a PNG of ours") {
  for (const std::string& path : files_under("photos")) {
    if (path.ends_with(".tsv")) continue;
    CAPTURE(path);
    const Image photo = read_image_file(path);
    CHECK(photo.channels == 3);
    CHECK(read_image(encode_png(photo), path) == photo);
  }
}

TEST_CASE("every awkward file is read or refused in one sentence that names it") {
  for (const std::string& path : files_under("awkward")) {
    CAPTURE(path);
    const std::string said = sentence([&] { check(read_image_file(path), path); });
    CHECK((said.empty() || said.starts_with(path + ": ")));
    CHECK(!contains(said, "\n"));
    const std::string as_labels = sentence([&] { check(read_labels_file(path), path); });
    CHECK((as_labels.empty() || as_labels.starts_with(path + ": ")));
    CHECK(!contains(as_labels, "\n"));
  }
}

TEST_CASE("EXIF examples come out as their names say: landscape or portrait") {
  const std::vector<std::string> files = files_under("awkward/exif");
  for (const std::string& path : files) {
    const std::string name = std::filesystem::path(path).filename().string();
    const Image photo = read_image_file(path);
    CAPTURE(path);
    CHECK((name.starts_with("Landscape") ? photo.width > photo.height : photo.width < photo.height));
  }
}

TEST_CASE("PNGs that PngSuite calls corrupt are refused") {
  for (const std::string& path : files_under("awkward/pngsuite/corrupt")) {
    CAPTURE(path);
    CHECK(!sentence([&] { read_image_file(path); }).empty());
  }
}

}  // namespace atrous::data_test
