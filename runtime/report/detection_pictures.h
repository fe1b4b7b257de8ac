// What a detector found in a photo, beside what is there.
#pragma once

#include <cstddef>

#include "runtime/evaluation/coco_evaluation.h"
#include "runtime/image/image.h"

namespace atrous {

// RGB, as large as the photo. Truths and what was found are tinted, outlined and boxed in colours of their
// own, with category and score; a truth has the colour of the detection that found it. Errors lie on the
// photo in dark greys: right detections pale, wrong ones red with category and score, missed truths yellow
// with theirs. Masks are drawn where they were measured.
struct DetectionPictures {
  Image truth, found, errors;
};

// Of the evaluation's image at this place. Error(invalid_argument) for a photo that is not RGB or not of the
// annotations' size, with both.
DetectionPictures draw_detections(const Image& photo, const CocoEvaluation&, std::size_t image,
                                  const CocoImageScore&);

}  // namespace atrous
