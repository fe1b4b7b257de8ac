// One image of an evaluation with its pictures, for whoever shows it: the report, or a caller's own.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "layers/base/public.h"
#include "runtime/image/image.h"

namespace ATROUS_PUBLIC atrous {

struct ScoredImage {
  std::string name;                       // as ImageScore's
  std::span<const std::byte> photo_file;  // its bytes: JPEG and PNG are copied, others (and PNG with EXIF,
                                          // which not every browser turns upright) written anew as PNG; none
                                          // of a photo that is shown reduced (most_shown_side, evaluate.h)
  const Image& photo;                     // decoded and upright
  const LabelMap& truth;                  // at the size they were compared at, or reduced with the photo
  const LabelMap& prediction;
  int ignore = 255;
};

}  // namespace atrous
