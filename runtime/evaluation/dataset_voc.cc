// PASCAL VOC's development kit, and PASCAL-Context, which lies in that of 2010.
#include "layers/base/error.h"
#include "runtime/evaluation/dataset_classes.h"
#include "runtime/evaluation/dataset_layouts.h"
#include "runtime/image/palette.h"

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
  const Files labels = labels_in(request, labels_path);
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
  dataset.label_colours.voids = {voc_void_colour};
  open_kit(request, find_kit(request, "VOC2012"), "SegmentationClass", "Segmentation", dataset);
  return dataset;
}

namespace {

// Names come from the list that the 59 classes are published with, which begins at 1, or not at all: other
// tools make label maps of the same classes in another order.
Dataset open_context(const DatasetRequest& request, int first_class) {
  const std::string kit = find_kit(request, "VOC2010"), list = join(kit, "59_labels.txt");
  const int classes = 60 - first_class;
  const auto count = static_cast<std::size_t>(classes);
  std::vector<std::string> names =
      is_file(list) ? read_names_file(list, count, first_class) : unnamed_classes(count);
  if (first_class == 0) names[0] = "background";
  Dataset dataset = make_dataset(request, names);
  map_void(dataset, 0);
  map_range(dataset, first_class, classes, 0);
  open_kit(request, kit, "SegmentationClassContext", "SegmentationContext", dataset);
  return dataset;
}

}  // namespace

Dataset open_pascal_context(const DatasetRequest& request) { return open_context(request, 1); }
Dataset open_pascal_context_60(const DatasetRequest& request) { return open_context(request, 0); }

}  // namespace atrous
