// Which room may include which: the arrows of README.md's "To read", as a table. Every #include of the
// sources is looked at, so a cycle or a short cut fails here.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "doctest/doctest.h"

namespace atrous::house_test {

namespace {

namespace fs = std::filesystem;

// A folder and those it may include beside itself. A folder stands for all below it that have no row of their
// own; the most special row holds.
struct Room {
  std::string_view folder;
  std::vector<std::string_view> may_include;
};

const std::vector<Room>& rooms() {
  static const std::vector<Room> table{
      {"layers/base", {}},
      {"layers/ops", {"layers/base"}},
      {"layers/graph", {"layers/base", "layers/ops"}},
      {"layers/networks/backbones", {"layers/base", "layers/ops", "layers/graph"}},
      {"layers/networks", {"layers/base", "layers/ops", "layers/graph", "layers/networks/backbones"}},
      {"layers/cpu/tiles", {"layers/base", "layers/ops", "layers/cpu"}},
      {"layers/cpu/maps", {"layers/base", "layers/ops", "layers/graph", "layers/cpu", "layers/cpu/tiles"}},
      {"layers/cpu/conv", {"layers/base", "layers/ops", "layers/graph", "layers/cpu", "layers/cpu/tiles"}},
      {"layers/cpu/eigen", {"layers/base", "layers/ops", "layers/graph", "layers/cpu"}},
      {"layers/cpu",
       {"layers/base", "layers/ops", "layers/graph", "layers/cpu/tiles", "layers/cpu/maps", "layers/cpu/conv",
        "layers/cpu/eigen"}},
      {"layers/cuda", {"layers/base", "layers/ops", "layers/graph"}},
      {"weights_tools/io", {"layers/base", "layers/graph", "layers/networks"}},
      {"weights_tools/torch", {"layers/base", "layers/graph", "weights_tools/io"}},
      {"weights_tools/safetensors", {"layers/base", "layers/graph", "weights_tools/io"}},
      {"weights_tools/caffe", {"layers/base", "layers/graph", "weights_tools/io"}},
      {"weights_tools/download", {"layers/base", "layers/networks", "weights_tools/io"}},
      {"weights_tools",
       {"layers/base", "layers/graph", "layers/networks", "weights_tools/io", "weights_tools/torch",
        "weights_tools/safetensors", "weights_tools/caffe"}},
      {"runtime/image", {"layers/base", "layers/graph", "layers/cpu", "weights_tools"}},
      {"runtime/engine", {"layers", "weights_tools", "runtime/image"}},
      {"runtime/segment", {"layers", "weights_tools", "runtime/image", "runtime/engine"}},
      {"runtime/explain",
       {"layers/base", "layers/graph", "layers/ops", "layers/networks", "runtime/image", "runtime/engine"}},
      {"runtime/tiles", {"layers", "weights_tools", "runtime/image", "runtime/engine", "runtime/segment"}},
      {"runtime/instances",
       {"layers", "weights_tools/io", "runtime/image", "runtime/drawing", "runtime/engine",
        "runtime/segment"}},
      {"runtime/drawing", {"layers/base", "weights_tools", "runtime/image"}},
      {"runtime/metrics", {"layers/base", "layers/cpu", "runtime/image"}},
      {"runtime/evaluation",
       {"layers", "weights_tools", "runtime/image", "runtime/engine", "runtime/segment", "runtime/tiles",
        "runtime/instances", "runtime/metrics"}},
      {"runtime/quantisation",
       {"layers", "weights_tools", "runtime/image", "runtime/engine", "runtime/segment", "runtime/metrics"}},
      {"runtime/report",
       {"layers/base", "weights_tools", "runtime/image", "runtime/drawing", "runtime/metrics",
        "runtime/instances", "runtime/evaluation"}},
      {"runtime/c", {"layers", "weights_tools", "runtime"}},
      {"runtime/serve",
       {"layers/base", "layers/cpu", "weights_tools/io", "runtime", "cli"}},  // its main has options
      {"runtime", {"layers", "weights_tools", "runtime"}},                    // atrous.h
      {"cli", {"layers/base", "layers/cpu", "layers/networks", "weights_tools", "runtime"}},
  };
  return table;
}

bool is_within(std::string_view path, std::string_view folder) {
  return path.starts_with(folder) && (path.size() == folder.size() || path[folder.size()] == '/');
}

// The most special row that a file falls under; null for none.
const Room* room_of(std::string_view file) {
  const Room* found = nullptr;
  for (const Room& room : rooms())
    if (is_within(file, room.folder) && (!found || room.folder.size() > found->folder.size())) found = &room;
  return found;
}

// Whether a row's word covers a file: by its own room, or by a folder above that room.
bool allowed(const Room& from, std::string_view file) {
  const Room* to = room_of(file);
  if (!to) return false;
  return to == &from || std::ranges::any_of(from.may_include, [&](std::string_view folder) {
           return is_within(to->folder, folder);
         });
}

std::vector<std::string> includes_of(const fs::path& source) {
  std::ifstream in(source);
  std::vector<std::string> found;
  const std::string_view directive = "#include \"";
  for (std::string line; std::getline(in, line);)
    if (line.starts_with(directive))
      found.push_back(line.substr(directive.size(), line.rfind('"') - directive.size()));
  return found;
}

std::vector<std::string> sources() {
  std::vector<std::string> found;
  const fs::path root = ATROUS_SOURCE_DIR;
  for (const char* top : {"layers", "weights_tools", "runtime", "cli"})
    for (const auto& entry : fs::recursive_directory_iterator(root / top)) {
      const std::string extension = entry.path().extension().string();
      if (extension == ".h" || extension == ".cc" || extension == ".cu")
        found.push_back(fs::relative(entry.path(), root).generic_string());
    }
  return found;
}

}  // namespace

TEST_CASE("every #include follows the arrows between the rooms") {
  const std::vector<std::string> files = sources();
  REQUIRE(files.size() > 200);
  for (const std::string& file : files) {
    const Room* room = room_of(file);
    CHECK_MESSAGE(room, file, ": in no room of the table");
    if (!room) continue;
    for (const std::string& included : includes_of(fs::path(ATROUS_SOURCE_DIR) / file)) {
      if (!room_of(included)) continue;  // a library's header
      CHECK_MESSAGE(allowed(*room, included), file, " includes ", included, ", but ", room->folder,
                    " may not");
    }
  }
}

TEST_CASE("parallel.cc alone knows OpenMP") {
  for (const std::string& file : sources()) {
    std::ifstream in(fs::path(ATROUS_SOURCE_DIR) / file);
    bool found = false;
    for (std::string line; std::getline(in, line);)
      for (const std::string_view word : {"#pragma omp", "omp_get_", "omp_in_", "omp_set_", "<omp.h>"})
        found = found || line.find(word) != line.npos;
    CHECK_MESSAGE(found == (file == "layers/cpu/parallel.cc"), file);
  }
}

TEST_CASE("what programs may include is marked as visible to them, and nothing else is") {
  std::vector<std::string> waiting{"runtime/atrous.h", "runtime/evaluation.h", "runtime/tensors.h"};
  std::set<std::string> reachable(waiting.begin(), waiting.end());
  while (!waiting.empty()) {
    const std::string header = waiting.back();
    waiting.pop_back();
    for (const std::string& included : includes_of(fs::path(ATROUS_SOURCE_DIR) / header))
      if (room_of(included) && reachable.insert(included).second) waiting.push_back(included);
  }
  REQUIRE(reachable.size() > 50);
  for (const std::string& file : sources()) {
    std::ifstream in(fs::path(ATROUS_SOURCE_DIR) / file);
    bool marked = false, declares = false;
    for (std::string line; std::getline(in, line);) {
      marked = marked || line.starts_with("namespace ATROUS_PUBLIC atrous {");
      declares = declares || marked || line.starts_with("namespace atrous");
    }
    CHECK_MESSAGE(marked == (declares && reachable.contains(file)), file);
  }
}

TEST_CASE("an arrow that points the wrong way is seen") {
  CHECK_FALSE(allowed(*room_of("layers/base/tensor.h"), "layers/ops/conv2d.h"));
  CHECK_FALSE(allowed(*room_of("runtime/image/png.cc"), "runtime/engine/session.h"));
  CHECK_FALSE(allowed(*room_of("runtime/evaluation/evaluate.h"), "runtime/report/report.h"));
  CHECK(allowed(*room_of("runtime/report/report.cc"), "runtime/evaluation/evaluation.h"));
  CHECK(room_of("hwy/highway.h") == nullptr);
}

}  // namespace atrous::house_test
