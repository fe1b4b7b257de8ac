// An evaluation of detections: everything its outputs (table, JSON, CSV, report) show, and what was right and
// wrong in each image.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "layers/base/public.h"
#include "runtime/evaluation/coco_annotations.h"
#include "runtime/evaluation/coco_detection.h"
#include "runtime/evaluation/coco_results.h"

namespace ATROUS_PUBLIC atrous {

struct CocoEvaluation {
  std::string model, architecture;  // the file's name or the model's; empty: of a file of results
  CocoAnnotations truth;            // of the images that were looked at
  CocoResults results;
  CocoScores boxes;
  std::optional<CocoScores> masks = {};
  std::optional<double> seconds = {};                            // of the whole run, wall clock
  std::vector<std::pair<std::string, std::string>> failed = {};  // name and what was wrong with it
  std::vector<std::string> notes = {};
};

// One image at box IoU 0.5 and a least score: AP is of no single image. Places in the results, by falling
// score, and in the annotations, in their order. `uncounted` are matched with crowds.
struct CocoImageScore {
  std::vector<std::size_t> right = {}, wrong = {}, uncounted = {};
  std::vector<std::size_t> found = {}, missed = {}, crowds = {};
  // 2 right / (2 right + wrong + missed); none where nothing was to be found and nothing was.
  std::optional<double> f1() const;
};

// Of all images, in their order. Error(invalid_argument) for an evaluation whose scores are not those of its
// results and annotations.
std::vector<CocoImageScore> score_coco_images(const CocoEvaluation&, double least_score);

// The places of at most `most` images: the lowest F1 first, of equal ones those with more mistakes; those
// without one last.
std::vector<std::size_t> worst_coco_images(const std::vector<CocoImageScore>&, std::size_t most);

}  // namespace atrous
