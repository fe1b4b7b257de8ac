// What the tests of the command line share: the program as a process, a bench of small files for it, and the
// library's own answers to compare with.
#pragma once

#include <doctest/doctest.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/drawing/pictures.h"
#include "runtime/image/npy.h"
#include "runtime/image/png.h"
#include "tests/support/process.h"
#include "tests/support/runtime_testing.h"
#include "tests/support/temporary.h"
#include "weights_tools/io/file.h"
#include "weights_tools/safetensors/safetensors.h"

namespace atrous::cli_testing {

using namespace atrous::runtime_testing;
using testing::ProcessOptions;
using testing::ProcessResult;
using testing::TemporaryFolder;
using Arguments = std::vector<std::string>;
using Json = nlohmann::ordered_json;

// Names of files or keys, which doctest can print.
struct Names : std::vector<std::string> {
  using vector::vector;
  Names(std::vector<std::string> names) : vector(std::move(names)) {}
  friend std::ostream& operator<<(std::ostream& out, const Names& names) {
    for (const std::string& name : names) out << '\n' << name;
    return out;
  }
};
inline Names names_in(const std::string& folder) { return testing::names_in(folder); }

inline Arguments operator+(Arguments a, const Arguments& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

inline ProcessResult run_atrous(const Arguments& arguments, const ProcessOptions& options = {}) {
  // Another build of the program may be tested in place of the usual one.
  const char* other = std::getenv("ATROUS_CLI");
  return testing::run_process(Arguments{other ? other : ATROUS_CLI} + arguments, options);
}

inline std::string joined(const Arguments& arguments) {
  std::string out;
  for (const std::string& a : arguments) out += (out.empty() ? "" : " ") + a;
  return out;
}

// Runs and expects success: nothing on stderr.
inline std::string succeed(const Arguments& arguments, const ProcessOptions& options = {}) {
  const ProcessResult r = run_atrous(arguments, options);
  INFO(joined(arguments));
  CHECK(r.errors == "");
  REQUIRE(r.exit_code == 0);
  return r.output;
}

// Runs and expects a failure said in one line that names all of `parts`; returns the line.
inline std::string refuse(int exit_code, const Arguments& arguments, const std::vector<std::string>& parts,
                          const ProcessOptions& options = {}) {
  const ProcessResult r = run_atrous(arguments, options);
  INFO(joined(arguments));
  CAPTURE(r.errors);
  CHECK(r.exit_code == exit_code);
  CHECK(r.output == "");
  CHECK(r.errors.starts_with("atrous: error: "));
  CHECK(r.errors.find('\n') == r.errors.size() - 1);
  for (const std::string& part : parts) CHECK_MESSAGE(mentions(r.errors, part), "expected: ", part);
  return r.errors;
}

inline std::string read_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  REQUIRE_MESSAGE(file.good(), path, " is not there");
  return {std::istreambuf_iterator<char>(file), {}};
}

inline void write_text(const std::string& path, std::string_view bytes) {
  write_file(path, std::as_bytes(std::span(bytes)));
}

inline std::string text_of(const std::vector<std::byte>& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// A folder with a checkpoint of five classes and a photo in it, and the model and session to compare with.
struct Bench {
  TemporaryFolder folder;
  const std::string checkpoint = folder / "net.safetensors", dog = folder / "dog.png";
  const Image dog_photo = photo(48, 32);
  Model model = tiny_model("deeplabv3", {.aux = true, .threads = 1});
  Session session{model.program, {.threads = 1}};

  Bench() {
    write_safetensors(checkpoint, tiny_state("deeplabv3"), {});
    write_photo("dog.png", dog_photo);
  }

  std::string write_photo(std::string_view name, const Image& image) const {
    write_file(folder / name, encode_png(image));
    return folder / name;
  }
  // One thread and no resize: as quick as can be.
  Arguments segment(const Arguments& arguments) const {
    return Arguments{"segment", "-m", checkpoint, "--threads", "1", "--no-resize"} + arguments;
  }
  // What the library says of the photo.
  Segmentation expected(const SegmentOptions& options = {
                            .resize = ResizeRule{ResizeRule::Kind::none, 0, 0, 0}}) {
    return atrous::segment(session, model, dog_photo, options);
  }
  std::string overlay_png(const Image& picture, const LabelMap& labels, const Palette& palette,
                          const OverlayOptions& style = {}) const {
    return text_of(encode_png(overlay(picture, labels, palette, style)));
  }
  // The temporary files that an output goes through must be gone: nothing but these names is in the folder.
  Names names() const { return names_in(folder.path()); }
};

inline std::string labels_png(const LabelMap& map) {
  return text_of(encode_png(Image{map.width, map.height, 1, map.labels}));
}

}  // namespace atrous::cli_testing
