// COCO's measures of detections: average precision (AP) and average recall (AR) by cocoapi's protocol, so
// that the numbers are those of pycocotools' COCOeval. https://cocodataset.org/#detection-eval
//
// - IoU thresholds 0.50, 0.55, ..., 0.95; 101 recall points 0, 0.01, ..., 1; at most 1, 10 or 100 detections
//   of a category in an image; areas in square pixels: small up to 32 * 32, medium up to 96 * 96, large
//   above, each with both its ends.
// - Detections of an image and a category are matched by descending score, equal ones in the file's order:
//   each to the truth of highest IoU that is not taken, of equal IoUs to the later truth.
// - A crowd's IoU is the share of the detection that lies in it; it may be matched any number of times, and
//   its matches count neither for nor against. So do those with truths of other areas, and detections of
//   other areas that are not matched. Truths that count go before those that do not.
// - A truth's area is the file's. A detection's is that of its box; of its mask where results have no boxes.
// - Categories without truths are left out of the means.
// - Of results without boxes boxes are those around the masks; of results without masks masks are the boxes.
// - A match with a truth whose id is 0 counts as none, as in pycocotools, which marks what is unmatched by 0.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "layers/base/public.h"
#include "runtime/evaluation/coco_annotations.h"
#include "runtime/evaluation/coco_results.h"

namespace ATROUS_PUBLIC atrous {

enum class CocoGeometry { boxes, masks };  // pycocotools' iouType: bbox, segm

// -1 where no truth counts.
struct CocoSummary {
  double ap = -1, ap50 = -1, ap75 = -1, ap_small = -1, ap_medium = -1, ap_large = -1;
  double ar1 = -1, ar10 = -1, ar100 = -1, ar_small = -1, ar_medium = -1, ar_large = -1;
};

// All areas, 100 detections an image; -1 without truths.
struct CocoCategoryScore {
  std::int64_t id = 0;
  std::string name;
  std::size_t truths = 0, detections = 0;  // truths without crowds; detections that were looked at
  double ap = -1, ap50 = -1, ap75 = -1, ar100 = -1;
  double recall50 = -1;                      // at IoU 0.5, of all detections
  std::array<double, 101> precision50 = {};  // at IoU 0.5 by recall, zeros without truths
  std::array<double, 101> score50 = {};  // the score down to which that recall takes, zeros beyond recall50
};

// What became of a detection. Those that do not count were matched with a crowd; those of a category that the
// annotations do not have, and those behind an image's first 100 of their category, are not compared.
enum class CocoOutcome : std::uint8_t { not_compared, right, wrong, not_counted };

struct CocoScores {
  CocoSummary summary;
  std::vector<CocoCategoryScore> categories;                       // by id
  std::size_t images = 0, truths = 0, crowds = 0, detections = 0;  // of images and categories there are
  std::size_t other_categories = 0;  // detections of categories that the annotations do not have
  bool truth_of_id_zero = false;
  // At IoU 0.5, all areas: of each result what became of it, of each annotation which result was matched with
  // it, of a crowd's the one of highest score.
  std::vector<CocoOutcome> outcomes50;
  std::vector<std::optional<std::size_t>> found50;
};

// Error(mismatch) for a result of an image that the annotations do not have; Error(malformed) for an
// annotation without the box or mask that is asked for and for a mask of another size than its image;
// Error(invalid_argument) for numbers that are not finite, and Error(limit) for boxes beyond
// coco_coordinate_limit and for masks that are too many and too large for one image.
CocoScores measure_coco(const CocoAnnotations& truth, const CocoResults& results, CocoGeometry geometry);

}  // namespace atrous
