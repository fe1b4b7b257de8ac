// What a label map holds, by class.
#pragma once

#include <cstdint>

#include "layers/base/public.h"

namespace ATROUS_PUBLIC atrous {

struct ClassShare {
  int index = 0;
  std::int64_t pixels = 0;
  double share = 0;       // of all pixels, 0..1
  double confidence = 0;  // mean over its pixels; 0 where none was computed
};

}  // namespace atrous
