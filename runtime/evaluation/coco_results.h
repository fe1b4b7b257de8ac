// Detections in COCO's results format, a list of {image_id, category_id, score, bbox, segmentation}.
// https://cocodataset.org/#format-results
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "layers/base/public.h"
#include "runtime/instances/coco_mask.h"

namespace ATROUS_PUBLIC atrous {

struct CocoDetection {
  std::int64_t image = 0, category = 0;  // the annotations' ids
  double score = 0;
  std::optional<CocoBox> box = {};
  std::optional<CocoMask> mask = {};  // in files that COCO's tools read: runs, not polygons
};

struct CocoResults {
  std::string path;
  std::vector<CocoDetection> detections;  // as in the file: it decides between equal scores
};

// Errors begin with the path: those of read_coco_records(), Error(malformed) for results without image_id,
// category_id or score, with neither box nor mask, with boxes that are not four numbers or masks that cannot
// be, and for a list in which some have boxes and others do not.
CocoResults read_coco_results(const std::string& path);

// The file's text, numbers to the last digit, masks as compressed runs. Error(invalid_argument) for a mask of
// polygons, for runs that do not add up to the mask's size and for numbers that are not finite.
std::string coco_results_json(const CocoResults&);

}  // namespace atrous
