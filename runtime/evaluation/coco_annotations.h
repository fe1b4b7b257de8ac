// COCO's instance annotations (annotations/instances_val2017.json) as the truth that detections are measured
// against: all categories, crowds apart. https://cocodataset.org/#format-data
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "layers/base/public.h"
#include "runtime/evaluation/coco_records.h"
#include "runtime/instances/coco_mask.h"

namespace ATROUS_PUBLIC atrous {

struct CocoCategory {
  std::int64_t id = 0;
  std::string name;
};

struct CocoAnnotation {
  std::int64_t id = 0, image = 0, category = 0;  // ids of the file's
  double area = 0;                               // the file's number: decides whether small, medium or large
  bool crowd = false;
  std::optional<CocoBox> box = {};
  std::optional<CocoMask> mask = {};
};

struct CocoAnnotations {
  std::string path;
  std::vector<CocoImage> images;            // by id
  std::vector<CocoCategory> categories;     // by id
  std::vector<CocoAnnotation> annotations;  // by image, then as in the file
};

// Errors begin with the path: those of read_coco_records(), Error(malformed) for annotations without an id,
// image_id, category_id or area, for boxes that are not four numbers, for masks that cannot be, and where two
// images, categories or annotations have the same id.
CocoAnnotations read_coco_annotations(const std::string& path);

}  // namespace atrous
