// The version of the library.
#pragma once

#include "layers/base/public.h"

namespace atrous ATROUS_PUBLIC {

// "0.1.0"
const char* version() noexcept;

}  // namespace ATROUS_PUBLIC
