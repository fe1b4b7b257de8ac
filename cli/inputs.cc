#include "cli/inputs.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <map>

#include "cli/cli.h"
#include "layers/base/error.h"
#include "weights_tools/io/file.h"

namespace atrous::cli {

namespace fs = std::filesystem;

namespace {

constexpr std::uint64_t most_input_bytes = 1u << 30;

bool is_picture(const fs::path& path) {
  std::string extension = path.extension().string();
  std::ranges::transform(extension, extension.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  constexpr const char* known[] = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".ppm", ".pgm", ".pnm"};
  return std::ranges::find(known, extension) != std::end(known);
}

// dog.mask.png, dog.cutout-cat.png: what an earlier run wrote into the same folder.
bool is_result(const fs::path& path) {
  const std::string kind = path.stem().extension().string();
  constexpr const char* known[] = {".mask", ".overlay", ".labels", ".sheet", ".confidence"};
  return std::ranges::find(known, kind) != std::end(known) || kind.starts_with(".cutout-");
}

std::vector<std::string> pictures_in(const std::string& folder) {
  std::vector<std::string> found;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error))
    if (is_picture(it->path()) && !is_result(it->path()) && it->is_regular_file(error))
      found.push_back(it->path().string());
  if (error) fail(ErrorCode::io, folder, ": ", error.message());
  std::ranges::sort(found);
  return found;
}

std::string stem_of(const std::string& path, const std::string& folder, bool with_extension) {
  if (path == "-") return (fs::path(folder) / "stdin").string();
  const fs::path p(path);
  const fs::path name = with_extension ? p.filename() : p.stem();
  return ((folder.empty() ? p.parent_path() : fs::path(folder)) / name).string();
}

}  // namespace

std::vector<Input> expand_inputs(const std::vector<std::string>& paths, const std::string& folder) {
  std::vector<Input> inputs;
  for (const std::string& path : paths) {
    std::error_code error;
    if (path != "-" && fs::is_directory(path, error)) {
      for (std::string& file : pictures_in(path)) inputs.push_back({std::move(file), ""});
    } else {
      inputs.push_back({path, ""});
    }
  }
  if (inputs.empty()) throw UsageError{text(paths.front(), ": no pictures in this folder")};

  std::map<std::string, int> uses;
  for (const Input& input : inputs) ++uses[stem_of(input.path, folder, false)];
  std::map<std::string, std::string> owner;
  for (Input& input : inputs) {
    input.stem = stem_of(input.path, folder, uses[stem_of(input.path, folder, false)] > 1);
    const auto [at, fresh] = owner.emplace(input.stem, input.path);
    if (!fresh)
      throw UsageError{text(at->second, " and ", input.path, " would both write ", input.stem, ".*")};
  }
  return inputs;
}

std::vector<std::byte> read_input(const std::string& path) {
  if (path != "-") return read_file(path, most_input_bytes);
  std::vector<std::byte> bytes;
  std::byte chunk[65536];
  while (const std::size_t got = std::fread(chunk, 1, sizeof chunk, stdin)) {
    if (bytes.size() + got > most_input_bytes)
      fail(ErrorCode::limit, "standard input: more than ", most_input_bytes, " bytes");
    bytes.insert(bytes.end(), chunk, chunk + got);
  }
  if (std::ferror(stdin)) fail(ErrorCode::io, "standard input: cannot be read");
  return bytes;
}

}  // namespace atrous::cli
