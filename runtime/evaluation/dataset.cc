#include "runtime/evaluation/dataset.h"

#include <algorithm>
#include <set>

#include "layers/base/error.h"
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
    {"pairs", "photos in one folder, label maps NAME.png or NAME.labels.png in another or the same"},
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

}  // namespace

std::span<const DatasetKind> dataset_kinds() { return kinds; }

Dataset open_dataset(std::string_view kind, const std::string& root, const DatasetOptions& options) {
  const auto found = std::ranges::find(kinds, kind, &DatasetKind::name);
  if (found == std::end(kinds))
    fail(ErrorCode::invalid_argument, "no kind of dataset is called ", printable(kind), "; there are ",
         kind_names());
  const DatasetRequest request{*found, root, options};
  Dataset dataset = openers[found - std::begin(kinds)](request);
  if (dataset.samples.empty())
    fail(ErrorCode::malformed, root, ": no photos (", found->name, ": ", found->layout, ")");
  refuse_repeated_names(dataset, root);
  if (!dataset.truth) read_truth_from_labels(dataset);
  return dataset;
}

}  // namespace atrous
