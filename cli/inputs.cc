#include "cli/inputs.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <map>

#include "cli/cli.h"
#include "layers/base/ascii.h"
#include "layers/base/error.h"
#include "layers/base/visible_text.h"
#include "runtime/image/image_read.h"
#include "runtime/image/npy.h"
#include "weights_tools/io/file.h"

namespace atrous::cli {

namespace fs = std::filesystem;

namespace {

constexpr std::uint64_t most_input_bytes = 1u << 30;

std::string extension_of(const fs::path& path) { return lower(path.extension().string()); }

bool is_picture(const fs::path& path) {
  return std::ranges::count(picture_extensions(), extension_of(path)) != 0;
}

// What people call photos and videos that atrous does not read, by extension; empty for other files.
std::string_view unread_kind(const fs::path& path) {
  constexpr std::pair<std::string_view, std::string_view> kinds[] = {
      {".webp", "WebP file"},   {".tif", "TIFF file"},      {".tiff", "TIFF file"},
      {".gif", "GIF file"},     {".heic", "HEIC file"},     {".heif", "HEIC file"},
      {".avif", "AVIF file"},   {".jp2", "JPEG 2000 file"}, {".j2k", "JPEG 2000 file"},
      {".jxl", "JPEG XL file"}, {".svg", "SVG file"},       {".psd", "Photoshop file"},
      {".exr", "OpenEXR file"}, {".hdr", "HDR file"},       {".ico", "icon"},
      {".tga", "TGA file"},     {".dng", "raw photo"},      {".cr2", "raw photo"},
      {".cr3", "raw photo"},    {".nef", "raw photo"},      {".arw", "raw photo"},
      {".raf", "raw photo"},    {".orf", "raw photo"},      {".rw2", "raw photo"},
      {".mp4", "video"},        {".mov", "video"},          {".avi", "video"},
      {".mkv", "video"},        {".webm", "video"}};
  const auto found =
      std::ranges::find(kinds, extension_of(path), &std::pair<std::string_view, std::string_view>::first);
  return found == std::end(kinds) || is_picture(path) ? std::string_view() : found->second;
}

// dog.mask.png, dog.cutout-cat.png: what an earlier run wrote into the same folder.
bool is_result(const fs::path& path) {
  const std::string kind = path.stem().extension().string();
  constexpr const char* known[] = {".mask", ".overlay", ".labels", ".sheet", ".confidence", ".layer"};
  return std::ranges::find(known, kind) != std::end(known) || kind.starts_with(".cutout-");
}

// By kind, "TIFF file", in the order in which they are said: folders first, broken links last.
using Counts = std::map<std::pair<int, std::string>, std::size_t>;

// What a folder's scan finds, and what it passes over.
struct Scan {
  bool recursive = false;
  std::vector<std::string> pictures = {};
  Counts passed_over = {};

  void pass_over(std::string_view kind) {
    const int place = kind == "folder" ? 0 : kind == "broken link" ? 2 : 1;
    ++passed_over[{place, std::string(kind)}];
  }

  void take(const fs::directory_entry& entry) {
    std::error_code error;
    const fs::path& path = entry.path();
    const std::string name = path.filename().string();
    if (name.starts_with("._") || is_result(path)) return;  // ._NAME is what macOS keeps beside NAME
    const fs::file_status status = entry.status(error);
    if (fs::is_directory(status)) {
      const bool hidden = name.starts_with('.');
      if (hidden || !recursive || entry.is_symlink(error)) {
        if (!hidden) pass_over("folder");
      } else {
        search(path.string());
      }
    } else if (!fs::exists(status)) {
      if (is_picture(path) || entry.is_symlink(error)) pass_over("broken link");
    } else if (is_picture(path)) {
      if (fs::is_regular_file(status))
        pictures.push_back(path.string());
      else
        pass_over("special file");
    } else if (const std::string_view kind = unread_kind(path); !kind.empty()) {
      pass_over(kind);
    }
  }

  void search(const std::string& folder) {
    std::error_code error;
    std::vector<fs::directory_entry> entries;
    for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error))
      entries.push_back(*it);
    if (error) fail(ErrorCode::io, folder, ": ", error.message());
    std::ranges::sort(entries, {}, [](const fs::directory_entry& e) { return e.path().string(); });
    for (const fs::directory_entry& entry : entries) take(entry);
  }
};

// "1 folder, 2 TIFF files not read", or nothing.
std::string in_words(const Counts& passed_over) {
  std::string all;
  for (const auto& [kind, count] : passed_over)
    all += str_cat(all.empty() ? "" : ", ", count, ' ', kind.second, count == 1 ? "" : "s");
  return all.empty() ? all : all + " not read";
}

// The results' name without their kind: beside the picture, or in the folder, where a picture that was found
// deeper than the folder given keeps the way to it.
std::string stem_of(const Input& input, const std::string& folder, bool with_extension) {
  if (input.path == "-") return (fs::path(folder) / "stdin").string();
  const fs::path p(input.path);
  const fs::path name = with_extension ? p.filename() : p.stem();
  return (folder.empty() ? p.parent_path() / name : fs::path(folder) / input.inside / name).string();
}

}  // namespace

Inputs expand_inputs(const std::vector<std::string>& paths, const std::string& folder, bool recursive) {
  Inputs all;
  std::vector<Input>& inputs = all.inputs;
  std::string none;  // why there are no pictures
  for (const std::string& path : paths) {
    std::error_code error;
    if (path == "-" || !fs::is_directory(path, error)) {
      inputs.push_back({path, "", ""});
      continue;
    }
    Scan scan{.recursive = recursive};
    scan.search(path);
    const std::string passed_over = in_words(scan.passed_over);
    for (std::string& file : scan.pictures) {
      const std::string inside = fs::path(file).parent_path().lexically_relative(path).string();
      inputs.push_back({std::move(file), "", inside == "." ? "" : inside});
    }
    if (!passed_over.empty()) all.passed_over.push_back(str_cat(visible(path), ": ", passed_over));
    if (none.empty())
      none =
          str_cat(path, ": no pictures in this folder", passed_over.empty() ? "" : " (" + passed_over + ")");
  }
  if (inputs.empty()) throw UsageError{none};

  std::map<std::string, int> uses;
  for (const Input& input : inputs) ++uses[stem_of(input, folder, false)];
  std::map<std::string, std::string> owner;
  for (Input& input : inputs) {
    input.stem = stem_of(input, folder, uses[stem_of(input, folder, false)] > 1);
    const auto [at, fresh] = owner.emplace(input.stem, input.path);
    if (!fresh)
      throw UsageError{str_cat(at->second, " and ", input.path, " would both write ", input.stem, ".*")};
  }
  return all;
}

void make_folder(const std::string& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) fail(ErrorCode::io, path, ": ", error.message());
}

OpenInput::OpenInput(const std::string& path) {
  if (path == "-") {
    bytes = read_input(path);
    return;
  }
  auto file = std::make_unique<const InputFile>(path);
  if (is_npy(*file) && file->size() <= most_input_bytes)
    tensor = std::move(file);
  else
    bytes = read_input(path);
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
