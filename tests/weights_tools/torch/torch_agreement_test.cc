// What torch saves is what atrous reads, bit for bit. Skips visibly where Debian's python3-torch is not
// installed.
#include <cstdlib>
#include <iostream>
#include <iterator>
#include <sstream>

#include "tests/support/weights_helpers.h"
#include "weights_tools/checkpoint.h"
#include "weights_tools/io/sha256.h"
#include "weights_tools/safetensors/safetensors.h"

namespace atrous::torch_agreement_test {

using namespace atrous::weights_testing;

namespace {

const std::string python = "/usr/bin/python3";

bool torch_is_installed() {
  // Looked for, not imported, which takes seconds.
  const std::string look =
      "from importlib.util import find_spec as f; exit(not (f(\"numpy\") and f(\"torch\")))";
  return std::system((python + " -c '" + look + "' 2>/dev/null").c_str()) == 0;
}

bool run_script(const std::string& arguments) {
  return std::system(
             (python + " '" ATROUS_SOURCE_DIR "/tests/python/make_checkpoints.py' " + arguments).c_str()) ==
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

// Compares with what torch reads of the files, by the SHA-256 of every tensor; returns how many there were.
std::size_t check_digests(const TempFolder& folder, const std::vector<std::string>& files) {
  std::string arguments = "--digest";
  for (const std::string& file : files) arguments += " '" + file + "'";
  const std::string listing = folder.path("digests.tsv");
  REQUIRE(run_script(arguments + " > '" + listing + "'"));
  const auto bytes = read_file(listing, std::uint64_t{1} << 30);
  std::string_view expected = as_text(bytes);
  std::size_t count = 0;
  for (const std::string& file : files) {
    CAPTURE(file);
    const Checkpoint checkpoint = load_checkpoint(file);
    for (const auto& entry : checkpoint.state.entries()) {
      const StateTensor& tensor = entry.second;
      std::string line = entry.first + '\t' + std::string(name_of(tensor.dtype)) + '\t';
      for (std::size_t i = 0; i < tensor.shape.size(); ++i)
        line += (i ? "," : "") + std::to_string(tensor.shape[i]);
      CHECK(line + '\t' + sha256_of_bytes(tensor.bytes()) == take_line(expected));
      ++count;
    }
    CHECK(take_line(expected).empty());
  }
  CHECK(expected.empty());
  return count;
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
  CHECK(count == 54);
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

TEST_CASE("every tensor of the real checkpoints is what torch reads, bit for bit") {
  if (!torch_is_installed() || !std::filesystem::exists(shared_weights())) {
    std::cout << "skipped: python3-torch is not installed or ../shared/weights is absent\n";
    return;
  }
  const TempFolder folder;
  const std::string at = shared_weights();
  CHECK(check_digests(folder, {at + "deeplabv3_resnet_camvid.pth", at + "resnet20-12fca82f.th",
                               at + "resnet56-4bfd9763.th", at + "sinet_portrait_296.pth"}) == 1003);
}

// Containers that torch reads and no longer writes.
TEST_CASE("old checkpoints, with views of storages and tensors without hooks, are what torch reads of them") {
  if (!torch_is_installed()) {
    std::cout << "skipped: python3-torch is not installed\n";
    return;
  }
  const TempFolder folder;
  const Bytes ten = floats({0, 1, 2, 3, 4, 5, 6, 7, 8, 9});
  const auto view = [](const char* key, std::int64_t offset, std::int64_t elements) {
    return storage("0", 10, "FloatStorage", str(key) + num(offset) + num(elements) + "\x87");
  };
  const Bytes old = global("torch._utils", "_rebuild_tensor") + "(" + storage("0", 10, "FloatStorage", "N") +
                    num(1) + tuple({2, 2}) + tuple({1, 3}) + "tR";
  const Bytes entries = dict({{"whole", tensor(storage("0", 10, "FloatStorage", "N"), 0, {2, 5}, {5, 1})},
                              {"view", tensor(view("a", 2, 5), 0, {5}, {1})},
                              {"part of a view", tensor(view("a", 2, 5), 1, {2, 2}, {2, 1})},
                              {"another view", tensor(view("b", 9, 1), 0, {}, {})},
                              {"turned view", tensor(view("c", 4, 6), 0, {3, 2}, {1, 3})},
                              {"repeated", tensor(view("c", 4, 6), 5, {3}, {0})},
                              {"old", old}});
  const std::string views =
      folder.save("views.pth", legacy_head() + pickled(entries) + key_list({"0"}) + stored(10, ten));
  CHECK(check_digests(folder, {views}) == 7);
}

}  // namespace atrous::torch_agreement_test
