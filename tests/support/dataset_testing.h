// Small trees of photos and label maps, in the layouts of datasets.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/image/palette.h"
#include "runtime/image/png.h"
#include "tests/support/temporary.h"
#include "weights_tools/io/bytes.h"
#include "weights_tools/io/file.h"

namespace atrous::testing {

class DatasetTree {
 public:
  void file(const std::string& name, std::string_view content) const {
    const std::string path = folder_ / name;
    std::filesystem::create_directories(std::filesystem::path(path).parent_path());
    write_file(path, as_bytes(content));
  }
  // Nothing reads the photos here.
  void photo(const std::string& name) const { file(name, "a photo"); }
  void labels(const std::string& name, std::vector<std::uint8_t> values) const {
    const int width = static_cast<int>(values.size());
    file(name, as_text(encode_png(LabelMap{width, 1, std::move(values)}, voc_palette(256))));
  }
  void remove(const std::string& name) const { std::filesystem::remove_all(folder_ / name); }

  std::string root() const { return folder_.path(); }
  std::string operator/(std::string_view name) const { return folder_ / name; }

 private:
  TemporaryFolder folder_;
};

}  // namespace atrous::testing
