// What torch saves is what atrous reads, bit for bit. Skips visibly where Debian's python3-torch is not
// installed.
#include <cstdlib>
#include <iostream>
#include <iterator>
#include <sstream>

#include "tests/weights_helpers.h"
#include "weights_tools/checkpoint.h"
#include "weights_tools/safetensors.h"
#include "weights_tools/sha256.h"

using namespace atrous;
using namespace atrous::weights_testing;

namespace {

const std::string python = "/usr/bin/python3";

bool torch_is_installed() {
  return std::system((python + " -c 'import numpy, torch' 2>/dev/null").c_str()) == 0;
}

bool run_script(const std::string& arguments) {
  return std::system((python + " '" ATROUS_SOURCE_DIR "/tests/make_checkpoints.py' " + arguments).c_str()) ==
         0;
}

std::string take_line(std::string_view& rest) {
  const std::size_t end = rest.find('\n');
  REQUIRE(end != rest.npos);
  const std::string line(rest.substr(0, end));
  rest.remove_prefix(end + 1);
  return line;
}

// Compares with a .expected file, whose format is described in make_checkpoints.py.
void check_expected(const StateDict& state, std::string_view expected) {
  std::size_t index = 0;
  for (; !expected.empty(); ++index) {
    REQUIRE(index < state.size());
    const std::string& name = state.entries()[index].first;
    const StateTensor& tensor = state.entries()[index].second;
    CAPTURE(name);
    CHECK(name == take_line(expected));
    CHECK(name_of(tensor.dtype) == take_line(expected));
    std::istringstream dimensions(take_line(expected));
    CHECK(tensor.shape == std::vector<std::int64_t>(std::istream_iterator<std::int64_t>(dimensions), {}));
    const auto bytes = tensor.bytes();
    REQUIRE(bytes.size() <= expected.size());
    CHECK(as_text(bytes) == expected.substr(0, bytes.size()));
    CHECK(reinterpret_cast<std::uintptr_t>(bytes.data()) % size_of(tensor.dtype) == 0);
    expected.remove_prefix(bytes.size());
  }
  CHECK(index == state.size());
}

// The real files beside the repository, or where ATROUS_SHARED says.
std::string shared_weights() {
  const char* shared = std::getenv("ATROUS_SHARED");
  return std::string(shared ? shared : ATROUS_SOURCE_DIR "/../shared") + "/weights/";
}

}  // namespace

TEST_CASE("every flavour of torch checkpoint is read bit for bit, and written so") {
  if (!torch_is_installed()) {
    std::cout << "skipped: python3-torch is not installed\n";
    return;
  }
  const TempFolder folder;
  REQUIRE(run_script("'" + folder.path("") + "'"));
  std::size_t count = 0;
  for (const auto& item : std::filesystem::directory_iterator(folder.path(""))) {
    if (item.path().extension() != ".expected") continue;
    ++count;
    auto file = item.path();
    CAPTURE(file.stem().string());
    const auto expected = read_file(file.string(), std::uint64_t{1} << 30);
    const Checkpoint checkpoint = load_checkpoint(file.replace_extension(".pth").string());
    CHECK((checkpoint.container == Container::pth_legacy) == file.stem().string().ends_with("_legacy"));
    check_expected(checkpoint.state, as_text(expected));
    write_safetensors(file.replace_extension(".safetensors").string(), checkpoint.state, {{"format", "pt"}});
  }
  CHECK(count == 34);
  CHECK(run_script("--check '" + folder.path("") + "'"));
}

TEST_CASE("the real checkpoints beside the repository are read") {
  struct Row {
    const char *file, *sha256, *some_key;
    std::size_t tensors;
    std::vector<std::int64_t> shape;
  };
  const Row rows[] = {
      {"deeplabv3_resnet_camvid.pth",
       "2b3247808516ac6055077cac12b14060d04840c6b86313df769e9a5492380668",
       "classifier.4.weight",
       236,
       {11, 96, 1, 1}},
      {"resnet20-12fca82f.th",
       "12fca82f0bebc4135bf1f32f6e3710e61d5108578464b84fd6d7f5c1b04036c8",
       "conv1.weight",
       97,
       {16, 3, 3, 3}},
      {"resnet56-4bfd9763.th",
       "4bfd97631478d6b638d2764fd2baff3edb1d7d82252d54439343b6596b9b5367",
       "conv1.weight",
       277,
       {16, 3, 3, 3}},
      {"sinet_portrait_296.pth",
       "90e8124e67ee9f0970df3203598b467f885dfc2f0efd8b2576729ec3254a2497",
       "encoder.level1.conv.weight",
       393,
       {12, 3, 3, 3}},
  };
  if (!std::filesystem::exists(shared_weights())) {
    std::cout << "skipped: ../shared/weights is absent\n";
    return;
  }
  for (const Row& row : rows) {
    CAPTURE(std::string(row.file));
    const Checkpoint checkpoint = load_checkpoint(shared_weights() + row.file);
    CHECK(sha256_of_file(shared_weights() + row.file).starts_with(row.sha256));
    CHECK(checkpoint.state.size() == row.tensors);
    REQUIRE(checkpoint.state.find(row.some_key) != nullptr);
    CHECK(checkpoint.state.find(row.some_key)->shape == row.shape);
  }
}
