// What a network finds.
#pragma once

#include <string_view>

#include "layers/base/public.h"

namespace ATROUS_PUBLIC atrous {

enum class Task {
  semantic,   // one class for every pixel
  instances,  // boxes, and masks where the network has them (two_stage.h)
};
std::string_view name_of(Task);

}  // namespace atrous
