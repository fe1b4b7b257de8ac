// The version of the library.
#pragma once

#include "layers/base/public.h"

namespace ATROUS_PUBLIC atrous {

// "0.1.0"
const char* version() noexcept;

}  // namespace atrous
