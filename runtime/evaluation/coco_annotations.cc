#include "runtime/evaluation/coco_annotations.h"

#include <algorithm>

#include "layers/base/error.h"

namespace atrous {

namespace {

CocoAnnotation annotation_of(const CocoRecord& record) {
  CocoAnnotation a;
  a.id = record.need(record.id, "id");
  a.image = record.need(record.image, "image_id");
  a.category = record.need(record.category, "category_id");
  a.crowd = record.crowd;
  if (!record.area) record.refuse("annotation ", a.id, " has no number area");
  a.area = *record.area;
  const std::string owner = str_cat("annotation ", a.id);
  a.box = record.coco_box(owner);
  if (record.has_mask()) a.mask = record.mask(owner);
  return a;
}

void check_ids(const std::vector<CocoAnnotation>& annotations) {
  std::vector<std::int64_t> ids;
  ids.reserve(annotations.size());
  for (const CocoAnnotation& a : annotations) ids.push_back(a.id);
  std::ranges::sort(ids);
  const auto twice = std::ranges::adjacent_find(ids);
  if (twice != ids.end()) fail(ErrorCode::malformed, "two annotations have the id ", *twice);
}

void finish(CocoAnnotations& out) {
  sort_coco_images(out.images);
  std::ranges::sort(out.categories, {}, &CocoCategory::id);
  const auto twice = std::ranges::adjacent_find(out.categories, {}, &CocoCategory::id);
  if (twice != out.categories.end()) fail(ErrorCode::malformed, "two categories have the id ", twice->id);
  check_ids(out.annotations);
  std::ranges::stable_sort(out.annotations, {}, &CocoAnnotation::image);
}

}  // namespace

CocoAnnotations read_coco_annotations(const std::string& path) try {
  CocoAnnotations out;
  out.path = path;
  const auto take = [&out](const CocoRecord& record) {
    if (record.section == "images") add_coco_image(out.images, record);
    if (record.section == "categories")
      out.categories.push_back({record.need(record.id, "id"), record.name.value_or("")});
    if (record.section == "annotations") out.annotations.push_back(annotation_of(record));
  };
  read_coco_records(path, CocoLayout::set, take, [&out] { finish(out); });
  return out;
} catch (...) {
  rethrow_as_error();
}

}  // namespace atrous
