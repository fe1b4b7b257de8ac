// An evaluation of detections as a web page, as report.h makes one of label maps.
//
//   FOLDER/index.html    COCO's figures, categories, precision-recall curves, what each image has right and
//   wrong FOLDER/images/...    of some images the photo as it was, truth, what was found, errors
#pragma once

#include <cstddef>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "layers/base/public.h"
#include "runtime/evaluation/coco_evaluation.h"
#include "runtime/image/image.h"

namespace ATROUS_PUBLIC atrous {

// Every file appears whole or not at all (weights_tools/io/file.h). Error(io) as there.
class DetectionReport {
 public:
  // Of single images detections of this score and above are looked at.
  static constexpr double least_score = 0.5;

  // Makes the folder and its parents.
  explicit DetectionReport(std::string folder);

  // What it is of; must outlive the report. Returns the places in the evaluation's images of those that are
  // worth pictures, at most `most`, worst first. Errors of score_coco_images().
  std::vector<std::size_t> begin(const CocoEvaluation&, std::size_t most);

  // Writes one image's pictures, over those of an earlier run. `photo_file`: its bytes; `photo`: decoded and
  // upright. Errors as draw_detections(), beginning with the image's name; Error(invalid_argument) before
  // begin().
  void add(std::size_t image, std::span<const std::byte> photo_file, const Image& photo);

  // Writes index.html. Images whose pictures were not added are listed without. Error(invalid_argument)
  // before begin().
  void finish() const;

 private:
  const CocoEvaluation& evaluation() const;

  std::string folder_;
  const CocoEvaluation* evaluation_ = nullptr;
  std::vector<CocoImageScore> images_;
  std::map<std::size_t, std::string> photos_;  // of those that were added, relative to the report
};

}  // namespace atrous
