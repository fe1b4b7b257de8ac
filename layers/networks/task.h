// What a network finds.
#pragma once

#include <string_view>

#include "layers/base/public.h"

namespace atrous ATROUS_PUBLIC {

enum class Task {
  semantic,   // one class for every pixel
  instances,  // boxes, and masks where the network has them (two_stage.h)
};
std::string_view name_of(Task);

}  // namespace ATROUS_PUBLIC
