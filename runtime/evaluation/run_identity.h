// What makes two runs the same one, so that one goes on with the other's state: {"model", "a sha256"},
// {"set", "val"}, ...
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "layers/base/public.h"

namespace ATROUS_PUBLIC atrous {

using RunIdentity = std::vector<std::pair<std::string, std::string>>;

}  // namespace atrous
