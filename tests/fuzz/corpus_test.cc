// The fuzz targets' seeds and what fuzzing has found (tests/fuzz/corpus), as ordinary tests without
// libFuzzer.
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <vector>

#include "tests/fuzz/targets.h"
#include "weights_tools/io/file.h"

namespace atrous::corpus_test {

namespace {

std::vector<std::filesystem::path> corpus(std::string_view target) {
  std::vector<std::filesystem::path> files;
  const auto folder = std::filesystem::path(ATROUS_SOURCE_DIR) / "tests/fuzz/corpus" / target;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) files.push_back(entry.path());
  std::ranges::sort(files);
  return files;
}

}  // namespace

TEST_CASE("every fuzz target keeps its promises on its seeds and on no bytes at all") {
  for (const fuzz::Target& target : fuzz::targets) {
    CAPTURE(target.name);
    const auto files = corpus(target.name);
    CHECK(!files.empty());
    CHECK_NOTHROW(target.run({}));
    for (const auto& file : files) {
      CAPTURE(file.filename().string());
      const auto bytes = read_file(file.string(), 1 << 20);
      CHECK_NOTHROW(target.run(bytes));
    }
  }
}

TEST_CASE("a fuzz target that finds something wrong says so") {
  CHECK_THROWS_AS(fuzz::promise(false, "two and ", 2), fuzz::BrokenPromise);
  CHECK_THROWS_AS(fuzz::may_refuse([] { fuzz::promise(false, ""); }), fuzz::BrokenPromise);
  CHECK_THROWS_AS(fuzz::may_refuse([] { throw std::bad_alloc(); }), std::bad_alloc);
  CHECK(!fuzz::may_refuse([] { fail(ErrorCode::limit, "too much"); }));
}

TEST_CASE("each program in tests/fuzz is one of the targets") {
  std::size_t programs = 0;
  for (const auto& entry : std::filesystem::directory_iterator(ATROUS_SOURCE_DIR "/tests/fuzz")) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with("fuzz_") || !name.ends_with(".cc")) continue;
    ++programs;
    CAPTURE(name);
    CHECK(std::ranges::any_of(fuzz::targets, [&](const fuzz::Target& target) {
      return name == "fuzz_" + std::string(target.name) + ".cc";
    }));
  }
  CHECK(programs == std::size(fuzz::targets));
}

}  // namespace atrous::corpus_test
