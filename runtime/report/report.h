// An evaluation as a web page: one folder that can be opened from disk or sent to somebody, without a
// network or a framework.
//
//   FOLDER/index.html    summary, classes, confusion matrix, precision-recall curves, every image's scores
//   FOLDER/images/...    the photo as it was, truth, prediction and error map as indexed PNG
#pragma once

#include <string>

#include "layers/base/public.h"
#include "runtime/evaluation/evaluation.h"
#include "runtime/evaluation/scored_image.h"

namespace ATROUS_PUBLIC atrous {

// Every file appears whole or not at all (weights_tools/io/file.h). Error(io) as there.
class Report {
 public:
  // Makes the folder and its parents. The palette, by class, is for the pictures.
  Report(std::string folder, Palette palette);

  // Writes one image's pictures, over those of an earlier run; may be called from one thread at a time.
  // Files are named after the image, whatever its name holds (runtime/report/report_data.h). Void pixels of
  // the truth are light grey; labels beyond the palette are grey. Error(invalid_argument) where truth and
  // prediction differ in size.
  void add(const ScoredImage&);

  // Writes index.html. Pictures are those that lie in the folder; an image without all four (of a resumed run
  // whose folder is gone) is listed without.
  void finish(const Evaluation&);

 private:
  std::string folder_;
  Palette palette_;
};

}  // namespace atrous
