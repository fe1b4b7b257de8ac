// A tiling, in what programs read.
#pragma once

#include "runtime/tiles/tiled.h"
#include "weights_tools/io/json.h"

namespace atrous {

inline JsonText tiling_json(const Tiling& t) {
  return json_object({{"tile", t.tile}, {"overlap", t.overlap}});
}

}  // namespace atrous
