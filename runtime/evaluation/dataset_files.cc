#include "runtime/evaluation/dataset_files.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <optional>
#include <system_error>

#include "layers/base/ascii.h"
#include "layers/base/error.h"
#include "runtime/evaluation/dataset_classes.h"
#include "runtime/image/image_read.h"
#include "runtime/image/label_read.h"
#include "weights_tools/io/bytes.h"
#include "weights_tools/io/clean_text.h"
#include "weights_tools/io/file.h"
#include "weights_tools/io/lines.h"

namespace atrous {

namespace {

namespace fs = std::filesystem;

constexpr std::size_t file_name_limit = 255, sample_limit = 1'000'000;
constexpr std::uint64_t list_bytes = 64u << 20;

// What is left of a file's name without suffix and extension.
std::optional<std::string> stem_of(std::string_view name, const Extensions& extensions,
                                   std::string_view suffix) {
  const std::size_t dot = name.rfind('.');
  if (name.starts_with("._")) return std::nullopt;  // what macOS keeps beside a file
  if (dot == name.npos || std::ranges::count(extensions, lower(name.substr(dot))) == 0) return std::nullopt;
  std::string_view stem = name.substr(0, dot);
  if (!stem.ends_with(suffix)) return std::nullopt;
  stem.remove_suffix(suffix.size());
  if (stem.empty()) return std::nullopt;
  return std::string(stem);
}

// Calls `use` with each name in the folder, in no order.
template <class Use>
void each_name(const DatasetRequest& request, const std::string& folder, Use use) {
  if (!is_folder(folder)) fail_missing(request, folder, "folder");
  std::error_code error;
  fs::directory_iterator entries(folder, error);
  for (std::size_t count = 0; !error && entries != fs::directory_iterator(); entries.increment(error)) {
    if (++count > 4 * sample_limit)
      fail(ErrorCode::limit, folder, ": more than ", 4 * sample_limit, " files in one folder");
    use(entries->path().filename().string());
  }
  if (error) fail(ErrorCode::io, folder, ": cannot be listed: ", error.message());
}

struct Missing {
  std::string first;
  std::size_t count = 0;
  void note(const std::string& path) {
    if (count++ == 0) first = path;
  }
};

void refuse_missing(const DatasetRequest& request, const Missing& missing, std::size_t samples,
                    std::string_view what) {
  if (missing.count == 0) return;
  fail(ErrorCode::io, printable(missing.first), ": no such ", what, "; ", missing.count, " of ", samples,
       " photos have none (", request.kind.name, ": ", request.kind.layout, ")");
}

}  // namespace

std::string DatasetRequest::set(std::string_view otherwise) const {
  if (options.set.empty()) return std::string(otherwise);
  if (!is_plain_name(options.set))
    fail(ErrorCode::invalid_argument, kind.name, ": ", printable(options.set), " is not the name of a set");
  return options.set;
}

void fail_missing(const DatasetRequest& request, const std::string& path, std::string_view what) {
  fail(ErrorCode::io, path, ": no such ", what, " (", request.kind.name, ": ", request.kind.layout, ")");
}

bool is_plain_name(std::string_view name) {
  return !name.empty() && name.size() <= file_name_limit && name != "." && name != ".." &&
         name.find_first_of("/\\") == name.npos && is_clean_text(name);
}

bool is_file(const std::string& path) {
  std::error_code ignored;
  return fs::is_regular_file(path, ignored);
}

bool is_folder(const std::string& path) {
  std::error_code ignored;
  return fs::is_directory(path, ignored);
}

std::string join(const std::string& folder, std::string_view name) {
  return (fs::path(folder) / name).string();
}

const Extensions& photo_extensions() {
  static const Extensions extensions(picture_extensions().begin(), picture_extensions().end());
  return extensions;
}

Files files_in(const DatasetRequest& request, const std::string& folder, const Extensions& extensions,
               std::string_view suffix) {
  Files files;
  each_name(request, folder, [&](const std::string& name) {
    std::optional<std::string> stem = stem_of(name, extensions, suffix);
    if (!stem) return;
    if (!is_plain_name(name))
      fail(ErrorCode::malformed, folder, ": the file name ", printable(name), " has bytes that are no text");
    if (files.size() == sample_limit)
      fail(ErrorCode::limit, folder, ": more than ", sample_limit, " pictures");
    const auto [entry, added] = files.emplace(std::move(*stem), join(folder, name));
    if (!added)
      fail(ErrorCode::malformed, folder, ": both ", fs::path(entry->second).filename().string(), " and ",
           name, " are there, and either could be meant");
  });
  return files;
}

Files labels_in(const DatasetRequest& request, const std::string& folder, std::string_view suffix) {
  Files labels = files_in(request, folder, {".png"}, suffix);
  labels.merge(files_in(request, folder, {".npy", ".bmp", ".pgm", ".ppm", ".pnm"}, suffix));
  return labels;
}

std::vector<std::string> folders_in(const DatasetRequest& request, const std::string& folder) {
  std::vector<std::string> names;
  each_name(request, folder, [&](const std::string& name) {
    if (name.starts_with('.') || !is_folder(join(folder, name))) return;
    if (!is_plain_name(name))
      fail(ErrorCode::malformed, folder, ": the folder name ", printable(name),
           " has bytes that are no text");
    names.push_back(name);
  });
  std::ranges::sort(names);
  return names;
}

std::vector<std::string> read_set(const DatasetRequest& request, const std::string& path) {
  if (!is_file(path)) fail_missing(request, path, "file");
  const std::vector<std::byte> bytes = read_file(path, list_bytes);
  std::vector<std::string> names;
  std::set<std::string_view> seen;
  each_line(as_text(bytes), path, [&](std::size_t number, std::string_view name) {
    if (!is_plain_name(name))
      fail(ErrorCode::malformed, path, ": line ", number, ": expected the name of a picture, found ",
           printable(name));
    if (!seen.insert(name).second)
      fail(ErrorCode::malformed, path, ": line ", number, ": ", name, " is listed twice");
    if (names.size() == sample_limit) fail(ErrorCode::limit, path, ": more than ", sample_limit, " pictures");
    names.emplace_back(name);
  });
  if (names.empty()) fail(ErrorCode::malformed, path, ": lists no pictures");
  return names;
}

std::vector<DatasetSample> pair_up(const DatasetRequest& request, const std::vector<std::string>& names,
                                   const Files& photos, const std::string& photo_folder, const Files& labels,
                                   const std::string& label_folder) {
  std::vector<DatasetSample> samples;
  Missing photo_missing, label_missing;
  for (const std::string& name : names) {
    const auto photo = photos.find(name), label = labels.find(name);
    if (photo == photos.end()) photo_missing.note(join(photo_folder, name + ".*"));
    if (label == labels.end()) label_missing.note(join(label_folder, name + ".png"));
    if (photo != photos.end() && label != labels.end())
      samples.push_back({name, photo->second, label->second});
  }
  refuse_missing(request, photo_missing, names.size(), "photo");
  refuse_missing(request, label_missing, names.size(), "label map");
  return samples;
}

std::vector<std::string> stems(const Files& files) {
  std::vector<std::string> names;
  for (const auto& [stem, path] : files) names.push_back(stem);
  return names;
}

std::vector<std::string> read_names_file(const std::string& path, std::size_t classes, int first) {
  const std::vector<std::byte> bytes = read_file(path, std::uint64_t{1} << 20);
  return read_class_names(as_text(bytes), path, classes, first);
}

Dataset make_dataset(const DatasetRequest& request, std::vector<std::string> classes, Palette palette) {
  Dataset dataset;
  dataset.kind = request.kind.name;
  dataset.classes = std::move(classes);
  dataset.label_colours = {
      .palette = palette, .voids = {}, .source = str_cat("the colours of ", dataset.kind)};
  dataset.palette = std::move(palette);
  dataset.ignore = void_label;
  dataset.lookup.fill(void_label);
  return dataset;
}

void map_range(Dataset& dataset, int first_raw, int count, int first_class) {
  for (int i = 0; i < count; ++i) {
    const auto raw = static_cast<std::size_t>(first_raw + i);
    dataset.lookup[raw] = static_cast<std::uint8_t>(first_class + i);
    dataset.known[raw] = true;
  }
}

void map_void(Dataset& dataset, int raw) { map_range(dataset, raw, 1, void_label); }

const LabelColours& truth_colours(const Dataset& dataset, const LabelColours& otherwise) {
  return dataset.label_colours.palette.empty() ? otherwise : dataset.label_colours;
}

LabelStep lookup_step(const Dataset& dataset) {
  return {dataset.lookup, dataset.known, "is none of " + dataset.kind};
}

ReadLabels read_truth(const Dataset& dataset, const DatasetSample& sample, const LabelColours& otherwise) {
  if (dataset.truth) return {dataset.truth(sample)};
  ReadLabels labels = read_labels_file(sample.label, truth_colours(dataset, otherwise));
  if (labels.form == LabelForm::indices)
    labels.map = apply(lookup_step(dataset), std::move(labels.map), sample.label);
  return labels;
}

}  // namespace atrous
