// PASCAL VOC's development kit.
#include "layers/error.h"
#include "runtime/dataset_layouts.h"
#include "runtime/palette.h"

namespace atrous {

namespace {

// ROOT itself, or the year's folder in it.
std::string find_kit(const DatasetRequest& request, std::string_view year) {
  const std::string inside = join(request.root, year);
  const std::string archive = join(join(request.root, "VOCdevkit"), year);
  for (const std::string& folder : {request.root, inside, archive})
    if (is_folder(join(folder, "JPEGImages"))) return folder;
  fail_missing(request, join(request.root, "JPEGImages"), "folder");
}

// The pictures of a set; without a list, all that have a label map.
std::vector<std::string> names_of(const DatasetRequest& request, const std::string& lists,
                                  const Files& labels, std::string& set) {
  if (!is_folder(lists) && request.options.set.empty()) return stems(labels);
  set = request.set();
  return read_set(request, join(lists, set + ".txt"));
}

void open_kit(const DatasetRequest& request, const std::string& kit, std::string_view label_folder,
              std::string_view list_folder, Dataset& dataset) {
  const std::string photo_folder = join(kit, "JPEGImages"), labels_path = join(kit, label_folder);
  const Files photos = files_in(request, photo_folder, photo_extensions());
  const Files labels = files_in(request, labels_path, label_extensions());
  const std::string lists = join(join(kit, "ImageSets"), list_folder);
  const std::vector<std::string> names = names_of(request, lists, labels, dataset.set);
  dataset.samples = pair_up(request, names, photos, photo_folder, labels, labels_path);
}

}  // namespace

Dataset open_voc(const DatasetRequest& request) {
  const std::vector<std::string> classes = voc_classes();
  const int count = static_cast<int>(classes.size());
  Dataset dataset = make_dataset(request, classes, voc_palette(count));
  map_range(dataset, 0, count, 0);
  map_void(dataset, 255);
  open_kit(request, find_kit(request, "VOC2012"), "SegmentationClass", "Segmentation", dataset);
  return dataset;
}

}  // namespace atrous
