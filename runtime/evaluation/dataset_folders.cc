// Layouts that are a folder of photos beside a folder of label maps.
#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>

#include "layers/base/ascii.h"
#include "layers/base/error.h"
#include "runtime/evaluation/dataset_classes.h"
#include "runtime/evaluation/dataset_layouts.h"
#include "runtime/image/class_table.h"

namespace atrous {

namespace {

constexpr std::string_view beside = ".labels";  // NAME.labels.png lies beside NAME.png

void pair_folders(const DatasetRequest& request, const std::string& photos, const std::string& labels,
                  Dataset& dataset) {
  const Files photo_files = files_in(request, photos, photo_extensions());
  dataset.samples =
      pair_up(request, stems(photo_files), photo_files, photos, labels_in(request, labels), labels);
}

std::string full_name(const std::string& set, const std::map<std::string, std::string>& names) {
  const auto found = names.find(set);
  return found == names.end() ? set : found->second;
}

// `pairs` of two files.
DatasetSample single_pair(const DatasetRequest& request) {
  const std::string& labels = request.options.labels;
  if (!is_file(labels)) fail_missing(request, labels, "file");
  return {std::filesystem::path(request.root).stem().string(), request.root, labels};
}

bool same_folder(const std::string& a, const std::string& b) {
  std::error_code ignored;
  return std::filesystem::equivalent(a, b, ignored);
}

// The photos of a folder, which may have label maps among them.
Files photos_beside_labels(const DatasetRequest& request) {
  Files photos = files_in(request, request.root, photo_extensions());
  std::erase_if(photos, [](const auto& file) { return file.first.ends_with(beside); });
  return photos;
}

// Of all label maps those called NAME.png and NAME.labels.png.
Files labels_for_photos(const DatasetRequest& request, const Files& photos, const Files& all) {
  const std::string& folder = request.options.labels;
  Files labels = all;
  for (const auto& [stem, path] : labels_in(request, folder, beside)) {
    if (photos.contains(stem) && labels.contains(stem))
      fail(ErrorCode::malformed, path, ": ", stem, ".png is there too, and either could be meant");
    labels.emplace(stem, path);
  }
  return labels;
}

bool has_own_label(const Files& photos, const Files& labels) {
  return std::ranges::any_of(photos, [&](const auto& photo) { return labels.contains(photo.first); });
}

// What the label maps' names have behind their photos', one ending for all, which begins with a
// letter behind _, -, a dot or a space: _L of CamVid's NAME_L.png, _mask. Empty where there is none. Where
// photos and label maps lie among each other, a picture whose name ends so is no photo. The first name is a
// photo's in any case: it comes before its label map's.
std::string common_ending(const Files& photos, const Files& labels, bool among_each_other) {
  if (photos.empty()) return {};
  const std::string& first = photos.begin()->first;
  std::vector<std::string> endings;
  for (auto label = labels.upper_bound(first); label != labels.end() && label->first.starts_with(first);
       ++label)
    if (std::string ending = label->first.substr(first.size());
        ending.size() > 1 && ending.find_first_of("_-. ") == 0 && is_letter(ending[1]))
      endings.push_back(std::move(ending));
  for (const auto& [stem, path] : photos)
    std::erase_if(endings, [&, name = stem](const std::string& ending) {
      return !(among_each_other && name.ends_with(ending)) && !labels.contains(name + ending);
    });
  if (endings.size() > 1)
    fail(ErrorCode::malformed, labels.at(first + endings[0]), ": ",
         std::filesystem::path(labels.at(first + endings[1])).filename().string(),
         " is there too, and either could be the label map of ", photos.at(first));
  return endings.empty() ? std::string() : endings.front();
}

// The photos, and each one's label map under its name.
struct Paired {
  Files photos, labels;
};

Paired pair_by_ending(const Files& pictures, const Files& labels, const std::string& ending) {
  Paired paired;
  for (const auto& [stem, path] : pictures) {
    const auto label = labels.find(stem + ending);
    if (label == labels.end()) continue;  // a label map among the photos
    paired.photos.emplace(stem, path);
    paired.labels.emplace(stem, label->second);
  }
  return paired;
}

Paired pair_in_folders(const DatasetRequest& request) {
  const bool same = same_folder(request.root, request.options.labels);
  Paired paired{.photos = photos_beside_labels(request), .labels = {}};
  const Files labels = labels_in(request, request.options.labels);
  paired.labels = labels_for_photos(request, paired.photos, same ? Files() : labels);
  if (has_own_label(paired.photos, paired.labels)) return paired;
  const std::string ending = common_ending(paired.photos, labels, same);
  return ending.empty() ? paired : pair_by_ending(paired.photos, labels, ending);
}

}  // namespace

Dataset open_camvid(const DatasetRequest& request) {
  Dataset dataset = make_dataset(request, camvid_classes(), camvid_palette());
  dataset.set = request.set();
  map_range(dataset, 0, static_cast<int>(dataset.classes.size()), 0);
  map_void(dataset, 11);
  dataset.label_colours.voids = {Colour{0, 0, 0}};
  const std::string photos = join(request.root, dataset.set);
  pair_folders(request, photos, photos + "annot", dataset);
  return dataset;
}

Dataset open_ade20k(const DatasetRequest& request) {
  constexpr std::size_t classes = 150;
  const std::string list = join(request.root, "objectInfo150.txt");
  Dataset dataset =
      make_dataset(request, is_file(list) ? read_names_file(list, classes, 1) : unnamed_classes(classes));
  dataset.set = full_name(request.set(), {{"val", "validation"}, {"train", "training"}});
  map_void(dataset, 0);
  map_range(dataset, 1, classes, 0);
  pair_folders(request, join(join(request.root, "images"), dataset.set),
               join(join(request.root, "annotations"), dataset.set), dataset);
  return dataset;
}

Dataset open_coco_stuff(const DatasetRequest& request) {
  constexpr std::size_t classes = 182;
  const std::string list = join(request.root, "labels.txt");
  // The list begins with "0: unlabeled", so that it counts one further than the pixels do.
  Dataset dataset =
      make_dataset(request, is_file(list) ? read_names_file(list, classes, 1) : unnamed_classes(classes));
  dataset.set = full_name(request.set(), {{"val", "val2017"}, {"train", "train2017"}});
  map_range(dataset, 0, classes, 0);
  map_void(dataset, 255);
  // The archive of label maps unpacks as stuffthingmaps or straight into annotations.
  const std::string own = join(join(request.root, "stuffthingmaps"), dataset.set);
  const std::string labels = is_folder(own) ? own : join(join(request.root, "annotations"), dataset.set);
  pair_folders(request, join(join(request.root, "images"), dataset.set), labels, dataset);
  return dataset;
}

Dataset open_pairs(const DatasetRequest& request) {
  if (request.options.labels.empty())
    fail(ErrorCode::invalid_argument, request.root, ": pairs need two paths, photos and label maps");
  Dataset dataset = make_dataset(request, {});
  map_range(dataset, 0, 255, 0);
  map_void(dataset, 255);
  if (is_file(request.root)) {
    dataset.samples.push_back(single_pair(request));
    return dataset;
  }
  const Paired paired = pair_in_folders(request);
  dataset.samples = pair_up(request, stems(paired.photos), paired.photos, request.root, paired.labels,
                            request.options.labels);
  return dataset;
}

}  // namespace atrous
