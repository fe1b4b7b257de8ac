#include "runtime/engine/version.h"

namespace atrous {

const char* version() noexcept { return ATROUS_VERSION; }

}  // namespace atrous
