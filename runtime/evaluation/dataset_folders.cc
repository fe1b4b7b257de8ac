// Layouts that are a folder of photos beside a folder of label maps.
#include <filesystem>
#include <system_error>

#include "layers/base/error.h"
#include "runtime/evaluation/dataset_classes.h"
#include "runtime/evaluation/dataset_layouts.h"

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

// NAME.png, if it is not the photo itself, and NAME.labels.png.
Files labels_for_photos(const DatasetRequest& request, const Files& photos) {
  const std::string& folder = request.options.labels;
  Files labels;
  if (!same_folder(request.root, folder)) labels = labels_in(request, folder);
  for (const auto& [stem, path] : labels_in(request, folder, beside)) {
    if (photos.contains(stem) && labels.contains(stem))
      fail(ErrorCode::malformed, path, ": ", stem, ".png is there too, and either could be meant");
    labels.emplace(stem, path);
  }
  return labels;
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
  const Files photos = photos_beside_labels(request);
  dataset.samples = pair_up(request, stems(photos), photos, request.root, labels_for_photos(request, photos),
                            request.options.labels);
  return dataset;
}

}  // namespace atrous
