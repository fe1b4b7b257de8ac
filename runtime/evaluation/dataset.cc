#include "runtime/evaluation/dataset.h"

#include <algorithm>
#include <set>

#include "layers/base/error.h"
#include "runtime/evaluation/class_dict.h"
#include "runtime/evaluation/dataset_layouts.h"
#include "weights_tools/io/clean_text.h"

namespace atrous {

namespace {

constexpr DatasetKind kinds[]{
    {"voc", "JPEGImages/*.jpg, SegmentationClass/*.png, ImageSets/Segmentation/SET.txt"},
    {"pascal-context",
     "JPEGImages/*.jpg, SegmentationClassContext/*.png, ImageSets/SegmentationContext/SET.txt, "
     "59_labels.txt"},
    {"pascal-context-60",
     "JPEGImages/*.jpg, SegmentationClassContext/*.png, ImageSets/SegmentationContext/SET.txt, "
     "59_labels.txt"},
    {"camvid", "SET/*.png, SETannot/*.png"},
    {"cityscapes", "leftImg8bit/SET/CITY/*_leftImg8bit.png, gtFine/SET/CITY/*_gtFine_labelIds.png"},
    {"ade20k", "images/validation/*.jpg, annotations/validation/*.png, objectInfo150.txt"},
    {"coco-stuff", "images/SET2017/*.jpg, annotations or stuffthingmaps/SET2017/*.png, labels.txt"},
    {"coco-voc", "annotations/instances_SET2017.json, SET2017/*.jpg or images/SET2017/*.jpg"},
    {"pairs",
     "photos in one folder, label maps NAME.png, or with one ending for all (NAME_L.png), in another or the "
     "same"},
};
constexpr Dataset (*openers[])(const DatasetRequest&){
    open_voc,    open_pascal_context, open_pascal_context_60, open_camvid, open_cityscapes,
    open_ade20k, open_coco_stuff,     open_coco_voc,          open_pairs,
};
static_assert(std::size(kinds) == std::size(openers));

std::string kind_names() {
  std::string names;
  for (const DatasetKind& kind : kinds) names += (names.empty() ? "" : ", ") + std::string(kind.name);
  return names;
}

// Results are filed under the names.
void refuse_repeated_names(const Dataset& dataset, const std::string& root) {
  std::set<std::string_view> seen;
  for (const DatasetSample& sample : dataset.samples)
    if (!seen.insert(sample.name).second)
      fail(ErrorCode::malformed, root, ": two pictures are named ", printable(sample.name));
}

// Labels that are colours, by the palette asked for or found.
void take_label_palette(const DatasetOptions& options, Dataset& dataset) {
  std::string path = options.label_palette;
  const bool pairs = dataset.classes.empty();
  if (path.empty() && pairs && options.find_class_dict && holds_colours(dataset.samples.front().label))
    path = find_class_dict({dataset.samples.front().label, dataset.samples.front().photo});
  if (path.empty()) return;
  ClassDict dict = read_label_palette(path);
  dataset.label_colours = {.palette = dict.palette, .source = path, .of_labels = true};
  if (!pairs) {
    if (dict.palette.size() != dataset.classes.size())
      fail(ErrorCode::mismatch, path, ": expected ", dataset.classes.size(),
           " colours, one for each class of ", dataset.kind, ", found ", dict.palette.size());
    return;
  }
  dataset.lookup.fill(void_label);
  dataset.known.fill(false);
  map_range(dataset, 0, static_cast<int>(dict.classes.size()), 0);
  map_void(dataset, void_label);
  dataset.classes = std::move(dict.classes);
  dataset.palette = std::move(dict.palette);
}

}  // namespace

std::span<const DatasetKind> dataset_kinds() { return kinds; }

Dataset open_dataset(std::string_view kind, const std::string& root, const DatasetOptions& options) try {
  const auto found = std::ranges::find(kinds, kind, &DatasetKind::name);
  if (found == std::end(kinds))
    fail(ErrorCode::invalid_argument, "no kind of dataset is called ", printable(kind), "; there are ",
         kind_names());
  const DatasetRequest request{*found, root, options};
  Dataset dataset = openers[found - std::begin(kinds)](request);
  if (dataset.samples.empty())
    fail(ErrorCode::malformed, root, ": no photos (", found->name, ": ", found->layout, ")");
  refuse_repeated_names(dataset, root);
  take_label_palette(options, dataset);
  return dataset;
} catch (...) {
  rethrow_as_error();
}

std::string described(const Dataset& dataset, std::size_t listed) try {
  const std::string set = dataset.set.empty() ? "" : ", " + dataset.set;
  const std::string first =
      dataset.samples.size() < listed ? str_cat("first ", dataset.samples.size(), " of ") : "";
  return str_cat(dataset.kind, set, ": ", first, listed, " images");
} catch (...) {
  rethrow_as_error();
}

}  // namespace atrous
